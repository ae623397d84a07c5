"""Statements about followed files: what each holds, and whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from app.db.tables import museum_files

ORIGIN = "museum"
"""The origin of a version that a followed file brought."""

COUNTS = ""
IGNORED = "ignored"  # a client deleted or replaced its content
WAITING = "waiting"  # another chart has its file name
SHARED = "shared"  # provenance that a client stored as well: it stays when the file goes


class Group(NamedTuple):
    """A version that files bring: the repository's path (their folder), chart and version."""

    repository: str
    name: str
    version: str


class MuseumFile(NamedTuple):
    """One file as it was read. `size` in bytes, `modified` in ns since 1970.

    `digest` is "" for a file that is no chart or provenance; `name` and `version` then still say what it was before,
    and are "" for provenance. `signs` is the digest of the archive that provenance was laid next to, "" if there was
    none. `state` is one of the words above, or None where an older version noted the file.
    """

    key: str
    size: int
    modified: int
    digest: str
    name: str
    version: str
    signs: str = ""
    state: str | None = COUNTS

    @property
    def repository(self) -> str:
        """The repository of its folder."""
        return self.key.rpartition("/")[0]

    @property
    def filename(self) -> str:
        """The last segment of its key."""
        return self.key.rpartition("/")[2]

    @property
    def group(self) -> Group | None:
        """The version it brings; None for provenance, and for what never was a chart."""
        return Group(self.repository, self.name, self.version) if self.name else None

    @property
    def is_provenance(self) -> bool:
        """Whether its name is that of a provenance file."""
        return self.key.endswith(".prov")


_COLUMNS = tuple(museum_files.c[field] for field in MuseumFile._fields)


def list_files(connection: Connection) -> dict[str, MuseumFile]:
    """Return every known file by its key."""
    return {row.key: MuseumFile(*row) for row in connection.execute(select(*_COLUMNS))}


def has_old_files(connection: Connection) -> bool:
    """Return whether files are known that an older version noted."""
    query = select(museum_files.c.key).where(museum_files.c.state.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def put_file(connection: Connection, file: MuseumFile) -> None:
    """Remember a file as it is now."""
    remove_file(connection, file.key)
    connection.execute(insert(museum_files), file._asdict())


def put_files(connection: Connection, files: Sequence[MuseumFile]) -> None:
    """Remember files as they are now."""
    for file in files:
        put_file(connection, file)


def remove_file(connection: Connection, key: str) -> None:
    """Forget a file."""
    connection.execute(delete(museum_files).where(museum_files.c.key == key))


def share_provenance(connection: Connection, repository: str, digest: str) -> None:
    """Note that provenance with this content was stored by a client, too."""
    rows = connection.execute(select(*_COLUMNS).where(museum_files.c.digest == digest)).all()
    for file in (MuseumFile(*row) for row in rows):
        if file.is_provenance and file.repository == repository:
            put_file(connection, file._replace(state=SHARED))
