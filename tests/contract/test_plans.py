"""How SQLite finds things: every question that a server repeats goes through an index, however many rows there are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine

from app.db import artifacts, charts, entries, garbage, names, repositories
from app.db.artifacts import Child, ManifestRow
from app.db.transaction import Transaction
from tests.contract.catalogue import make_row, put

Question = Callable[[Connection], Any]


@pytest.fixture
def engine(sqlite_floor: Path, tmp_path: Path) -> Iterator[Engine]:
    """Answer a database with a few rows and no statistics: what SQLite chooses does not hang on them."""
    shutil.copyfile(sqlite_floor, tmp_path / "plans.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'plans.db'}")
    with engine.begin() as connection:
        transaction = Transaction(connection, 1)
        put(make_row())(transaction)
        transaction.finish()
    yield engine
    engine.dispose()


def explain(engine: Engine, question: Question) -> list[str]:
    """Ask, and answer how SQLite would find it, a line for each step of each statement that it ran."""
    asked: list[str] = []
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(asked.append)
        answer = question(connection)
        if isinstance(answer, Iterator):
            list(answer)
        driver.set_trace_callback(None)
        looked_up = [statement for statement in asked if statement.startswith(("SELECT", "UPDATE", "DELETE"))]
        steps = [row[3] for text in looked_up for row in driver.execute(f"EXPLAIN QUERY PLAN {text}")]
        connection.rollback()
    assert steps
    return steps


def publish(connection: Connection) -> None:
    transaction = Transaction(connection, 2)
    put(make_row(version="2.0.0"))(transaction)
    put(make_row(version="2.0.0", size=7))(transaction)
    transaction.finish()


def push(connection: Connection) -> None:
    transaction = Transaction(connection, 2)
    row = ManifestRow("m", "type", "", "", b"", b"{}", "pushed", 2)
    artifacts.put_manifest(transaction, 1, "web", row, [Child("a", "blob")], contents={"c": b"{}"})
    artifacts.put_tag(transaction, 1, "web", "1.0.0", "m", updated=2)
    artifacts.put_link(transaction, 1, "web", "b", 3)
    artifacts.touch_link(transaction, 1, "web", "b")
    artifacts.remove_link(transaction, 1, "web", "b")
    artifacts.remove_tag(transaction, 1, "web", "1.0.0")
    artifacts.remove_manifest(transaction, 1, "web", "m")


QUESTIONS: dict[str, Question] = {
    "which charts changed since": lambda c: charts.list_changed(c, 1, 0),
    "which repositories changed since": lambda c: repositories.list_since(c, 5),
    "the entries of a span": lambda c: entries.iterate(c, 1, start="a", end="x"),
    "the entries of a whole repository": lambda c: entries.iterate(c, 1),
    "the entries of a chart": lambda c: entries.list_for(c, 1, "web", limit=3),
    "the version numbers of a chart": lambda c: entries.list_versions(c, 1, "web"),
    "what an upload meets": lambda c: charts.look_up(c, "", make_row(), "1.0.0"),
    "a version": lambda c: charts.find_version(c, 1, "web", "1.0.0"),
    "the versions of a chart": lambda c: charts.list_versions(c, 1, "web"),
    "an archive": lambda c: charts.find_archive(c, 1, "web-1.0.0.tgz"),
    "a provenance file": lambda c: charts.find_provenance(c, 1, "web-1.0.0.tgz"),
    "how many objects": lambda c: charts.count_objects(c, 1),
    "the names of charts": lambda c: charts.list_names(c, 1),
    "a repository": lambda c: repositories.find(c, "org/web"),
    "a publish": publish,
    "a tag": lambda c: artifacts.find_tag(c, 1, "web", "1.0.0"),
    "a manifest": lambda c: artifacts.find_manifest(c, 1, "web", "a"),
    "the manifest of a tag": lambda c: artifacts.find_tagged(c, 1, "web", "1.0.0"),
    "a blob": lambda c: artifacts.find_blob(c, 1, "web", "a"),
    "a page of tags": lambda c: artifacts.list_tags(c, 1, "web", after="1", limit=100),
    "the tags of a manifest": lambda c: artifacts.list_tags_of(c, 1, "web", "a"),
    "referrers": lambda c: artifacts.list_referrers(c, 1, "web", "a"),
    "whether a name holds anything": lambda c: names.has_name(c, 1, "web"),
    "which names see a blob": lambda c: names.list_homes(c, "a"),
    "whether a manifest needs a blob": lambda c: artifacts.is_referenced(c, 1, "web", "a"),
    "whether a blob is condemned": lambda c: garbage.list_condemned(c, ["a"]),
    "a push": push,
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_reads_no_whole_table_and_sorts_no_more_than_one_chart(engine: Engine, name: str) -> None:
    steps = [step for step in explain(engine, QUESTIONS[name]) if step != "SCAN catalogue"]  # which is one row
    assert [step for step in steps if step.startswith("SCAN")] == []
    # The right part of an order is that of one chart's versions: a few rows at a time.
    assert [step for step in steps if "TEMP B-TREE" in step and "FOR RIGHT PART" not in step] == []


@pytest.mark.parametrize(("name", "expected"), [
    ("which charts changed since", ["ix_charts_repository_id_revision (repository_id=? AND revision>?)"]),
    ("the entries of a span", ["_repository_id_name_sort_key (repository_id=? AND name>? AND name<?)"]),
    ("what an upload meets", ["(repository_id=? AND name=? AND version=?)", "(repository_id=? AND filename=?)"]),
    ("an archive", ["uq_chart_versions_repository_id_filename", "sqlite_autoindex_chart_versions"]),
])  # fmt: skip
def test_the_index_made_for_a_question_answers_it(engine: Engine, name: str, expected: list[str]) -> None:
    steps = "\n".join(explain(engine, QUESTIONS[name]))
    found = [part for part in expected if part in steps]
    if name == "an archive":  # SQLite calls the index of a UNIQUE constraint by a name of its own
        assert len(found) == 1, steps
    else:
        assert found == expected, steps
