"""The first pass after an upgrade: what an older version noted of followed files is looked at once more.

Older versions refused files for MAX_STORAGE_OBJECTS, let PER_CHART_LIMIT remove what they had just read, did not note
what was in a file that they refused, and let chance decide between two files of one version.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Connection

from app.db import charts, repositories
from app.db.museum import COUNTS, Group, MuseumFile
from app.db.session import Database
from app.services import followed
from app.services.history import read_history
from app.services.passes import Pass
from storage import ObjectStat, Storage

UNSIGNED = "-"
"""What a provenance file signs that was dropped when its archive changed: no archive that is known."""


@dataclass(slots=True)
class _Review:
    """`known`: notes that hold. `unread`: keys of archives to be read again. `missing`: versions that went."""

    known: dict[str, MuseumFile] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    missing: set[Group] = field(default_factory=set)


async def review(
    database: Database, storage: Storage, found: dict[str, ObjectStat], saved: dict[str, MuseumFile]
) -> Pass:
    """Return the pass to make. Raises StorageError."""
    result = await database.read_in_thread(lambda connection: _review(connection, saved))
    known, history = result.known, None
    if result.unread or result.missing:
        history = await read_history(storage)
        cut = {group for group in result.missing if history.was_cut(group)}
        known = {key: file for key, file in known.items() if file.group not in cut}
    state = Pass(found, saved, known, history, result.unread)
    counts = Counter(file.group for file in known.values() if file.group)
    state.touched |= {group for group, number in counts.items() if number > 1}
    return state


def _review(connection: Connection, saved: dict[str, MuseumFile]) -> _Review:
    result = _Review()
    for key, file in saved.items():
        if file.state is not None:
            result.known[key] = file
        elif file.is_provenance and file.digest:
            result.known[key] = file._replace(state=COUNTS, signs=_find_signed(connection, file))
        elif file.group is not None:
            result.known[key] = file._replace(state=COUNTS)
            if followed.find(connection, file.group) is None:
                result.missing.add(file.group)
        elif not file.is_provenance:
            result.unread.add(key)
    return result


def _find_signed(connection: Connection, file: MuseumFile) -> str:
    """Return the digest of the archive that a provenance file is shown for; "" if there is no archive yet."""
    home = repositories.find(connection, file.repository)
    filename = file.filename.removesuffix(".prov")
    shown = home and charts.find_provenance(connection, home.id, filename)
    if home is None or shown is None or shown.digest != file.digest:
        return UNSIGNED
    archive = charts.find_archive(connection, home.id, filename)
    return archive.digest if archive else ""
