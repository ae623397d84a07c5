"""The way back from a backup: into an empty storage and nowhere else, whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.live import serve
from tests.stories.shop import write_charts
from tests.stories.stores import Store, Stores, list_files
from tests.stories.test_backup import copy_folders, files_of, kill_when, publish, restored, shown, upload

TWO = {"mychart-0.1.0.tgz", "mychart-0.2.0.tgz"}


@pytest.fixture
def backup(stores: Stores) -> str:
    """Return a backup of a store with two charts."""
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    store.command("backup", target)
    return target


def contents_of(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for part in ("ledger", "blobs") for path in files_of(store.storage, part)}


def read_versions(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute("SELECT version FROM chart_versions ORDER BY version")]
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["sqlite", "bucket"])
@pytest.mark.usefixtures("s3_endpoint")
def test_an_old_database_file_is_set_aside(stores: Stores, kind: str, backup: str) -> None:
    """Its revisions are ahead of the ledger that comes: a server would take the database for the newer of both."""
    old, store = stores.make("sqlite"), stores.make(kind)
    publish(old, "5.0.0", "6.0.0", "7.0.0", "8.0.0")
    database = Path(store.database.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(old.storage) / ".chartroom" / "chartroom.db", database)
    said = store.command("restore", backup)
    aside = next(database.parent.glob("chartroom.db.before-restore-*Z"))
    assert f"the old database is set aside as {aside}\n" in said
    assert read_versions(aside) == ["5.0.0", "6.0.0", "7.0.0", "8.0.0"]
    assert shown(store) == TWO
    assert store.command("verify").endswith("clean\n")


def test_a_broken_database_file_is_set_aside_too(stores: Stores, backup: str) -> None:
    store = stores.make("sqlite")
    folder = Path(store.storage) / ".chartroom"
    folder.mkdir(parents=True)
    (folder / "chartroom.db").write_bytes(b"this is no database" * 1000)
    (folder / "chartroom.db-wal").write_bytes(b"a log of nothing")
    store.command("restore", backup)
    assert shown(store) == TWO


def test_a_postgres_that_holds_a_catalogue_is_left_alone(stores: Stores, backup: str) -> None:
    """It may be another store's: whoever restores to look at a backup may have its address in the environment."""
    one, other = stores.make("postgres"), stores.make("postgres")
    publish(one, "5.0.0")
    other.database = one.database
    said = other.run("restore", backup)
    assert (said.code, "the database holds a catalogue already" in said.text) == (2, True)
    assert "name it with --database" in said.text
    assert not files_of(other.storage, ".")
    assert shown(one) == {"mychart-5.0.0.tgz"}
    other.database = stores.make_database()
    other.command("restore", backup)
    assert shown(other) == TWO


@pytest.mark.parametrize("same", [False, True], ids=["another store", "a copy that went on"])
def test_a_store_with_a_ledger_of_its_own_is_left_alone(stores: Stores, backup: str, same: bool) -> None:
    store = restored(stores, backup) if same else stores.make("sqlite")
    publish(store, "0.3.0")
    newer = stores.make("sqlite")
    newer.command("restore", backup)
    publish(newer, "0.4.0")
    target = stores.make_place("folder")
    newer.command("backup", target)
    before = contents_of(store)
    said = store.run("restore", target)
    assert said.code == 2
    assert "holds a store with a ledger of its own" in said.text
    assert contents_of(store) == before


def test_a_store_that_has_all_of_it_and_more_says_so_and_stays(stores: Stores, backup: str) -> None:
    store = restored(stores, backup)
    publish(store, "0.3.0")
    before = contents_of(store)
    said = store.command("restore", backup)
    assert said == (
        "nothing to restore: the storage holds the same store with all 2 ledger segments of this backup, and 1 since\n"
    )
    assert contents_of(store) == before
    assert len(shown(store)) == 3


def test_lost_files_of_the_same_state_come_back(stores: Stores, backup: str) -> None:
    store = restored(stores, backup)
    before = contents_of(store)
    one, other = files_of(store.storage, "blobs")
    one.unlink()
    other.write_bytes(bytes(byte ^ 1 for byte in other.read_bytes()))
    assert "2 blobs of " in store.command("restore", backup)
    assert contents_of(store) == before
    assert shown(store) == TWO


def test_damage_in_the_backup_is_named(stores: Stores, backup: str) -> None:
    lost, changed = files_of(backup, "blobs")
    lost.unlink()
    changed.write_bytes(b"rot")
    store = stores.make("sqlite")
    said = store.run("restore", backup)
    assert said.code == 4
    assert f"wrong: blob sha256:{lost.name} (mychart-0." in said.text
    assert ") is missing in the source\n" in said.text
    assert f"wrong: blob sha256:{changed.name} (mychart-0." in said.text
    assert said.text.count(") is damaged: the sha256 of its bytes is ") == 1
    with store.serve() as server:
        assert httpx.get(f"{server.url}/charts/mychart-0.1.0.tgz").status_code >= 400


