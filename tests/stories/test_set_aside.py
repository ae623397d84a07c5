"""Records of the ledger that no database can hold: named and left out, and everything else comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.oci import MANIFEST_TYPE
from tests.api.wire import ask
from tests.charts import make_chart
from tests.house import open_house
from tests.oci.client import digest_of, image
from tests.stories.shop import run_reindex, run_verify

CONFIG = b"{}"
BAD, GOOD = image(CONFIG, artifactType="application/bad"), image(CONFIG, artifactType="application/good")
Change = Callable[[dict[str, Any]], None]


async def push(client: httpx.AsyncClient, name: str, tag: str, manifest: bytes) -> None:
    uploaded = await ask(client, "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(CONFIG)}", chunks=[CONFIG])
    assert uploaded.status == 201
    target, headers = f"/v2/{name}/manifests/{tag}", {"content-type": MANIFEST_TYPE}
    assert (await ask(client, "PUT", target, headers=headers, chunks=[manifest])).status == 201


async def fill(store: Path) -> None:
    """Publish charts and artifacts in two repositories, some of them after the record that goes bad."""
    async with open_house(store) as (client, _house):
        assert (await client.post("/api/org/charts", content=make_chart("before"))).status_code == 201
        await push(client, "org/art", "good", GOOD)
        await push(client, "org/art", "bad", BAD)
        assert (await client.post("/api/org/charts", content=make_chart("after"))).status_code == 201
        assert (await client.post("/api/charts", content=make_chart("root"))).status_code == 201


def spoil(store: Path, change: Change, *, repository: str = "org") -> None:
    """Change records of a repository's ledger; the segments get the names that their new content asks for."""
    for path in (store / ".chartroom" / "ledger" / repository).iterdir():
        header, *lines = path.read_bytes().splitlines()
        records = [json.loads(line) for line in lines]
        for record in records:
            change(record)
        content = b"\n".join([header, *(json.dumps(one, separators=(",", ":")).encode() for one in records), b""])
        revision, catalogue, rest = path.name.split("-")
        digest, ending = hashlib.sha256(content).hexdigest()[:32], rest.partition(".")[2]
        path.unlink()
        (path.parent / f"{revision}-{catalogue}-{digest}.{ending}").write_bytes(content)


def put_nul(record: dict[str, Any]) -> None:
    """Make what 27bfc88 wrote for a manifest with a NUL in its type."""
    if record["kind"] == "manifest" and record.get("artifact_type") == "application/bad":
        record["artifact_type"] = "application/\0bad"


def put_huge(record: dict[str, Any]) -> None:
    if record["kind"] == "manifest" and record.get("artifact_type") == "application/bad":
        record["created"] = 2**63


def put_short(record: dict[str, Any]) -> None:
    if record["kind"] == "manifest" and record.get("artifact_type") == "application/bad":
        del record["subject"]


async def look(store: Path, url: str) -> dict[str, Any]:
    async with open_house(store, database=url) as (client, _house):
        return {
            "names": (await client.get("/v2/_catalog")).json()["repositories"],
            "tags": (await client.get("/v2/org/art/tags/list")).json()["tags"],
            "good": (await client.get("/v2/org/art/manifests/good")).content,
            "bad": (await client.get(f"/v2/org/art/manifests/{digest_of(BAD)}")).status_code,
            "org": sorted((await client.get("/org/index.yaml")).json()["entries"]),
            "root": sorted((await client.get("/index.yaml")).json()["entries"]),
        }


LEFT = {
    "names": ["org/after", "org/art", "org/before", "root"], "tags": ["good"], "good": GOOD, "bad": 404,
    "org": ["after", "before"], "root": ["root"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [(put_nul, "its artifact_type holds a NUL"), (put_huge, "its created is no number"), (put_short, "lacks subject")],
)
async def test_one_record_that_no_database_holds_is_named_and_the_rest_comes_back(
    catalogue_url: str, tmp_path: Path, change: Change, reason: str
) -> None:
    store = tmp_path / "store"
    await fill(store)
    spoil(store, change)
    said = await run_reindex(store, database=catalogue_url)
    assert said.code == 0
    digest = digest_of(BAD).removeprefix("sha256:")
    assert reason in said.find(f"repository org: manifest art {digest} is set aside")
    assert "its manifest is set aside" in said.find("repository org: tag art bad is set aside")
    assert await look(store, catalogue_url) == LEFT
    checked = await run_verify(store, database=catalogue_url)
    assert checked.code == 4
    assert reason in checked.find(f"wrong: repository org: manifest art {digest} is set aside")
    assert [line for line in checked.lines if line.startswith("wrong")] == [
        checked.find(f"manifest art {digest}"), checked.find("tag art bad")
    ]  # fmt: skip


async def test_a_start_on_a_lost_database_names_the_record_in_its_log(
    catalogue_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    await fill(store)
    spoil(store, put_nul)
    assert await look(store, catalogue_url) == LEFT
    logged = capsys.readouterr()
    [line] = [
        line for line in (logged.out + logged.err).splitlines() if "is set aside" in line and "artifact_type" in line
    ]
    assert digest_of(BAD).removeprefix("sha256:") in line


async def test_a_database_that_holds_the_record_is_repaired_once(tmp_path: Path) -> None:
    """SQLite of 27bfc88 has the row: verify names both sides, and with --repair the ledger says that it is gone."""
    store = tmp_path / "store"
    await fill(store)
    spoil(store, put_nul)
    found = await run_verify(store)
    assert found.code == 4
    assert "is set aside" in found.find("its artifact_type holds a NUL")
    repaired = await run_verify(store, repair=True)
    assert repaired.code == 0, repaired.lines
    assert await look(store, f"sqlite:///{store}/.chartroom/chartroom.db") == LEFT
    assert (await run_verify(store)).lines[-1] == "clean"
    assert (await run_reindex(store)).code == 0


async def test_a_tag_that_is_put_again_comes_back(catalogue_url: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    await fill(store)
    async with open_house(store) as (client, _house):
        await push(client, "org/art", "bad", GOOD)
    spoil(store, put_nul)
    said = await run_reindex(store, database=catalogue_url)
    assert len([line for line in said.lines if "is set aside" in line]) == 1
    assert (await look(store, catalogue_url))["tags"] == ["bad", "good"]


@pytest.mark.parametrize("field", ["op", "kind"])
async def test_a_record_of_a_newer_version_stops_the_replay_and_is_named(
    catalogue_url: str, tmp_path: Path, field: str
) -> None:
    """What it means is not known, so a catalogue without it would be wrong in a way that nobody can name."""
    store = tmp_path / "store"
    await fill(store)

    def put_unknown(record: dict[str, Any]) -> None:
        if record["kind"] == "tag" and record["tag"] == "bad":
            record[field] = "widget"

    spoil(store, put_unknown)
    async with open_house(store, database=catalogue_url) as (client, _house):
        ready = await client.get("/-/ready")
        assert ready.status_code == 503
        assert "widget" in ready.text
        assert "a newer version wrote it" in ready.text
        assert (await client.post("/api/charts", content=make_chart("x"))).status_code == 503
    checked = await run_verify(store, database=catalogue_url)
    assert checked.code == 4
    assert "run that version again" in checked.find("widget")
