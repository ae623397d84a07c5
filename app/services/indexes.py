"""Indexes: ready bodies of `index.yaml`, always those of the newest commit.

A rope is kept for each repository and view that is asked for, in a cache bounded in bytes. It follows the store by
asking which charts changed since its revision, and renders only their buckets again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.db import charts, entries, repositories
from app.db.repositories import RepositoryRow
from app.db.session import Database
from app.domain import index, times
from app.domain.rope import Body, Rope
from app.services.revisions import Revisions

RENDERER = 1
"""Goes into every ETag: raise it when the same charts render to other bytes."""

_FEW = 8
"""Changed charts that are rendered on the event loop (0.4 ms each); more than that go to a thread."""


_OVERHEAD = 4096
"""Bytes that a kept index costs beside its charts: ten thousand small tenants are counted too."""


class View(NamedTuple):
    """Which index of a repository: block YAML instead of JSON, and how many versions of each chart (None: all)."""

    yaml: bool = False
    limit: int | None = None


class Rendering(NamedTuple):
    """One body in one encoding, with its strong ETag (quoted)."""

    etag: bytes
    body: Body


@dataclass(slots=True)
class Index:
    """The index of one repository in one view, at one revision."""

    row: RepositoryRow
    view: View
    rope: Rope
    head: bytes
    tail: bytes
    tag: str
    identity: str
    renderings: dict[str, Rendering] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)  # what a door made of a rendering; goes when this goes
    weight: int = 0

    def get(self, encoding: str) -> Rendering:
        """Answer the body in an encoding: "" (as it is), "gzip" or "zstd"."""
        found = self.renderings.get(encoding)
        if found is None:
            make = {"": self.rope.body, "gzip": self.rope.gzip_body, "zstd": self.rope.zstd_body}[encoding]
            etag = f'"{self.tag}{encoding and "-" + encoding}"'.encode()
            found = self.renderings[encoding] = Rendering(etag, make(self.head, self.tail).joined_if_small())
        return found


class Indexes:
    """All indexes of this process. `base_url` and `context_path` are written into them; `memory` is in bytes."""

    def __init__(
        self, database: Database, revisions: Revisions, *, base_url: str = "", context_path: str = "", memory: int
    ) -> None:
        self.inline = database.inline
        self._database = database
        self._revisions = revisions
        self._base_url = base_url
        self._context_path = context_path
        self._memory = memory
        self._kept: OrderedDict[tuple[int, View], Index] = OrderedDict()
        self._weight = 0
        self._changes = 0
        self._building: dict[tuple[int, View], asyncio.Future[Index]] = {}
        self._empty: dict[View, Index] = {}
        self._empty_identity = ""

    def mark(self) -> int:
        """Answer a number that stays the same while every index in memory is current and kept (SQLite only)."""
        self._revisions.check_inline()
        return self._revisions.changes + self._changes

    def find_current(self, repository: str, view: View) -> Index | None:
        """Answer the index if it is in memory and current; the revisions must have been checked just before."""
        row = self._revisions.known.get(repository)
        if row is None:
            return self._get_empty(view)
        key = (row.id, view)
        kept = self._kept.get(key)
        if kept is None or kept.row.revision < row.revision or kept.identity != self._revisions.identity:
            return None
        self._kept.move_to_end(key)
        return kept

    async def get(self, repository: str, view: View, encoding: str = "") -> Index:
        """Answer the current index; build or refresh it if needed. Callers that wait share the work."""
        await self._revisions.check()
        while (found := self.find_current(repository, view)) is None or encoding not in found.renderings:
            if found is not None and found.rope.weight < 1_000_000:
                found.get(encoding)
                break
            row = self._revisions.known[repository]
            await self._share((row.id, view), row, encoding)
            await self._revisions.check()
        return found

    async def settle(self) -> None:
        """Wait for the indexes that are being built now: long work in the background lets them go first."""
        if self._building:
            await asyncio.wait(self._building.values())

    async def _share(self, key: tuple[int, View], row: RepositoryRow, encoding: str) -> None:
        running = self._building.get(key)
        if running is None:
            running = self._building[key] = asyncio.ensure_future(self._refresh_alone(key, row, encoding))
        await asyncio.shield(running)

    async def _refresh_alone(self, key: tuple[int, View], row: RepositoryRow, encoding: str) -> Index:
        try:
            return await self._refresh(key, row, encoding)
        finally:  # here, not in a callback: who comes before a callback ran would wait for what is over
            del self._building[key]

    async def _refresh(self, key: tuple[int, View], row: RepositoryRow, encoding: str) -> Index:
        kept = self._kept.get(key)
        if kept is not None and kept.identity != self._revisions.identity:
            kept = None  # the database was rebuilt under us
        if kept is not None and kept.row.revision >= row.revision:  # only the encoding is missing, and it takes long
            await asyncio.to_thread(kept.get, encoding)
            return self._keep(key, kept)
        few = False
        if kept is not None:
            changed = await self._database.read(partial(_list_changed, row=row, since=kept.row.revision))
            few = len(changed) <= _FEW
        build = partial(self._build, row=row, view=key[1], kept=kept)
        if few:
            fresh = await self._database.read(build)
            fresh.get(encoding)
        else:
            fresh = await self._database.read_in_thread(build)
            await asyncio.to_thread(fresh.get, encoding)
        return self._keep(key, fresh)

    def _build(self, connection: Connection, *, row: RepositoryRow, view: View, kept: Index | None) -> Index:
        current = repositories.find(connection, row.path) or row  # this snapshot may be newer than what was asked
        if kept is None:
            rope = self._make_rope(row.path, view)
            rope.fill(entries.iterate(connection, row.id, limit=view.limit))
        else:
            rope = Rope(kept.rope.render, kept.rope.separator, list(kept.rope.buckets))
            # Asked again in this snapshot: what was committed since the first question belongs to it too.
            for start, end in _spans(rope, _list_changed(connection, row=row, since=kept.row.revision)):
                rope.replace(start, entries.iterate(connection, row.id, start=start, end=end, limit=view.limit))
        return self._wrap(current, view, rope)

    def _make_rope(self, repository: str, view: View) -> Rope:
        base = "/".join(filter(None, (self._base_url, repository))) if self._base_url else ""
        render = index.yaml_chart if view.yaml else index.render_chart

        def render_rebased(name: str, lines: Sequence[bytes]) -> bytes:
            return render(name, [index.rebase_entry(line, base) for line in lines] if base else lines)

        return Rope(render_rebased, b"" if view.yaml else index.SEPARATOR)

    def _wrap(self, row: RepositoryRow, view: View, rope: Rope) -> Index:
        generated = times.render_time(row.committed)
        if view.yaml:
            head = index.yaml_head(generated, self._context_path, empty=not rope.buckets)
            tail = index.yaml_tail()
        else:
            head, tail = index.render_head(generated, self._context_path), index.render_tail()
        # A commit's id is random: two histories that came from one copied store never share a tag. Commits of older
        # versions have none, and are named by their catalogue.
        commit = row.commit or (self._revisions.identity, row.id, row.revision)
        facts = (commit, RENDERER, view, self._base_url, self._context_path)
        tag = hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()
        return Index(row, view, rope, head, tail, tag, self._revisions.identity)

    def _get_empty(self, view: View) -> Index:
        """Answer the one index that all unknown repositories share."""
        if self._empty_identity != self._revisions.identity:
            self._empty, self._empty_identity = {}, self._revisions.identity
        view = View(view.yaml)  # nothing has no newest three
        found = self._empty.get(view)
        if found is None:
            found = self._empty[view] = self._wrap(RepositoryRow(0, "", 0, 0), view, self._make_rope("", view))
        return found

    def _keep(self, key: tuple[int, View], fresh: Index) -> Index:
        self._changes += 1
        replaced = self._kept.pop(key, None)
        self._weight -= replaced.weight if replaced else 0
        fresh.weight = fresh.rope.weight + _OVERHEAD
        self._weight += fresh.weight
        self._kept[key] = fresh
        while self._weight > self._memory and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._weight -= dropped.weight
        return fresh


def _list_changed(connection: Connection, *, row: RepositoryRow, since: int) -> list[str]:
    return charts.list_changed(connection, row.id, since)


def _spans(rope: Rope, changed: list[str]) -> Iterator[tuple[str, str | None]]:
    """Answer the spans of names that hold the changed charts (sorted), each once."""
    end: str | None = ""
    for name in changed:
        if end is not None and name >= end:
            start, end = rope.span(name)
            yield start, end
