"""Migrations, on SQLite and on Postgres: they lead to the tables of the code, whole or not at all, and keep rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    select,
    text,
)

import migrations
from app.db.tables import metadata
from tests.postgres import PostgresServer, driver_url

_VERSIONS = "alembic_version"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config


def _list_revisions() -> list[str]:
    """Answer every revision, oldest first."""
    found = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
    return found[::-1]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Answer the URL of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new folder' / 'chartroom.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(empty=True)
    yield driver_url(server.url(name))
    server.drop(name)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def list_tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names())


def find_differences(url: str) -> list[Any]:
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def downgrade(url: str, revision: str) -> None:
    config = _config()
    with connected(url) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_the_constant_names_the_newest_file() -> None:
    assert ScriptDirectory.from_config(_config()).get_current_head() == migrations.HEAD
    assert _list_revisions()[-1] == migrations.HEAD


def test_migrations_lead_to_the_tables_of_the_code(empty_url: str) -> None:
    assert not migrations.is_current(empty_url)
    migrations.upgrade(empty_url)
    assert migrations.is_current(empty_url)
    assert list_tables(empty_url) == {*metadata.tables, _VERSIONS}
    assert find_differences(empty_url) == []
    migrations.upgrade(empty_url)  # once more does nothing


def test_asking_does_not_make_a_database(tmp_path: Path) -> None:
    assert not migrations.is_current(f"sqlite:///{tmp_path / 'absent.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("revision", _list_revisions())
def test_an_upgrade_of_a_filled_database_keeps_every_row(empty_url: str, revision: str) -> None:
    migrations.upgrade(empty_url, revision)
    with connected(empty_url) as connection:
        filled = _fill(connection)
    migrations.upgrade(empty_url)
    assert find_differences(empty_url) == []
    with connected(empty_url) as connection:
        assert inspect(connection).get_sorted_table_and_fkc_names()
        for name, rows in filled.items():
            if name in metadata.tables:
                assert _read(connection, name, rows) == rows, name


def test_down_and_up_again_is_a_round_trip(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    with connected(empty_url) as connection:
        _fill(connection)
    downgrade(empty_url, "base")
    assert list_tables(empty_url) == {_VERSIONS}
    migrations.upgrade(empty_url)
    assert find_differences(empty_url) == []


def test_an_upgrade_that_breaks_off_leaves_nothing(empty_url: str) -> None:
    """A process that is killed half way must find a database that it can upgrade."""

    def fail(*arguments: Any) -> None:
        if arguments[2].strip().startswith("CREATE TABLE provenances"):
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            migrations.upgrade(empty_url)
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
    assert list_tables(empty_url) == set()
    migrations.upgrade(empty_url)
    assert find_differences(empty_url) == []


def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    code = "import sys, migrations; migrations.upgrade(sys.argv[1])"
    running = [subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert migrations.is_current(empty_url)
    with connected(empty_url) as connection:
        assert connection.execute(text("SELECT count(*) FROM catalogue")).scalar_one() == 1


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text(f"UPDATE {_VERSIONS} SET version_num = '9999'"))
    assert not migrations.is_current(empty_url)
    with pytest.raises(CommandError, match="9999"):
        migrations.upgrade(empty_url)
    assert list_tables(empty_url) == {*metadata.tables, _VERSIONS}


def test_the_identity_differs_from_database_to_database(tmp_path: Path) -> None:
    found = set()
    for number in range(2):
        url = f"sqlite:///{tmp_path / str(number)}.db"
        migrations.upgrade(url)
        with connected(url) as connection:
            found.add(connection.execute(text("SELECT identity FROM catalogue")).scalar_one())
    assert len(found) == 2


def _fill(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Put two rows into every table as it is now, whatever its columns; answer all rows by table."""
    found = MetaData()
    found.reflect(connection)
    filled: dict[str, list[dict[str, Any]]] = {}
    for table in found.sorted_tables:
        if table.name == _VERSIONS:
            continue
        if table.name != "catalogue":  # which has its only row
            connection.execute(table.insert(), [_make_row(table, number) for number in (1, 2)])
        filled[table.name] = [dict(row) for row in connection.execute(select(table)).mappings()]
    return filled


def _make_row(table: Table, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        if isinstance(column.type, Boolean):
            row[column.name] = number == 1
        elif column.foreign_keys or column.name == "id":
            row[column.name] = number
        elif isinstance(column.type, BigInteger):
            row[column.name] = 2**62 + number
        elif isinstance(column.type, Integer):
            row[column.name] = number
        elif isinstance(column.type, LargeBinary):
            row[column.name] = bytes((0, 255, number))
        else:
            row[column.name] = f"odd 'text' 😀 {number}"
    return row


def _read(connection: Connection, name: str, like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answer a table's rows, only with the columns that were there before."""
    table = Table(name, MetaData(), autoload_with=connection)
    return [
        {column: row[column] for column in like[0] if column in row}
        for row in connection.execute(select(table)).mappings()
    ]
