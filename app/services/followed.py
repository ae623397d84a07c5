"""What a version needs whose files are followed, and the changes that only such files make.

A version lives as long as any file brings it. Where several do, the one with the canonical name stands for it, else the
first by key. What a client deleted or replaced stays so, as long as the files hold the same content.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.db import charts as rows
from app.db import museum, repositories
from app.db.charts import VersionRow
from app.db.museum import COUNTS, IGNORED, ORIGIN, Group, MuseumFile
from app.db.transaction import Transaction
from app.domain.summary import summarize
from app.records import charts as records
from app.services.withdrawal import withdraw_in


@dataclass(frozen=True, slots=True)
class Decision:
    """What a version needs: `file` published over the content `replaces` ("" where there is none), or to be removed.

    `ignored`: digests that do not count, because a client deleted or replaced them.
    """

    file: MuseumFile | None = None
    replaces: str = ""
    removes: str = ""
    ignored: frozenset[str] = frozenset()


def decide(
    row: VersionRow | None, before: Sequence[MuseumFile], after: Sequence[MuseumFile], *, closed: Collection[str] = ()
) -> Decision:
    """Return what must happen to a version. `row` is what is stored, `before` and `after` are its files.

    `closed` are keys of files that may have been there when a client removed the version: they do not bring it back.
    """
    ours = row is not None and row.origin == ORIGIN
    ignored = {file.digest for file in before if file.state == IGNORED}
    if not ours:
        ignored |= {file.digest for file in before if file.state == COUNTS}
    if row is None:
        ignored |= {file.digest for file in after if file.key in closed}
    candidates = [file for file in after if file.digest and file.digest not in ignored]
    if row is not None and not ours:  # a client's version gives way only to a file that changed
        held = {file.key: file.digest for file in before}
        candidates = [one for one in candidates if held.get(one.key, "") not in ("", one.digest)]
        candidates = [one for one in candidates if one.digest != row.digest]
    ignored -= {""}
    if not candidates:
        broken = any(not file.digest for file in after)  # it may be half written: what it held before stays
        removes = row.digest if row is not None and ours and not broken else ""
        return Decision(removes=removes, ignored=frozenset(ignored))
    file = choose(candidates)
    if row is None:
        return Decision(file, ignored=frozenset(ignored))
    if (row.digest, row.filename) == (file.digest, file.filename):
        return Decision(ignored=frozenset(ignored))
    return Decision(file, row.digest, ignored=frozenset(ignored))


def choose(files: Sequence[MuseumFile]) -> MuseumFile:
    """Return the file that stands for a version: the one with the canonical name, else the first by key."""
    return min(files, key=lambda file: (not is_canonical(file), file.key))


def is_canonical(file: MuseumFile) -> bool:
    """Return whether a file's name says what is in it."""
    return file.filename == f"{file.name}-{file.version}.tgz"


def find(connection: Connection, group: Group) -> VersionRow | None:
    """Return the stored version that files of a group bring."""
    home = repositories.find(connection, group.repository)
    return rows.find_version(connection, home.id, group.name, group.version) if home else None


def find_holder(connection: Connection, *, file: MuseumFile) -> VersionRow | None:
    """Return the stored version that has a file's name."""
    home = repositories.find(connection, file.repository)
    holder = home and rows.find_chart_of(connection, home.id, file.filename)
    return rows.find_version(connection, home.id, *holder) if home and holder else None


def find_owned(connection: Connection, *, group: Group, filename: str) -> Group | None:
    """Return a stored version if a file brought it: that of `group`, or where it has no name that of a file name."""
    if not group.name:
        home = repositories.find(connection, group.repository)
        found = home and rows.find_chart_of(connection, home.id, filename)
        group = Group(group.repository, *found) if found else group
    row = find(connection, group)
    return group if row is not None and row.origin == ORIGIN else None


def claim(transaction: Transaction, *, group: Group, origin: str) -> None:
    """Let a version that a file brought, and its provenance, belong to `origin` from now on."""
    connection = transaction.connection
    home, row = repositories.find(connection, group.repository), find(connection, group)
    if home is None or row is None or row.origin != ORIGIN:
        return
    row = replace(row, origin=origin)
    records.put_version(transaction, home, row, summarize(row.entry, row.sort_key))
    signed = rows.find_provenance(connection, home.id, row.filename)
    if signed is not None:
        museum.share_provenance(connection, group.repository, signed.digest)


def withdraw(transaction: Transaction, *, group: Group, digest: str) -> bool:
    """Remove a version that no file brings any more, if it still is what a file brought; return whether it was."""
    row = find(transaction.connection, group)
    if row is None or row.origin != ORIGIN or row.digest != digest:
        return False
    return withdraw_in(transaction, group.repository, group.name, group.version, reason="file")


def withdraw_provenance(transaction: Transaction, *, repository: str, filename: str, digest: str) -> None:
    """Remove the provenance of the archive called `filename` while it has this content."""
    home = repositories.find(transaction.connection, repository)
    found = home and rows.find_provenance(transaction.connection, home.id, filename)
    if home is not None and found is not None and found.digest == digest:
        records.remove_provenance(transaction, home, filename)
