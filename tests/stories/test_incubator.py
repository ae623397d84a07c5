"""The main job on real input: 1,234 published packages go in, and Helm's own code gets them back.

The packages lie in a folder that CHARTROOM_TEST_INCUBATOR names: `index.yaml` and `packages/`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.domain.times import parse_time
from tests.keys import make_key
from tests.live import LiveServer, serve
from tests.needs import find_incubator
from tests.stories.sdk import ask_helm
from tests.stories.shop import run_import

PULLED = 100


@pytest.fixture(scope="module")
def packages() -> Path:
    return find_incubator() / "packages"


@pytest.fixture(scope="module")
def source(packages: Path) -> dict[str, dict[str, Any]]:
    """What the source's index says of each version, by file name."""
    index = yaml.load((packages.parent / "index.yaml").read_bytes(), Loader=yaml.CBaseLoader)
    entries = (entry for versions in index["entries"].values() for entry in versions)
    return {entry["urls"][0].rpartition("/")[2]: entry for entry in entries}


@pytest.fixture(scope="module")
def server(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    import asyncio

    store = tmp_path_factory.mktemp("incubator") / "store"
    said = asyncio.run(run_import(store, packages.parent))
    assert said.code == 0, said.lines[-5:]
    with serve(store) as running:
        yield running


def _entries(server: LiveServer) -> dict[str, dict[str, Any]]:
    index = httpx.get(f"{server.url}/index.yaml", timeout=30).json()
    return {entry["urls"][0].rpartition("/")[2]: entry for versions in index["entries"].values() for entry in versions}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_package_is_there_with_its_digest(server: LiveServer, packages: Path) -> None:
    files = {path.name: _digest(path) for path in packages.glob("*.tgz")}
    assert len(files) == 1234
    assert {name: entry["digest"] for name, entry in _entries(server).items()} == files


def test_created_is_that_of_the_source_index(server: LiveServer, source: dict[str, dict[str, Any]]) -> None:
    found = _entries(server)
    assert len(source) == 1232
    different = [
        name for name, entry in source.items() if parse_time(found[name]["created"]) != parse_time(entry["created"])
    ]
    assert different == []


def test_helms_own_code_loads_the_index_in_both_forms(server: LiveServer) -> None:
    for url in (server.url, f"{server.url}/?format=yaml"):
        entries = ask_helm("index", url=url)["entries"]
        assert sum(map(len, entries.values())) == 1234


def test_helms_own_code_pulls_a_hundred_packages_back(server: LiveServer, packages: Path, tmp_path: Path) -> None:
    chosen = random.Random(7).sample(sorted(_entries(server).items()), PULLED)
    charts = [[entry["name"], entry["version"]] for _, entry in chosen]
    names = ask_helm("pull", url=server.url, charts=charts, destination=str(tmp_path))
    assert names == sorted(name for name, _ in chosen)
    assert {name: _digest(tmp_path / name) for name in names} == {name: _digest(packages / name) for name in names}


def test_packages_can_be_deleted_and_uploaded_again(server: LiveServer, packages: Path) -> None:
    before = _entries(server)
    for name in sorted(before)[::200]:
        entry = before[name]
        address = f"{server.url}/api/charts/{entry['name']}/{entry['version']}"
        assert httpx.delete(address).json() == {"deleted": True}
        assert name not in _entries(server)
        assert httpx.get(f"{server.url}/charts/{name}").status_code == 404
        content = (packages / name).read_bytes()
        assert httpx.post(f"{server.url}/api/charts", content=content).json() == {"saved": True}
        assert httpx.get(f"{server.url}/charts/{name}").content == content
    after = _entries(server)
    assert {name: entry["digest"] for name, entry in after.items()} == {
        name: entry["digest"] for name, entry in before.items()
    }


def test_a_signed_package_verifies_in_helms_own_code(server: LiveServer, packages: Path, tmp_path: Path) -> None:
    keys = make_key(tmp_path)
    name, entry = sorted(_entries(server).items())[0]
    archive = tmp_path / name
    archive.write_bytes((packages / name).read_bytes())
    ask_helm("sign", archive=str(archive), key="Chart Signer", keyring=str(keys["secret"]))
    provenance = Path(f"{archive}.prov").read_bytes()
    assert httpx.post(f"{server.url}/api/prov", content=provenance).json() == {"saved": True}
    back = tmp_path / "back"
    back.mkdir()
    for url in entry["urls"][0], f"{entry['urls'][0]}.prov":
        (back / url.rpartition("/")[2]).write_bytes(httpx.get(f"{server.url}/{url}").content)
    ask_helm("verify", archive=str(back / name), keyring=str(keys["public"]))
