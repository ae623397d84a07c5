"""What must happen to a ChartMuseum folder or bucket so that ChartMuseum shows there what we show.

ChartMuseum's layout: a repository is a folder, its archives and their `.prov` lie in it. A file is ours to replace or
remove if it still holds bytes that we took from there or exported there. Any other file stays and is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from app.db import audit
from app.domain import times
from app.domain.names import FILE_ENDINGS, is_ours
from app.services.exports import explain_clash
from app.services.file_times import has_time
from storage import ObjectNotFound, ObjectStat, Storage

STATE_FILE = "index-cache.yaml"
"""What ChartMuseum keeps of a repository's index; it trusts it, so a stale one must go."""


class Wanted(NamedTuple):
    """One file that must be there: its key, which bytes, and its time (ns since 1970)."""

    key: str
    digest: str
    size: int
    created: int


class Seen(NamedTuple):
    """What is known of a file from the last run or scan: its size and time (ns) then, and its bytes' digest."""

    size: int
    modified: int
    digest: str


Known = dict[str, list[Seen]]
"""What we took from a key or exported there, by key: more than one after a run that broke off."""


@dataclass(slots=True)
class Plan:
    """Keys of files by what becomes of them. `retime` are those kept whose time is not that of their version."""

    add: list[Wanted] = field(default_factory=list)
    replace: list[Wanted] = field(default_factory=list)
    keep: list[Wanted] = field(default_factory=list)
    retime: list[Wanted] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    state_files: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)  # other bytes, which nobody here knows, under a wanted key
    unknown: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # repositories, and why

    @property
    def changed(self) -> list[str]:
        """The keys of all files that change in some way."""
        return [one.key for one in (*self.add, *self.replace, *self.retime)] + self.remove


def list_wanted(connection: Connection, repository: str, *, strip: bool, plan: Plan) -> dict[str, Wanted]:
    """Return the files of a repository and all below it, by key; name in `plan` what cannot be in the layout.

    With `strip` the repository itself lies at the top of the target.
    """
    wanted: dict[str, Wanted] = {}
    for row in audit.list_repositories(connection, repository):
        home = row.path[len(repository) :].lstrip("/") if strip else row.path
        if (reason := explain_clash(home)) != "":
            if any(audit.iterate_files(connection, row.id)):
                plan.skipped.append(f"{row.path}: {reason}")
            continue
        for stored in audit.iterate_files(connection, row.id):
            key = f"{home}/{stored.filename}" if home else stored.filename
            wanted[key] = Wanted(key, stored.digest, stored.size, stored.created)
    return wanted


@dataclass(slots=True)
class Planner:
    """Compares the files that are wanted with those in `target`, below the folder `scope` ("" is all)."""

    target: Storage
    known: Known
    scope: str
    plan: Plan

    async def run(self, wanted: dict[str, Wanted]) -> None:
        """Fill the plan. Raises StorageError."""
        present, state_files = await self._list_files()
        for key in sorted(wanted):
            await self._place(wanted[key], present.get(key))
        live = {(_folder(one.key), one.digest) for one in wanted.values()}
        for key in sorted(present.keys() - wanted.keys()):
            digest = await self._hash(present[key])
            mine = any(seen.digest == digest for seen in self.known.get(key, ()))
            # A second file of a version that is here was not deleted here.
            into = self.plan.remove if mine and (_folder(key), digest) not in live else self.plan.unknown
            into.append(key)
        touched = {_folder(key) for key in self.plan.changed}
        self.plan.state_files = sorted(key for key in state_files if _folder(key) in touched)

    async def _list_files(self) -> tuple[dict[str, ObjectStat], list[str]]:
        present, state_files = dict[str, ObjectStat](), list[str]()
        async for stat in self.target.scan(self.scope):
            if is_ours(stat.key):
                continue
            if stat.key.endswith(FILE_ENDINGS):
                present[stat.key] = stat
            elif stat.key.rpartition("/")[2] == STATE_FILE:
                state_files.append(stat.key)
        return present, state_files

    async def _place(self, one: Wanted, stat: ObjectStat | None) -> None:
        if stat is None:
            self.plan.add.append(one)
            return
        digest = await self._hash(stat)
        if digest == one.digest:
            self.plan.keep.append(one)
            if not has_time(self.target, one.key, one.created):
                self.plan.retime.append(one)
        elif any(seen.digest == digest for seen in self.known.get(one.key, ())):
            self.plan.replace.append(one)
        else:
            self.plan.differing.append(one.key)

    async def _hash(self, stat: ObjectStat) -> str:
        """Return the digest of a file; one whose size and time are as they were need not be read."""
        modified = times.from_datetime(stat.modified)
        for seen in self.known.get(stat.key, ()):
            if (seen.size, seen.modified) == (stat.size, modified):
                return seen.digest
        digest = hashlib.sha256()
        try:
            async for chunk in await self.target.open(stat.key):
                digest.update(chunk)
        except ObjectNotFound:
            return ""
        return digest.hexdigest()


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def render_plan(plan: Plan, *, shown: int = 20) -> Iterator[str]:
    """Return the lines of a plan: counts, then at most `shown` names of each kind."""
    yield (
        f"{len(plan.add)} files to add, {len(plan.replace)} to replace, {len(plan.remove)} to remove,"
        f" {len(plan.keep)} are there already"
    )
    if plan.retime:
        yield f"{len(plan.retime)} files get the time of their version"
    groups = (
        ("add", [one.key for one in plan.add]), ("replace", [one.key for one in plan.replace]),
        ("remove", plan.remove), ("drop", plan.state_files),
        ("not replaced, its bytes are not from here", plan.differing),
        ("not removed, it is not from here", plan.unknown), ("skipped repository", plan.skipped),
    )  # fmt: skip
    for title, names in groups:
        yield from render_names(title, names, shown=shown)


def render_names(title: str, names: list[str], *, shown: int = 20) -> Iterator[str]:
    """Return one line for each of the first names, and how many more there are."""
    for name in names[:shown]:
        yield f"{title}: {name}"
    if len(names) > shown:
        yield f"{title}: and {len(names) - shown} more"
