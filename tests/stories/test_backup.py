"""Backups: taken while servers run, continued, checked, and never of two stores in one place."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.services.snapshots import Snapshots
from tests.charts import make_chart
from tests.house import open_house
from tests.stories import everything
from tests.stories.shop import write_charts
from tests.stories.stores import Store, Stores, Uploading, list_files

CHARTS = [f"mychart-0.{number}.0.tgz" for number in range(1, 6)]


def publish(store: Store, *versions: str) -> None:
    with store.serve() as server:
        upload(server.url, *versions)


def upload(url: str, *versions: str, query: str = "") -> None:
    for version in versions:
        answer = httpx.post(f"{url}/api/charts{query}", content=make_chart("mychart", version))
        assert answer.status_code == 201, answer.text


def files_of(folder: str | Path, part: str) -> list[Path]:
    """Return the objects of a part; journals of batches are none."""
    below = (Path(folder) / ".chartroom" / part).rglob("*")
    return sorted(path for path in below if path.is_file() and path.parent.name != "journal")


def restored(stores: Stores, place: str, kind: str = "sqlite") -> Store:
    store = stores.make(kind)
    store.command("restore", place)
    return store


def shown(store: Store) -> set[str]:
    with store.serve() as server:
        return list_files(server.url)


@pytest.mark.parametrize(
    ("kind", "place", "back"),
    [
        ("sqlite", "folder", "sqlite"),
        ("sqlite", "bucket", "postgres"),
        ("postgres", "folder", "bucket"),
        ("bucket", "folder", "sqlite"),
        ("bucket", "bucket", "bucket"),
    ],
)
@pytest.mark.usefixtures("s3_endpoint")
def test_what_is_restored_shows_the_same(stores: Stores, kind: str, place: str, back: str) -> None:
    store, target = stores.make(kind), stores.make_place(place)
    with store.serve() as server:
        known = everything.fill(server.url)
        before = everything.read(server.url, known)
        said = store.command("backup", target)
        assert "the backup holds 4 repositories, 4 charts, 10 versions, 4 provenance files\nclean\n" in said
    other = restored(stores, target, back)
    with other.serve() as server:
        assert everything.read(server.url, known) == before
        upload(server.url, "9.0.0")
    assert other.command("verify").endswith("clean\n")
    other.command("reindex")
    with other.serve() as server:
        assert "mychart-9.0.0.tgz" in list_files(server.url)


def test_chartmuseums_files_are_in_it_without_lying_beside_it(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    write_legacy(Path(store.storage))
    with store.serve() as server:
        known = everything.delete_legacy(server.url, everything.fill(server.url))
        before = everything.read(server.url, known)
    store.command("backup", target)
    assert sorted(path.name for path in Path(target).iterdir()) == [".chartroom"]
    other = restored(stores, target)
    with other.serve() as server:
        assert everything.read(server.url, known) == before
    write_legacy(Path(other.storage))  # whoever brings the files as well: what was deleted stays so
    other.command("reindex")
    with other.serve() as server:
        assert everything.read(server.url, known) == before


def write_legacy(folder: Path) -> None:
    for key, content in everything.list_legacy_files().items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)


def test_a_second_run_copies_what_is_new_and_removes_what_the_store_collected(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    said = store.command("backup", target)
    assert "2 blobs of " in said
    assert " and 2 ledger segments copied; 0 blobs and 0 segments were there" in said
    old = {path: path.stat().st_mtime_ns for path in files_of(target, "blobs")}
    with store.serve() as server:
        upload(server.url, "0.3.0")
        assert httpx.delete(f"{server.url}/api/charts/mychart/0.1.0").status_code == 200
        said = store.command("backup", target)
        assert "1 blob of " in said
        assert " and 2 ledger segments copied; 1 blob and 2 segments were there" in said
        assert {path: path.stat().st_mtime_ns for path in old} == old, "the store still has the deleted chart's blob"
        for _ in range(2):
            store.command("gc", CHARTROOM_GC_GRACE="0")
        assert "1 blob and 0 segments that the store replaced or collected were removed" in store.command(
            "backup", target
        )
    assert len(files_of(target, "blobs")) == 2
    assert shown(restored(stores, target)) == {"mychart-0.2.0.tgz", "mychart-0.3.0.tgz"}


async def test_segments_that_a_snapshot_replaced_go_from_the_backup(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    store.command("backup", target)
    publish(store, "0.3.0")
    async with open_house(Path(store.storage)) as (_, house):
        await Snapshots(house.database, house.storage).write("")
    store.command("reindex")  # and another catalogue writes what follows
    publish(store, "0.4.0")
    assert "0 blobs and 2 segments that the store replaced" in store.command("backup", target)
    assert len(files_of(target, "ledger")) == 2
    assert shown(restored(stores, target)) == {f"mychart-0.{number}.0.tgz" for number in range(1, 5)}


def back_up(store: Store, target: str) -> None:
    assert store.command("backup", target).endswith("clean\n")


def copy_folders(store: Store, target: str) -> None:
    """Type what the README says: the ledger, again if a file vanished, then the blobs."""
    script = (
        'mkdir -p "$1/.chartroom"\ncp -a "$0/.chartroom/ledger" "$1/.chartroom/"\ncp -a "$0/.chartroom/blobs"'
        ' "$1/.chartroom/"\n'
    )
    subprocess.run(["bash", "-euc", script, store.storage, target], check=True)


@pytest.mark.parametrize("copy", [back_up, copy_folders])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_upload_acknowledged_before_it_began_is_there(
    stores: Stores, kind: str, copy: Callable[[Store, str], None]
) -> None:
    store, target = stores.make(kind), stores.make_place("folder")
    with store.serve() as server:
        with Uploading(server.url) as uploading:
            for number in range(1, 4):
                while len(uploading.acknowledged) < 60 * number:
                    time.sleep(0.01)
                acknowledged = set(uploading.acknowledged)
                if copy is copy_folders:
                    shutil.rmtree(target, ignore_errors=True)
                copy(store, target)
        other = restored(stores, target)
        with other.serve() as again:
            there = list_files(again.url) | list_files(again.url, "team")
            assert acknowledged - there == set()
            assert there - set(uploading.acknowledged) == set()
    assert other.command("verify").endswith("clean\n")


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
    process.kill()
    process.communicate()


def test_a_killed_run_leaves_the_state_before_it_and_the_next_one_goes_on(stores: Stores, tmp_path: Path) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0")
    store.command("backup", target)
    source = tmp_path / "many"
    write_charts(source, *(f"1.{number}.0" for number in range(150)))
    store.command("import", str(source))
    with store.start("backup", target) as process:
        kill_when(process, lambda: len(files_of(target, "blobs")) > 40)
    assert len(files_of(target, "blobs")) < 151
    early = tmp_path / "early"
    shutil.copytree(target, early)
    (early / ".chartroom" / "backup.lock").unlink()  # of another place now: nobody writes to the copy
    assert shown(restored(stores, str(early))) == {"mychart-0.1.0.tgz"}
    said = store.command("backup", target)
    assert said.endswith("clean\n")
    assert not said.startswith("150 blobs"), "what the killed run had copied was there"
    assert len(shown(restored(stores, target))) == 151


def test_charts_that_are_deleted_and_collected_meanwhile_do_no_harm(stores: Stores, tmp_path: Path) -> None:
    """The run is stopped when it has listed the ledger and copied some blobs; then the records it listed go."""
    store, target = stores.make("sqlite"), stores.make_place("folder")
    write_charts(tmp_path / "many", *(f"1.{number}.0" for number in range(100)))
    store.command("import", str(tmp_path / "many"))
    with store.serve() as server, store.start("backup", target) as process:
        while len(files_of(target, "blobs")) < 10:
            assert process.poll() is None, "it ended before it could be stopped"
        process.send_signal(signal.SIGSTOP)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for number in range(95):
                assert client.delete(f"/api/charts/mychart/1.{number}.0").status_code == 200
        for _ in range(2):
            store.command("gc", CHARTROOM_GC_GRACE="0")
        assert len(files_of(store.storage, "blobs")) == 5
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=60)
    assert said.endswith("the backup holds 1 repository, 1 chart, 5 versions, 0 provenance files\nclean\n")
    assert process.returncode == 0
    assert len(files_of(target, "blobs")) == 5
    assert len(shown(restored(stores, target))) == 5


def test_damage_in_the_copy_is_found_and_mended_from_the_store(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0", "0.3.0")
    store.command("backup", target)
    short, lost, changed = files_of(target, "blobs")
    whole = {path: path.read_bytes() for path in (short, lost, changed)}
    short.write_bytes(whole[short][:-1])
    lost.unlink()
    changed.write_bytes(bytes(byte ^ 1 for byte in whole[changed]))
    segment = files_of(target, "ledger")[0]
    text = segment.read_bytes()
    segment.write_bytes(text.replace(b"0.1.0", b"0.1.7"))
    said = store.command("backup", target)
    assert f"mended: blob sha256:{short.name} (mychart-" in said
    assert f"mended: ledger segment .chartroom/ledger/%/{segment.name} was damaged" in said
    assert f"mended: blob sha256:{changed.name} (mychart-" in store.command("backup", target, "--full")
    assert {path: path.read_bytes() for path in whole} == whole
    assert segment.read_bytes() == text


def test_what_the_store_itself_lost_is_named_until_the_copy_has_it(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    blobs = files_of(store.storage, "blobs")
    blobs[0].unlink()
    blobs[1].write_bytes(b"rot")
    said = store.run("backup", target)
    assert said.code == 4
    assert f"wrong: blob sha256:{blobs[0].name} (mychart-0." in said.text
    assert ") is missing in the source\n" in said.text
    assert ") is damaged: the sha256 of its bytes is " in said.text
    assert said.text.endswith("2 things wrong\n")
    with store.serve() as server:
        upload(server.url, "0.1.0", "0.2.0", query="?force")
    assert store.command("backup", target).endswith("clean\n")


def test_a_torn_ledger_is_not_backed_up_over_a_whole_one(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    store.command("backup", target)
    publish(store, "0.3.0", "0.4.0")
    files_of(store.storage, "ledger")[2].unlink()
    said = store.run("backup", target)
    assert said.code == 2
    assert "the root repository has a gap" in said.text
    assert shown(restored(stores, target)) == {"mychart-0.1.0.tgz", "mychart-0.2.0.tgz"}


def test_two_stores_never_share_a_backup(stores: Stores) -> None:
    one, other, target = stores.make("sqlite"), stores.make("sqlite"), stores.make_place("folder")
    empty = one.run("backup", target)
    assert (empty.code, "is it the right --storage?" in empty.text) == (2, True)
    publish(one, "0.1.0")
    publish(other, "0.1.0")
    one.command("backup", target)
    before = {path: path.read_bytes() for path in files_of(target, ".")}
    said = other.run("backup", target)
    assert (said.code, "holds the backup of another store" in said.text) == (2, True)
    for store in (one, other):
        place = str(Path(store.storage) / "backup")
        assert "lie in each other" in store.run("backup", place).text
        said = store.run("backup", next(each.storage for each in (one, other) if each is not store))
        assert (said.code, "holds another store's ledger" in said.text) == (2, True)
    assert {path: path.read_bytes() for path in files_of(target, ".")} == before


@pytest.mark.parametrize("first", ["original", "restored"])
def test_a_store_and_its_restored_copy_never_write_into_one_backup_in_turn(stores: Stores, first: str) -> None:
    original, target = stores.make("sqlite"), stores.make_place("folder")
    publish(original, "0.1.0")
    original.command("backup", target)
    copy = restored(stores, target)
    publish(original, "0.2.0")
    publish(copy, "0.3.0")
    one, other = (original, copy) if first == "original" else (copy, original)
    assert one.command("backup", target).endswith("clean\n")
    refused = other.run("backup", target)
    assert (refused.code, "holds the backup of another store" in refused.text) == (2, True)
    assert one.command("backup", target).endswith("clean\n")
    assert shown(restored(stores, target)) == {"mychart-0.1.0.tgz", f"mychart-0.{2 if one is original else 3}.0.tgz"}


def test_a_copy_of_two_folders_is_continued_by_its_store_alone(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0")
    copy_folders(store, target)
    publish(store, "0.2.0")
    assert "1 blob and 1 segment were there" in store.command("backup", target)
    went_on = stores.make("sqlite")
    shutil.copytree(Path(target), went_on.storage)
    publish(went_on, "0.3.0")
    publish(store, "0.4.0")
    said = store.run("backup", went_on.storage)
    assert (said.code, "that this store never had" in said.text) == (2, True)
