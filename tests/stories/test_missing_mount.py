"""Followed files that are gone all at once: a mount that is missing must not remove every chart."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
import structlog

from tests.charts import make_chart
from tests.house import open_house
from tests.stories.store import list_index


def lay_down(folder: Path, count: int) -> None:
    (folder / "old").mkdir(parents=True)
    for number in range(count):
        (folder / "old" / f"web-1.{number}.0.tgz").write_bytes(make_chart("web", f"1.{number}.0"))


async def rescan_without(store: Path, *, keep: int) -> tuple[int, list[str]]:
    """Take the files away but for `keep`, let a server look again; return how many it serves and what it logged."""
    for path in sorted((store / "old").iterdir())[keep:]:
        path.unlink()
    with structlog.testing.capture_logs() as logs:
        async with open_house(store, cache_interval="1s") as (client, _house):
            await asyncio.sleep(2.5)
            served = len(await list_index(client, "old"))
            for filename in await list_index(client, "old"):
                assert (await client.get(f"/old/charts/{filename}")).status_code == 200
    return served, [entry["event"] for entry in logs if entry["log_level"] == "error"]


@pytest.mark.parametrize(("keep", "served"), [(0, 12), (1, 1)])
async def test_files_that_are_gone_all_at_once_remove_nothing(tmp_path: Path, keep: int, served: int) -> None:
    store = tmp_path / "store"
    lay_down(store, 12)
    async with open_house(store) as (client, _house):
        assert len(await list_index(client, "old")) == 12
    found, errors = await rescan_without(store, keep=keep)
    assert found == served
    assert any("gone at once" in text for text in errors) == (keep == 0)


async def test_a_mount_that_comes_back_is_followed_again(tmp_path: Path) -> None:
    store, aside = tmp_path / "store", tmp_path / "aside"
    lay_down(store, 12)
    async with open_house(store) as (client, _house):
        assert len(await list_index(client, "old")) == 12
    shutil.copytree(store / "old", aside)
    assert (await rescan_without(store, keep=0))[0] == 12
    shutil.rmtree(store / "old", ignore_errors=True)
    shutil.copytree(aside, store / "old")
    assert (await rescan_without(store, keep=11))[0] == 11
