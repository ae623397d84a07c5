"""Where the rows of a repository and those that its ledger makes differ, and the commit that makes them agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import eq
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection

from app.db import audit, charts, held, repositories
from app.db.audit import Shown
from app.db.charts import BlobFacts, VersionRow
from app.db.held import Held
from app.db.rebuild import recount
from app.db.repositories import RepositoryRow
from app.db.transaction import Transaction
from app.domain.ledger import read_change, render_change
from app.domain.summary import summarize
from app.errors import AppError, Kind
from app.records import charts as records
from app.services.replay import apply_change

T = TypeVar("T")


class Difference(NamedTuple):
    """One thing that rows and ledger tell differently; `rows` or `ledger` is None where that side lacks it.

    Both are VersionRow, Shown (what lists show of a chart), Held (by an OCI name), or the name and BlobFacts of a
    provenance file.
    """

    rows: Any
    ledger: Any

    def __str__(self) -> str:
        """Say it in words."""
        name = _describe(self.rows or self.ledger)
        if self.rows is None:
            return f"{name} is in the ledger and not in the rows"
        if self.ledger is None:
            return f"{name} is in the rows and not in the ledger"
        return f"{name} differs between rows and ledger"


def list_differences(rows: Connection, repository_id: int, ledger: Connection, replica_id: int) -> Iterator[Difference]:
    """Answer every difference of one repository, which has an id of its own on each side."""
    yield from _merge(
        audit.iterate_versions(rows, repository_id), audit.iterate_versions(ledger, replica_id),
        lambda row: (row.name, row.version), _is_same_version,
    )  # fmt: skip
    yield from _merge(
        audit.iterate_provenances(rows, repository_id), audit.iterate_provenances(ledger, replica_id), _first, eq
    )
    yield from _merge(
        audit.iterate_shown(rows, repository_id), audit.iterate_shown(ledger, replica_id), _first, _is_same_shown
    )
    yield from _merge(
        held.iterate_held(rows, repository_id), held.iterate_held(ledger, replica_id),
        lambda one: one[:3], _is_same_line,
    )  # fmt: skip


def mend(transaction: Transaction, *, path: str, revision: int, page: list[Difference]) -> None:
    """Make rows what the ledger says, and say it there again. Raises AppError CONFLICT if another commit came first."""
    home = repositories.find(transaction.connection, path)
    if home is None or home.revision != revision:
        raise AppError(Kind.CONFLICT, "they changed meanwhile")
    touched: set[str] = set()
    for rows, ledger in page:
        item = ledger or rows
        if isinstance(item, VersionRow):
            _mend_version(transaction, home, rows, ledger)
            touched.add(item.name)
        elif isinstance(item, Shown):
            _repeat_newest(transaction, home, item)
            touched.add(item.name)
        elif isinstance(item, Held):
            _mend_held(transaction, home, item, keep=ledger is not None)
        else:
            _mend_provenance(transaction, home, rows, ledger)
    for name in touched:
        recount(transaction, home.id, name)


def _mend_version(
    transaction: Transaction, home: RepositoryRow, rows: VersionRow | None, ledger: VersionRow | None
) -> None:
    if ledger is not None:
        records.put_version(transaction, home, ledger, summarize(ledger.entry, ledger.sort_key))
    elif rows is not None:
        records.remove_version(transaction, home, rows.name, rows.version)


def _repeat_newest(transaction: Transaction, home: RepositoryRow, shown: Shown) -> None:
    """Record a change of the chart: its rows are right, but those who keep a copy of them must look again."""
    versions = charts.list_versions(transaction.connection, home.id, shown.name)
    if versions:
        transaction.record(home, charts.render_version_put(versions[0]))
    else:
        transaction.record(home, render_change("remove", "version", chart=shown.name, version=shown.version))


def _mend_provenance(
    transaction: Transaction, home: RepositoryRow,
    rows: tuple[str, BlobFacts] | None, ledger: tuple[str, BlobFacts] | None,
) -> None:  # fmt: skip
    if ledger is not None:
        records.put_provenance(transaction, home, *ledger)
    elif rows is not None:
        records.remove_provenance(transaction, home, rows[0])


def _mend_held(transaction: Transaction, home: RepositoryRow, item: Held, *, keep: bool) -> None:
    key = "tag" if item.kind == "tag" else "digest"
    line = item.line if keep else render_change("remove", item.kind, name=item.name, **{key: item.key})
    apply_change(transaction, home.id, read_change(line))
    transaction.record(home, line)


def _merge(
    rows: Iterator[T], ledger: Iterator[T], key: Callable[[T], Any], same: Callable[[T, T], bool]
) -> Iterator[Difference]:
    """Go through two sorted sides at once; memory holds one item of each."""
    mine, theirs = next(rows, None), next(ledger, None)
    while mine is not None or theirs is not None:
        if theirs is None or (mine is not None and key(mine) < key(theirs)):
            yield Difference(mine, None)
            mine = next(rows, None)
        elif mine is None or key(theirs) < key(mine):
            yield Difference(None, theirs)
            theirs = next(ledger, None)
        else:
            if not same(mine, theirs):
                yield Difference(mine, theirs)
            mine, theirs = next(rows, None), next(ledger, None)


def _first(item: tuple[Any, ...]) -> Any:
    return item[0]


def _is_same_version(mine: VersionRow, theirs: VersionRow) -> bool:
    if mine == theirs:
        return True
    return replace(mine, entry=b"") == replace(theirs, entry=b"") and _is_same_json(mine.entry, theirs.entry)


def _is_same_line(mine: Held, theirs: Held) -> bool:
    return mine.line == theirs.line


def _is_same_shown(mine: Shown, theirs: Shown) -> bool:
    """Of two versions that rank equal, either may stand for a chart."""
    return (mine.versions, mine.rank) == (theirs.versions, theirs.rank)


def _is_same_json(mine: bytes, theirs: bytes) -> bool:
    """Compare what two entries mean: other versions of ours may have escaped other characters."""
    try:
        return bool(orjson.loads(mine) == orjson.loads(theirs))
    except orjson.JSONDecodeError:
        return False


def _describe(item: Any) -> str:
    if isinstance(item, VersionRow):
        return f"version {item.name} {item.version}"
    if isinstance(item, Shown):
        return f"what lists show of chart {item.name}"
    if isinstance(item, Held):
        return f"{item.kind} {item.key} of {item.name}"
    return f"provenance of {item[0]}"
