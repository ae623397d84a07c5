"""A blob that no record ever named is not garbage: it is kept, listed, and only removed after a wait or by order."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.faults.places import AT_ONCE, BLOBS, Place, entries, make_backup, until, upload
from tests.live import LiveServer


def shows(server: LiveServer, number: int) -> bool:
    """Return whether the root's index can be read and lists so many charts."""
    return httpx.get(f"{server.url}/index.yaml").status_code == 200 and len(entries(server)) == number


def log_of(server: LiveServer) -> str:
    return server.log.read_text()


def test_a_backup_that_is_copied_under_a_running_server_is_not_collected(place: Place, tmp_path: Path) -> None:
    """The server notices the ledger before it collects, and shows what the backup holds."""
    backup = make_backup(tmp_path)
    blobs = {key: content for key, content in backup.items() if key.startswith(BLOBS)}
    with place.serve(**{**AT_ONCE, "CHARTROOM_GC_INTERVAL": "1s"}) as server:
        place.put(blobs)
        until(lambda: log_of(server).count("gc --force") == 2)  # at two collections
        assert place.take(BLOBS) == blobs
        place.put(backup)
        until(lambda: shows(server, 3))
        assert "[error" in log_of(server)
        time.sleep(3)
        assert place.take(BLOBS) == blobs
        until(lambda: httpx.get(f"{server.url}/-/ready").status_code == 200)
        until(lambda: httpx.delete(f"{server.url}/api/charts/one/0.1.0").status_code == 200)
    assert "would go" in place.run("gc", "--dry-run", **AT_ONCE).stdout


def test_the_command_collects_nothing_of_a_backup_that_a_running_server_has_not_seen(tmp_path: Path) -> None:
    place, backup = Place(tmp_path / "store", {}), make_backup(tmp_path)
    with place.serve(**AT_ONCE) as server:
        place.put(backup)
        for _ in range(2):
            assert place.run("gc", **AT_ONCE).returncode == 0
        assert place.take(BLOBS) == {key: content for key, content in backup.items() if key.startswith(BLOBS)}
        assert len(entries(server)) == 3


@pytest.mark.parametrize("names", [["one"], [f"chart{number}" for number in range(20)]], ids=["one", "twenty"])
def test_blobs_without_ledger_and_database_stay_and_nothing_says_clean(tmp_path: Path, names: list[str]) -> None:
    place = Place(tmp_path / "store", {})
    place.put({key: content for key, content in make_backup(tmp_path, *names).items() if key.startswith(BLOBS)})
    blobs = place.take(BLOBS)
    for _ in range(2):
        done = place.run("gc", **AT_ONCE)
        assert done.returncode == 2
        assert "gc --force" in done.stderr
        assert "ledger" in done.stderr
    assert place.take(BLOBS) == blobs
    verified = place.run("verify")
    assert verified.returncode == 4
    assert f"{len(blobs)} blobs" in verified.stdout or "1 blob " in verified.stdout
    assert "clean" not in verified.stdout
    listed = place.run("gc", "--dry-run", **AT_ONCE)
    assert f"unknown: {len(blobs)} blob" in listed.stdout
    assert str(sum(map(len, blobs.values()))) in listed.stdout


def test_many_blobs_without_ledger_stop_writes_until_a_person_decides(place: Place, tmp_path: Path) -> None:
    backup = make_backup(tmp_path, *(f"chart{number}" for number in range(20)))
    place.put({key: content for key, content in backup.items() if key.startswith(BLOBS)})
    with place.serve(wait_for="/health", **AT_ONCE) as server:
        until(lambda: "gc --force" in httpx.post(f"{server.url}/api/charts", content=b"x").text)
        for _ in range(30):  # it looks again every two seconds
            refused = httpx.post(f"{server.url}/api/charts", content=b"x")
            assert refused.status_code == 503
            assert "gc --force" in refused.text
            assert ".chartroom/ledger" in refused.text
            assert httpx.get(f"{server.url}/-/ready").status_code == 503
            time.sleep(0.1)
        assert log_of(server).count("gc --force") == 1
        place.put(backup)  # the ledger is restored
        until(lambda: shows(server, 20))
        until(lambda: httpx.delete(f"{server.url}/api/charts/chart1/0.1.0").status_code == 200)


def test_a_person_who_accepts_the_loss_types_what_the_message_says(place: Place, tmp_path: Path) -> None:
    backup = make_backup(tmp_path, *(f"chart{number}" for number in range(20)))
    place.put({key: content for key, content in backup.items() if key.startswith(BLOBS)})
    with place.serve(wait_for="/health", **AT_ONCE) as server:
        until(lambda: "gc --force" in httpx.post(f"{server.url}/api/charts", content=b"x").text)
        done = place.run("gc", "--force", **AT_ONCE)
        assert done.returncode == 0, done.stderr
        until(lambda: httpx.post(f"{server.url}/api/charts", content=b"x").status_code == 400)
        upload(server, "mine")
        time.sleep(0.1)
        assert place.run("gc", **AT_ONCE).returncode == 0
        assert len(place.take(BLOBS)) == 1
        assert sorted(entries(server)) == ["charts/mine-0.1.0.tgz"]
