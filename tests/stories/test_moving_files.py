"""Files that move while a pass is made: a pass that finds one gone under its old name removes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from storage import ObjectNotFound
from storage.filesystem import FilesystemStorage
from tests.api.wire import sign
from tests.charts import make_chart
from tests.house import open_house

ARCHIVE, PROVENANCE = "app-2.0.0.tgz", "app-2.0.0.tgz.prov"


class MovingFiles(FilesystemStorage):
    """A folder in which a file gets a new name just before it is read, after so many reads of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.moves: dict[str, str] = {}
        self.reads_before = 0

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        if key in self.moves:
            if self.reads_before == 0:
                (self.root / key).rename(self.root / self.moves.pop(key))
                raise ObjectNotFound(key)
            self.reads_before -= 1
        return await super().open(key, start, length)


async def read_files(client: httpx.AsyncClient) -> list[tuple[int, bytes]]:
    """Return what the archive and its provenance are answered with."""
    answers = [await client.get(f"/charts/{name}") for name in (ARCHIVE, PROVENANCE)]
    return [(answer.status_code, answer.content if answer.status_code == 200 else b"") for answer in answers]


@pytest.mark.parametrize("moved", [ARCHIVE, PROVENANCE])
async def test_what_moved_during_a_pass_is_shown_until_the_next_one_and_after_it(tmp_path: Path, moved: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    old, new = make_chart("app", "2.0.0", description="old"), make_chart("app", "2.0.0", description="new")
    (folder / ARCHIVE).write_bytes(old)
    (folder / PROVENANCE).write_bytes(sign("app", "2.0.0"))
    storage = MovingFiles(folder)
    async with open_house(folder, storage=storage) as (client, house):
        before = [(200, old), (200, sign("app", "2.0.0"))]
        assert await read_files(client) == before
        changed = new if moved == ARCHIVE else sign("app", "2.0.0", "changed")
        (folder / moved).write_bytes(changed)
        storage.moves = {moved: f"moved-{moved}"}
        await house.opening.rescan()
        assert not storage.moves
        assert await read_files(client) == before
        (folder / f"moved-{moved}").rename(folder / moved)
        await house.opening.rescan()
        # The provenance of the old archive says nothing about a new one.
        after = [(200, new), (404, b"")] if moved == ARCHIVE else [(200, old), (200, changed)]
        assert await read_files(client) == after


async def test_an_archive_that_moves_before_it_is_published_is_shown_under_its_new_name(tmp_path: Path) -> None:
    """It was read once, and is gone when its bytes are wanted again: that is not what a client's delete looks like."""
    folder = tmp_path / "store"
    storage = MovingFiles(folder)
    async with open_house(folder, storage=storage) as (client, house):
        content = make_chart("app", "2.0.0")
        (folder / "one.tgz").write_bytes(content)
        storage.moves, storage.reads_before = {"one.tgz": "two.tgz"}, 1
        await house.opening.rescan()
        assert not storage.moves
        await house.opening.rescan()
        answer = await client.get("/charts/two.tgz")
        assert (answer.status_code, answer.content) == (200, content)


async def test_provenance_that_moves_away_and_back_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    storage = MovingFiles(folder)
    async with open_house(folder, storage=storage) as (client, house):
        (folder / ARCHIVE).write_bytes(make_chart("app", "2.0.0"))
        await house.opening.rescan()
        (folder / PROVENANCE).write_bytes(sign("app", "2.0.0"))
        storage.moves, storage.reads_before = {PROVENANCE: "away"}, 1
        await house.opening.rescan()
        assert not storage.moves
        (folder / "away").rename(folder / PROVENANCE)
        await house.opening.rescan()
        assert (await read_files(client))[1] == (200, sign("app", "2.0.0"))
