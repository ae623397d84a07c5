"""Every statement about charts, on SQLite and on Postgres: what is stored is found, in the same order, on both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, insert, select, update

from app.db import artifacts, charts, entries, leases, museum, repositories
from app.db.charts import BlobFacts, Found
from app.db.museum import MuseumFile
from app.db.session import Database
from app.db.tables import blobs, catalogue, chart_versions
from app.db.tables import charts as chart_rows
from app.db.transaction import Transaction
from tests.contract.catalogue import home_id, make_row, put, remove

_DIGEST = "ab" * 32
_ODD = "ß \u00e9 \u0085 \ufffe 😀 % _ ' \" \\ ; -- \t\n"
_FAR = 2**63 - 1


async def ask(database: Database, question: Callable[..., Any], *arguments: Any, repository: str = "") -> Any:
    """Put a question about one repository."""
    return await database.read(lambda connection: question(connection, home_id(connection, repository), *arguments))


async def shown(database: Database, name: str) -> Any:
    """Answer what search shows of a chart."""
    query = select(chart_rows).where(chart_rows.c.name == name)
    return await database.read(lambda connection: connection.execute(query).one())


async def test_a_version_is_found_as_it_was_stored(database: Database) -> None:
    row = make_row(size=2**40, created=_FAR, origin="museum", description=_ODD, filename="odd name.tgz")
    await database.write(put(row))
    assert await ask(database, charts.find_version, "web", "1.0.0") == row
    assert await ask(database, charts.list_versions, "web") == [row]
    assert await ask(database, charts.find_archive, "odd name.tgz") == BlobFacts(row.digest, 2**40)
    assert await ask(database, charts.find_archive, "web-1.0.0.tgz") is None
    assert await ask(database, charts.find_version, "web", "1.0.1") is None


@pytest.mark.parametrize("created", [-(2**63), -1, 0, 1_700_000_000_123_456_789, _FAR])
async def test_times_keep_every_nanosecond_of_64_bits(database: Database, created: int) -> None:
    await database.write(put(make_row(created=created)))
    assert (await ask(database, charts.find_version, "web", "1.0.0")).created == created


async def test_a_version_put_twice_is_one_row_with_the_later_content(database: Database) -> None:
    await database.write(put(make_row(size=1)))
    later = make_row(size=2)
    await database.write(put(later))
    assert await ask(database, charts.list_versions, "web") == [later]
    assert (await shown(database, "web")).versions == 1


async def test_versions_come_newest_first(database: Database) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1", "1.10.0+b", "2.0.0-alpha", "0.1.0"):
        await database.write(put(make_row(version=version)))
    found = [row.version for row in await ask(database, charts.list_versions, "web")]
    assert found == ["2.0.0-rc.1", "2.0.0-alpha", "1.10.0+b", "1.10.0", "1.9.0", "0.1.0"]
    lines = await ask(database, entries.list_for, "web")
    assert [orjson.loads(line)["version"] for line in lines] == found
    for limit in (1, 4, 9):
        assert await ask(database, lambda *asked, n=limit: entries.list_for(*asked, "web", limit=n)) == lines[:limit]
        assert (
            await ask(database, lambda *asked, n=limit: entries.list_versions(*asked, "web", limit=n)) == found[:limit]
        )


async def test_rivals_are_the_same_version_and_another_chart_with_the_file_name(database: Database) -> None:
    mine, other = make_row("a", "1-2.0", filename="x.tgz"), make_row("a-1", "2.0.0", filename="a-1-2.0.tgz")
    await database.write(put(mine))
    await database.write(put(other))

    async def look_up(name: str, version: str, filename: str) -> Found:
        row = make_row(name, version, filename=filename)
        return (await database.read(lambda c: charts.look_up(c, "", row, version)))._replace(repository=None)

    same = BlobFacts(mine.digest, 100)
    assert await look_up("a", "1-2.0", "a-1-2.0.tgz") == Found(None, same, "x.tgz", ("a-1", "2.0.0"))
    assert await look_up("a", "1-2.0", "x.tgz") == Found(None, same, "x.tgz")
    assert await look_up("b", "1.0.0", "b.tgz") == Found()


async def test_an_upload_learns_all_it_meets_by_one_question(database: Database) -> None:
    row = make_row()
    assert await database.read(lambda c: charts.look_up(c, "org", row, "1.0.0")) == Found()
    await database.write(put(row, "org"))

    def sign_and_tag(transaction: Transaction) -> None:
        home = home_id(transaction.connection, "org")
        charts.put_provenance(transaction, home, row.filename, BlobFacts("p", 7))
        artifacts.put_tag(transaction, home, row.name, "1.0.0", "m", updated=1)

    await database.write(sign_and_tag)
    found = await database.read(lambda c: charts.look_up(c, "org", row, "1.0.0"))
    assert found.repository == await database.read(lambda c: repositories.find(c, "org"))
    assert found[1:] == (BlobFacts(row.digest, 100), row.filename, None, BlobFacts("p", 7), "m")


async def test_repositories_do_not_see_each_other(database: Database) -> None:
    await database.write(put(make_row(size=1), "org/a"))
    await database.write(put(make_row(size=2), "org/b"))
    assert (await ask(database, charts.find_version, "web", "1.0.0", repository="org/a")).size == 1
    await database.write(
        lambda transaction: charts.clear(transaction.connection, home_id(transaction.connection, "org/a"))
    )
    assert await ask(database, charts.list_names, repository="org/a") == []
    assert await ask(database, charts.list_names, repository="org/b") == ["web"]
    assert await database.read(charts.count_by_repository) == [("org/b", 1, 1)]


async def test_search_shows_the_newest_stable_version(database: Database) -> None:
    for version in ("1.0.0", "2.0.0-rc.1", "0.9.0"):
        await database.write(put(make_row(version=version)))
    assert ((await shown(database, "web")).version, (await shown(database, "web")).versions) == ("1.0.0", 3)
    await database.write(remove("web", "1.0.0"))
    assert (await shown(database, "web")).version == "0.9.0"
    await database.write(remove("web", "0.9.0"))
    assert (await shown(database, "web")).version == "2.0.0-rc.1"


async def test_a_chart_without_versions_is_gone_but_counts_as_changed(database: Database) -> None:
    first = await database.write(put(make_row()))
    await database.write(remove("web", "1.0.0"))
    assert await ask(database, charts.list_names) == []
    assert await ask(database, charts.list_changed, first) == ["web"]
    assert await ask(database, charts.list_changed, first + 1) == []
    await database.write(put(make_row(version="0.1.0")))
    assert ((await shown(database, "web")).version, (await shown(database, "web")).versions) == ("0.1.0", 1)


async def test_names_are_ordered_bytewise(database: Database) -> None:
    names = ["é", "b", "B", "a_", "a-b", "ab", "Z", "_", "😀", "~", "a"]
    ordered = sorted(names, key=str.encode)
    for name in names:
        await database.write(put(make_row(name), f"org/{name}"))
        await database.write(put(make_row(name)))
    assert await ask(database, charts.list_names) == ordered
    assert [name for name, _ in await ask(database, lambda *asked: list(entries.iterate(*asked)))] == ordered
    paths = [path for path, _, _ in await database.read(charts.count_by_repository)]
    assert paths == ["", *(f"org/{name}" for name in ordered)]


@pytest.mark.parametrize(("start", "end", "expected"), [
    ("", "B", ["A"]), ("B", "b", ["B", "a", "a-"]), ("a-", None, ["a-", "b"]), ("", None, ["A", "B", "a", "a-", "b"]),
])  # fmt: skip
async def test_a_span_of_names_is_cut_bytewise(
    database: Database, start: str, end: str | None, expected: list[str]
) -> None:
    for name in ("b", "A", "a-", "a", "B"):
        await database.write(put(make_row(name)))
    found = await ask(database, lambda *asked: [name for name, _ in entries.iterate(*asked, start=start, end=end)])
    assert found == expected


async def test_more_entries_than_one_batch_come_whole_and_in_order(database: Database) -> None:
    def fill(transaction: Transaction) -> None:
        home = repositories.get_or_create(transaction.connection, "")
        rows = [make_row(name, f"1.{number}.0") for number in range(1250) for name in ("a", "b")]
        facts = [{"repository_id": home.id, **{slot: getattr(row, slot) for slot in row.__slots__}} for row in rows]
        transaction.connection.execute(insert(chart_versions), facts)

    await database.write(fill)
    found = await ask(database, lambda *asked: list(entries.iterate(*asked, limit=1249)))
    assert [(name, len(lines)) for name, lines in found] == [("a", 1249), ("b", 1249)]
    assert found[0][1][0] == make_row("a", "1.1249.0").entry


async def test_odd_text_comes_back_as_it_was(database: Database) -> None:
    name, version = "odd' \"name\\%_😀\ufffe", "1.0.0+\u00e9"
    await database.write(put(make_row(name, version, description=f"{_ODD}\x00end"), "päth/😀"))
    row = await ask(database, charts.find_version, name, version, repository="päth/😀")
    assert (row.name, row.version, row.filename) == (name, version, f"{name}-{version}.tgz")
    facts = await shown(database, name)
    assert facts.description == f"{_ODD}end"  # Postgres keeps no NUL in text


async def test_provenance_is_kept_by_file_name_and_replaced(database: Database) -> None:
    await database.write(put(make_row()))

    def sign(size: int) -> Callable[[Transaction], None]:
        return lambda transaction: charts.put_provenance(
            transaction, home_id(transaction.connection), "web-1.0.0.tgz", BlobFacts(_DIGEST, size)
        )

    await database.write(sign(1))
    await database.write(sign(2))
    assert await ask(database, charts.find_provenance, "web-1.0.0.tgz") == BlobFacts(_DIGEST, 2)
    assert await ask(database, charts.count_objects) == 2

    def drop(transaction: Transaction) -> bool:
        return charts.remove_provenance(transaction, home_id(transaction.connection), "web-1.0.0.tgz")

    assert [await database.write(drop) for _ in range(2)] == [True, False]
    assert await ask(database, charts.find_provenance, "web-1.0.0.tgz") is None


async def test_a_blob_that_is_needed_again_is_no_longer_condemned(database: Database) -> None:
    row = make_row()
    await database.write(put(row))
    condemn = update(blobs).values(condemned=5)
    await database.write(lambda transaction: transaction.connection.execute(condemn).rowcount)
    await database.write(put(row))
    found = await database.read(lambda connection: connection.execute(select(blobs)).all())
    assert found == [(row.digest, 100, None, None)]


async def test_the_catalogue_is_one_row(database: Database) -> None:
    before = await database.read(repositories.get_catalogue)
    assert (before.revision, before.scanned, len(before.identity)) == (0, False, 16)
    await database.write(lambda transaction: repositories.mark_scanned(transaction.connection))
    await database.write(lambda transaction: repositories.raise_revision(transaction.connection, 40))
    await database.write(lambda transaction: repositories.raise_revision(transaction.connection, 30))
    assert await database.read(repositories.get_catalogue) == (before.identity, 40, True)

    def make_anew(transaction: Transaction) -> None:
        transaction.connection.execute(catalogue.delete())
        repositories.create_catalogue(transaction.connection)

    await database.write(make_anew)
    assert (await database.read(repositories.get_catalogue)).identity != before.identity


async def test_a_lease_has_one_holder_until_it_ends(database: Database) -> None:
    def acquire(holder: str, nanoseconds: int = 10**12) -> Callable[[Transaction], bool]:
        return lambda transaction: leases.acquire(transaction, "scan", holder, nanoseconds)

    async def holds(holder: str, nanoseconds: int = 10**12) -> bool:
        return await database.write(acquire(holder, nanoseconds))

    assert [await holds("a"), await holds("b"), await holds("a")] == [True, False, True]
    await database.write(lambda transaction: leases.release(transaction, "scan", "b"))  # not b's to give
    assert not await holds("b")
    await database.write(lambda transaction: leases.release(transaction, "scan", "a"))
    assert await holds("b", -1)  # over as soon as it began
    assert await holds("a")


async def test_museum_files_are_remembered_by_key(database: Database) -> None:
    file = MuseumFile("org/😀 web-1.0.0.tgz", 2**40, -(2**63), _DIGEST, "web", "1.0.0")
    changed = file._replace(size=1, modified=2**63 - 1)
    await database.write(lambda transaction: museum.put_file(transaction.connection, file))
    assert await database.read(museum.list_files) == {file.key: file}
    await database.write(lambda transaction: museum.put_file(transaction.connection, changed))
    assert await database.read(museum.list_files) == {file.key: changed}
    await database.write(lambda transaction: museum.remove_file(transaction.connection, file.key))
    assert await database.read(museum.list_files) == {}


async def test_repositories_that_changed_since_come_in_the_order_of_their_commits(database: Database) -> None:
    for path in ("b", "a", "c", "b"):
        await database.write(put(make_row(), path))

    def since(revision: int) -> Callable[[Connection], list[str]]:
        return lambda connection: [row.path for row in repositories.list_since(connection, revision)]

    assert await database.read(since(-1)) == ["a", "c", "b"]
    assert await database.read(since(3)) == ["b"]
    assert await database.read(since(4)) == []