@pytest.mark.parametrize("damage", ["missing", "changed", "list"])
def test_a_backup_with_a_torn_ledger_changes_nothing(stores: Stores, backup: str, damage: str) -> None:
    first = files_of(backup, "ledger")[0]
    manifest = Path(backup) / ".chartroom" / "backup.jsonl"
    if damage == "missing":
        first.unlink()
    elif damage == "changed":
        first.write_bytes(first.read_bytes().replace(b"0.1.0", b"0.1.7"))
    else:
        manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    store = stores.make("sqlite")
    said = store.run("restore", backup)
    assert said.code == 2
    assert (manifest.name if damage == "list" else first.name) in said.text
    assert not files_of(store.storage, ".")


@pytest.mark.parametrize("lease", ["0", "90s", "10m"])
def test_a_running_server_is_not_restored_under(stores: Stores, backup: str, lease: str) -> None:
    store = stores.make("sqlite")
    with store.serve(CHARTROOM_LEASE=lease):
        said = store.run("restore", backup)
        assert (said.code, "a server writes to the storage" in said.text) == (2, True)
        assert "stop it first" in said.text
    store.command("restore", backup)
    assert shown(store) == TWO


def test_a_server_on_the_target_keeps_a_backup_out(stores: Stores, backup: str, tmp_path: Path) -> None:
    store = stores.make("sqlite")
    publish(store, "0.1.0")
    with serve(tmp_path / "busy") as server:
        upload(server.url, "0.9.0")
        said = store.run("backup", str(tmp_path / "busy"))
    assert (said.code, "a server writes to the target" in said.text) == (2, True)


def test_a_killed_restore_is_no_store_until_it_has_ended(stores: Stores, tmp_path: Path) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    write_charts(tmp_path / "many", *(f"1.{number}.0" for number in range(150)))
    store.command("import", str(tmp_path / "many"))
    store.command("backup", target)
    other = stores.make("sqlite")
    with other.start("restore", target) as process:
        kill_when(process, lambda: len(files_of(other.storage, "blobs")) > 40)
    with other.serve(wait_for="") as server:
        wait_for_reason(server.url, "a restore into this storage has not ended")
        assert httpx.post(f"{server.url}/api/charts", content=make_chart()).status_code == 503
        assert httpx.get(f"{server.url}/index.yaml").status_code == 503
    for words in (("reindex",), ("backup", stores.make_place("folder"))):
        said = other.run(*words)
        assert (said.code, "run `chartroom restore` again" in said.text) == (2, True), (words, said.text)
    foreign = stores.make("sqlite")
    publish(foreign, "0.1.0")
    place = stores.make_place("folder")
    foreign.command("backup", place)
    said = other.run("restore", place)
    while "a server writes to the storage" in said.text:  # the one above had the lease, which ends by itself
        time.sleep(1)
        said = other.run("restore", place)
    assert (said.code, "a restore of another state has not ended" in said.text) == (2, True)
    said = other.command("restore", target)
    assert not said.startswith("150 blobs"), "what the killed run had brought was there"
    assert "\nclean\n" in said
    assert len(shown(other)) == 150


def wait_for_reason(url: str, text: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if text in httpx.get(f"{url}/-/ready", timeout=5).text:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server never said {text!r}")


def test_two_folders_can_be_restored_too(stores: Stores) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    publish(store, "0.1.0", "0.2.0")
    copy_folders(store, target)
    assert shown(restored(stores, target)) == TWO


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "there is no folder"),
        ("empty", "no backup lies in the source"),
        ("ftp://host/backup", "ftp:// is no place for a backup"),
    ],
)
def test_what_is_no_backup_is_refused(stores: Stores, tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    store = stores.make("sqlite")
    said = store.run("restore", source if "://" in source else str(tmp_path / source))
    assert (said.code, words in said.text) == (2, True), said.text


def test_a_first_backup_that_was_killed_is_none_yet(stores: Stores, tmp_path: Path) -> None:
    store, target = stores.make("sqlite"), stores.make_place("folder")
    write_charts(tmp_path / "many", *(f"1.{number}.0" for number in range(100)))
    store.command("import", str(tmp_path / "many"))
    with store.start("backup", target) as process:
        kill_when(process, lambda: len(files_of(target, "blobs")) > 20)
    (Path(target) / ".chartroom" / "backup.lock").unlink()
    said = stores.make("sqlite").run("restore", target)
    assert (said.code, "the first backup to the source has not ended" in said.text) == (2, True)
    foreign = stores.make("sqlite")
    publish(foreign, "0.1.0")
    assert "holds the backup of another store" in foreign.run("backup", target).text
    store.command("backup", target)
    assert len(shown(restored(stores, target))) == 100


def test_a_bucket_is_restored_from_a_bucket(stores: Stores, s3_endpoint: str) -> None:
    store, target = stores.make("bucket"), stores.make_place("bucket")
    publish(store, "0.1.0", "0.2.0")
    assert f"{target} is the storage itself" in store.run("backup", store.storage).text.replace(store.storage, target)
    store.command("backup", target)
    other = restored(stores, target, "bucket")
    with other.serve() as server:
        assert list_files(server.url) == TWO
