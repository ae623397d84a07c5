"""The database is lost, restored or behind: the ledger brings back what was acknowledged, or says why it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from app.wiring import House
from storage import Objects, StorageUnavailable
from storage.filesystem import FilesystemStorage
from tests.charts import make_chart
from tests.house import open_house
from tests.stories.store import (
    FailingStorage,
    digest_of,
    list_index,
    make_numbered,
    read_chain,
    read_index,
    read_rows,
    replay_anew,
    upload,
)

_PROVENANCE = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: %b\nversion: %b\n"


def database_of(folder: Path) -> Path:
    return folder / ".chartroom" / "chartroom.db"


def lose_database(folder: Path) -> None:
    for path in database_of(folder).parent.glob("chartroom.db*"):
        path.unlink()


def copy_database(folder: Path, target: Path) -> None:
    """Copy a database that nobody uses: all of it is in one file then."""
    shutil.copyfile(database_of(folder), target)


def restore_database(folder: Path, source: Path) -> None:
    lose_database(folder)
    shutil.copyfile(source, database_of(folder))


def segments_of(folder: Path, repository: str = "%") -> list[Path]:
    return sorted((folder / ".chartroom" / "ledger" / repository).iterdir())


async def live_a_little(client: httpx.AsyncClient) -> None:
    """Upload, sign, overwrite and delete, in two repositories."""
    for number in range(12):
        assert (await upload(client, make_numbered(number), "org/a" if number % 3 else "")).status_code == 201
    signed = await client.post("/api/prov", content=_PROVENANCE % (b"chart0", b"1.0.0"))
    assert signed.status_code == 201
    assert (await client.post("/api/prov", content=_PROVENANCE % (b"early", b"1.0.0"))).status_code == 201
    assert (await client.post("/api/prov", content=_PROVENANCE % (b"chart3", b"1.3.0"))).status_code == 201
    assert (await upload(client, make_numbered(3, home="https://new.test"), "", "?force")).status_code == 201
    assert (await client.delete("/api/charts/chart6/1.6.0")).status_code == 200
    assert (await client.delete("/api/org/a/charts/chart1/1.1.0")).status_code == 200
    assert (await upload(client, make_numbered(1), "org/a")).status_code == 201
    assert (
        await upload(client, make_chart("odd", "1.0.0", description='\u0085 \ufffe ß <&> " ,"entry":{'))
    ).status_code == 201


async def assert_stopped(client: httpx.AsyncClient, *words: str, readable: bool = False) -> None:
    """Nothing is taken, nothing is served but what the database knew before, and the reason is named."""
    answers = [await client.get("/-/ready?write"), await upload(client, make_numbered(99))]
    ready = await client.get("/-/ready")
    if readable:
        assert (ready.status_code, ready.json()["ready"], ready.json()["writes"]) == (200, True, False)
        assert all(word in ready.json()["reason"] for word in words)
    else:
        answers.append(ready)
    for path in ("/index.yaml", "/org/a/index.yaml", "/api/charts"):
        response = await client.get(path)
        if readable:
            assert response.status_code == 200, path
        else:
            answers.append(response)
    for response in answers:
        assert response.status_code == 503, response.url
        for word in words:
            assert word in response.text, (response.url, response.text)
    assert (await client.get("/health")).status_code == 200


async def test_a_lost_database_comes_back_with_every_row(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (client, house):
        await live_a_little(client)
        before = {repository: await read_index(client, repository) for repository in ("", "org/a")}
        etag = (await client.get("/index.yaml")).headers["etag"]
        await read_chain(house.storage)
    rows = read_rows(f"sqlite:///{database_of(store)}")
    lose_database(store)
    async with open_house(store) as (client, house):
        assert {repository: await read_index(client, repository) for repository in ("", "org/a")} == before
        assert (await client.get("/index.yaml")).headers["etag"] == etag  # the same commits: an old copy is still true
        for filename, digest in (await list_index(client)).items():
            assert digest_of((await client.get(f"/charts/{filename}")).content) == digest
        assert (await client.get("/charts/chart0-1.0.0.tgz.prov")).status_code == 200
        assert (await client.get("/charts/chart3-1.3.0.tgz.prov")).status_code == 404
        assert read_rows(f"sqlite:///{database_of(store)}") == rows
        assert (await upload(client, make_numbered(50))).status_code == 201
        await read_chain(house.storage)


async def test_a_database_restored_from_an_old_copy_catches_up(tmp_path: Path) -> None:
    store, copy = tmp_path / "store", tmp_path / "copy.db"
    async with open_house(store) as (client, _house):
        assert (await upload(client, make_numbered(70))).status_code == 201
        assert (await upload(client, make_numbered(71), "org/a")).status_code == 201
    copy_database(store, copy)
    async with open_house(store) as (client, _house):
        await live_a_little(client)
        before = await read_index(client)
    rows = read_rows(f"sqlite:///{database_of(store)}")
    restore_database(store, copy)
    async with open_house(store) as (client, house):
        assert await read_index(client) == before
        assert read_rows(f"sqlite:///{database_of(store)}") == rows
        assert (await upload(client, make_numbered(50))).status_code == 201
        await read_chain(house.storage)


async def test_a_gap_is_named_and_nothing_is_served_half(tmp_path: Path) -> None:
    store, aside = tmp_path / "store", tmp_path / "aside"
    async with open_house(store) as (client, _house):
        await live_a_little(client)
        before = await list_index(client)
    lose_database(store)
    missing = segments_of(store)[2]
    shutil.move(missing, aside)
    async with open_house(store) as (client, _house):
        await assert_stopped(client, "gap", "the root repository", ".chartroom/ledger/%/")
    shutil.move(aside, missing)
    async with open_house(store) as (client, _house):
        assert await list_index(client) == before


async def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store) as (client, _house):
        await live_a_little(client)
    lose_database(store)
    damaged = segments_of(store, "org%2Fa")[1]
    damaged.write_bytes(damaged.read_bytes().replace(b"number", b"NUMBER"))
    async with open_house(store) as (client, _house):
        await assert_stopped(client, damaged.name, "damaged", "restore")


@pytest.mark.parametrize("lost", [True, False])
async def test_a_fork_stops_and_is_named(tmp_path: Path, lost: bool) -> None:
    """An old copy of the database took uploads while the newest segment was away: both are acknowledged."""
    store, copy, aside = tmp_path / "store", tmp_path / "copy.db", tmp_path / "aside"
    async with open_house(store) as (client, _house):
        assert (await upload(client, make_numbered(0))).status_code == 201
    copy_database(store, copy)
    async with open_house(store) as (client, _house):
        assert (await upload(client, make_numbered(1))).status_code == 201
    newest = segments_of(store)[-1]
    shutil.move(newest, aside)
    restore_database(store, copy)
    async with open_house(store) as (client, _house):
        assert (await upload(client, make_numbered(2))).status_code == 201
    shutil.move(aside, newest)
    if lost:
        lose_database(store)
    async with open_house(store) as (client, _house):
        await assert_stopped(client, "fork", newest.name, ".chartroom/ledger/%/", readable=not lost)


async def test_a_commit_that_does_not_reach_storage_is_a_503_and_nothing_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    storage = FailingStorage(folder)
    async with open_house(folder, storage=storage) as (client, _house):
        assert (await upload(client, make_numbered(0))).status_code == 201
        before = await read_index(client)
        storage.failing = True
        answer = await upload(client, make_numbered(1))
        assert answer.status_code == 503
        assert "nothing was changed" in answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert (await upload(client, make_numbered(2), "org/a")).status_code == 503
        assert (await client.delete("/api/charts/chart0/1.0.0")).status_code == 503
        assert await read_index(client) == before
        storage.failing = False
        assert (await upload(client, make_numbered(1))).status_code == 201
        assert (await upload(client, make_numbered(2), "org/a")).status_code == 201
        chains = await read_chain(storage)
        assert {path: len(chain) for path, chain in chains.items()} == {"": 2, "org/a": 1}
    storage.close()
    async with open_house(folder) as (client, house):
        assert sorted(await list_index(client)) == ["chart0-1.0.0.tgz", "chart1-1.1.0.tgz"]
        assert sorted(await list_index(client, "org/a")) == ["chart2-1.2.0.tgz"]
        rows = await replay_anew(house.storage, tmp_path / "anew.db")
        assert rows == read_rows(f"sqlite:///{database_of(folder)}")


async def test_a_commit_that_storage_may_have_is_said_to_be_and_is_gone_before_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    storage = FailingStorage(folder)
    storage.keeps = True
    async with open_house(folder, storage=storage) as (client, _house):
        assert (await upload(client, make_numbered(0))).status_code == 201
        storage.failing = True
        answer = await upload(client, make_numbered(1))
        assert (answer.status_code, "may be stored" in answer.text) == (503, True)
        assert (await upload(client, make_numbered(2))).status_code == 503, "first the old one must be gone"
        storage.failing = False
        assert (await upload(client, make_numbered(3))).status_code == 201
        assert sorted(await list_index(client)) == ["chart0-1.0.0.tgz", "chart3-1.3.0.tgz"]
        assert len((await read_chain(storage))[""]) == 2
        rows = await replay_anew(storage, tmp_path / "anew.db")
    storage.close()
    assert rows == read_rows(f"sqlite:///{database_of(folder)}")


async def test_a_commit_is_whole_or_absent_when_storage_refuses_the_archive(tmp_path: Path) -> None:
    class FullStorage(FilesystemStorage):
        def write_batch(self, blobs: Objects, records: Objects) -> None:
            if blobs:
                raise StorageUnavailable("refused")
            super().write_batch(blobs, records)

    folder = tmp_path / "store"
    async with open_house(folder) as (client, _house):
        assert (await upload(client, make_numbered(0))).status_code == 201
    storage = FullStorage(folder)
    async with open_house(folder, storage=storage) as (client, _house):
        assert (await upload(client, make_numbered(1))).status_code == 503
    storage.close()
    async with open_house(folder) as (client, _house):
        assert sorted(await list_index(client)) == ["chart0-1.0.0.tgz"]


async def test_the_database_may_lie_elsewhere_and_start_empty(tmp_path: Path) -> None:
    """One pod with a bucket and no volume: every start is a replay."""
    store = tmp_path / "store"
    for number in range(3):
        url = f"sqlite:///{tmp_path / f'pod{number}.db'}"
        async with open_house(store, database=url) as (client, house):
            assert len(await list_index(client)) == number
            assert (await upload(client, make_numbered(number))).status_code == 201
            assert_writes(house)
            await read_chain(house.storage)


def assert_writes(house: House) -> None:
    house.parts.readiness.check_writable()
