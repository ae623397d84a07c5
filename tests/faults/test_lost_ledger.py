"""The ledger in storage is lost, older than the database or has a hole: it is said, and written again in time.

"In time" is before the next upload is acknowledged: each test ends with an empty database that is made from storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.faults.places import BLOBS, LEDGER, Place, entries, until, upload
from tests.live import LiveServer
from tests.stories.shop import make_provenance


def fill(server: LiveServer) -> None:
    """Commit to two repositories in turn: six charts, one replaced, one deleted, one signed."""
    for number in range(3):
        upload(server, f"chart{number}")
        upload(server, f"other{number}", repository="org/team")
    replaced = make_chart("chart0", "0.1.0", description="replaced")
    assert httpx.post(f"{server.url}/api/charts?force", content=replaced).status_code == 201
    assert httpx.delete(f"{server.url}/api/charts/chart1/0.1.0").status_code == 200
    assert httpx.post(f"{server.url}/api/prov", content=make_provenance("chart2", "0.1.0")).status_code == 201


def look(server: LiveServer) -> tuple[object, ...]:
    """Return what clients see: both indexes with their archives, provenance, tags, manifest."""
    answers = [
        httpx.get(f"{server.url}{path}")
        for path in ("/charts/chart2-0.1.0.tgz.prov", "/v2/chart0/tags/list", "/v2/org/team/other1/manifests/0.1.0")
    ]
    return entries(server), entries(server, "org/team"), [(answer.status_code, answer.content) for answer in answers]


def lose_all(names: list[str]) -> list[str]:
    return names


def lose_a_folder(names: list[str]) -> list[str]:
    return [name for name in names if "/org%2Fteam/" in name]


def lose_the_newest(names: list[str]) -> list[str]:
    return names[-1:]


def lose_one_in_the_middle(names: list[str]) -> list[str]:
    return [[name for name in names if "/%/" in name][1]]


def lose_the_newest_half(names: list[str]) -> list[str]:
    return names[len(names) // 2 :]


LOSSES = [lose_all, lose_a_folder, lose_the_newest, lose_one_in_the_middle, lose_the_newest_half]


def lose(place: Place, choose: Callable[[list[str]], list[str]]) -> None:
    """Remove segments; `choose` gets all keys in the order of their commits."""
    keys = sorted(place.take(LEDGER), key=lambda key: key.rpartition("/")[2])
    for key in choose(keys):
        place.remove(key)


def drop_database(place: Place, tmp_path: Path) -> None:
    """Let the next start begin with no database at all."""
    if place.database.startswith("postgres"):
        place.database = f"sqlite:///{tmp_path / 'anew' / 'charts.db'}"
        return
    place.lose_database()


@pytest.mark.parametrize("choose", LOSSES)
def test_a_start_writes_what_is_lost_again_before_it_acknowledges(
    place: Place, tmp_path: Path, choose: Callable[[list[str]], list[str]]
) -> None:
    with place.serve() as server:
        fill(server)
        before = look(server)
    lose(place, choose)
    with place.serve() as server:
        assert look(server) == before
        assert "[error" in server.log.read_text()
        assert "written again from the database" in server.log.read_text()
        upload(server, "afterwards")
        upload(server, "afterwards", repository="org/team")
        before = look(server)
    assert place.run("verify").returncode == 0
    drop_database(place, tmp_path)
    with place.serve() as server:
        assert look(server) == before
        upload(server, "and-on")


@pytest.mark.parametrize("choose", LOSSES)
def test_a_running_server_writes_it_again_too(tmp_path: Path, choose: Callable[[list[str]], list[str]]) -> None:
    place = Place(tmp_path / "store", {"CHARTROOM_GC_INTERVAL": "1s", "CHARTROOM_LEASE": "2s"})
    with place.serve() as server:
        fill(server)
        before = look(server)
        lose(place, choose)
        until(lambda: "written again from the database" in server.log.read_text(), 30)
        until(lambda: httpx.get(f"{server.url}/-/ready?write").status_code == 200, 30)
        assert look(server) == before
        upload(server, "afterwards")
        upload(server, "afterwards", repository="org/team")
        before = look(server)
    place.lose_database()
    with place.serve() as server:
        assert look(server) == before


@pytest.mark.parametrize("choose", LOSSES)
def test_verify_names_it_and_repairs_it(tmp_path: Path, choose: Callable[[list[str]], list[str]]) -> None:
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        fill(server)
        before = look(server)
    lose(place, choose)
    found = place.run("verify")
    assert (found.returncode, "wrong: " in found.stdout) == (4, True), found.stdout
    done = place.run("verify", "--repair")
    assert done.returncode == 0, done.stdout
    assert "mended: the ledger of" in done.stdout
    assert place.run("verify").stdout.splitlines()[-1] == "clean"
    place.lose_database()
    assert place.run("reindex").returncode == 0
    with place.serve() as server:
        assert look(server) == before


def test_a_whole_ledger_is_left_alone(place: Place) -> None:
    with place.serve() as server:
        fill(server)
    ledger = place.take(LEDGER)
    for _ in range(2):
        with place.serve() as server:
            assert len(entries(server)) == 2
            assert "[error" not in server.log.read_text()
        assert place.run("verify", "--repair").returncode == 0
        assert place.take(LEDGER) == ledger


def test_a_segment_that_was_killed_on_its_way_is_not_lost(tmp_path: Path) -> None:
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        fill(server)
        server.kill()
    with place.serve() as server:
        assert "written again" not in server.log.read_text()


@pytest.mark.parametrize("damage", [b"", b"\x00\xff garbage \xfe" * 50, b'{"ledger":1}\n[]\n'])
def test_a_damaged_segment_is_written_again_by_verify(tmp_path: Path, damage: bytes) -> None:
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        fill(server)
        before = look(server)
    for key in list(place.take(LEDGER))[1:3]:
        place.put({key: damage})
    found = place.run("verify")
    assert found.returncode == 4
    assert "is damaged" in found.stdout
    assert "Traceback" not in found.stderr + found.stdout
    assert place.run("verify", "--repair").returncode == 0
    place.lose_database()
    with place.serve() as server:
        assert look(server) == before


def test_reindex_does_not_throw_away_rows_that_the_ledger_lost(place: Place) -> None:
    with place.serve() as server:
        fill(server)
        before = look(server)
    place.drop(LEDGER)
    done = place.run("reindex")
    assert done.returncode == 2
    assert "chartroom verify --repair" in done.stderr
    assert "Traceback" not in done.stderr
    with place.serve() as server:
        assert look(server) == before


def test_what_another_database_wrote_after_a_loss_is_a_fork_and_stays(tmp_path: Path) -> None:
    """One database's last records are lost, another one goes on from what is left; then the first one comes back."""
    place, other = Place(tmp_path / "store", {}), Place(tmp_path / "store", {}, f"sqlite:///{tmp_path / 'other.db'}")
    with place.serve() as server:
        upload(server, "mychart", "0.1.0", "0.2.0", "0.3.0", "0.4.0")
    lose(place, lambda names: names[-2:])
    with other.serve() as server:
        upload(server, "mychart", "0.9.0")
    ledger = place.take(LEDGER)
    with place.serve(wait_for="/health") as server:
        answer = httpx.get(f"{server.url}/-/ready?write")
        while "replaying" in answer.text or "starting" in answer.text:
            time.sleep(0.05)
            answer = httpx.get(f"{server.url}/-/ready?write")
        assert answer.status_code == 503
        assert "fork" in answer.text
        assert httpx.post(f"{server.url}/api/charts", content=make_chart("x")).status_code == 503
    assert place.take(LEDGER) == ledger


@pytest.mark.parametrize("way", ["start", "reindex"])
def test_when_the_last_record_and_the_database_are_gone_its_blob_is_named(
    place: Place, tmp_path: Path, way: str
) -> None:
    content = make_chart("last", "0.1.0", description="x" * 100)
    with place.serve() as server:
        fill(server)
        known = set(place.take(BLOBS))
        assert httpx.post(f"{server.url}/api/charts", content=content).status_code == 201
    (key,) = set(place.take(BLOBS)) - known
    lose(place, lose_the_newest)
    drop_database(place, tmp_path)
    if way == "reindex":
        done = place.run("reindex")
        assert done.returncode == 0
        said = done.stdout
    else:
        with place.serve() as server:
            said = server.log.read_text()
    assert key in said
    assert f"{len(content)} bytes" in said
    assert "written 20" in said
    verified = place.run("verify").stdout
    assert "note: newer than the last record" in verified
    assert key in verified


def test_a_folder_that_is_gone_with_the_database_leaves_a_gap_that_is_named(tmp_path: Path) -> None:
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        fill(server)
    lose(place, lose_a_folder)
    place.lose_database()
    with place.serve() as server:
        assert "records are missing" in server.log.read_text()
    assert "note: no segment has revision" in place.run("verify").stdout


def test_an_old_ledger_beside_a_database_that_went_on_without_it_hides_nothing(tmp_path: Path) -> None:
    """Ledger and database are lost, an upload is acknowledged, and only then the ledger is restored from a backup."""
    place = Place(tmp_path / "store", {})
    with place.serve() as server:
        fill(server)
    lose(place, lose_all)
    with place.serve() as server:  # writes a snapshot in its place
        assert len(entries(server)) == 2
    backup = place.take(LEDGER)
    place.drop(LEDGER)
    place.lose_database()
    with place.serve() as server:
        upload(server, "afterwards")
    place.put(backup)
    with place.serve() as server:
        assert "charts/afterwards-0.1.0.tgz" in entries(server)
        refused = httpx.post(f"{server.url}/api/charts", content=make_chart("more"))
        assert refused.status_code == 503
        assert "has a fork" in refused.json()["error"]
        assert "charts/afterwards-0.1.0.tgz" in entries(server)
