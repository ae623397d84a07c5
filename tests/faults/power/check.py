"""A store as a power loss left it, opened as a server opens it: everything that is wrong with it, as sentences."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from orjson import loads

from tests.api.wire import Reply, ask
from tests.charts import make_chart
from tests.faults.power.history import Allowed, Key, State
from tests.faults.power.traffic import REPOSITORIES, digest
from tests.house import open_house

Listed = dict[tuple[str, str], Any]
"""Repository and file name to the entry of the index."""

_LEASE_SECONDS = 45.0  # a catalogue that was made anew waits for the lease of the lost one to end
_AFTERWARDS = ("", "afterwards-1.0.0.tgz")


def find_faults(folder: Path, expected: dict[Key, Allowed]) -> list[str]:
    """Open the store, look, upload once more, open it again, look again; return what is wrong, nothing if all is well.

    A store that cannot be opened raises what opening it raises.
    """
    return asyncio.run(_find_faults(folder, expected))


async def _find_faults(folder: Path, expected: dict[Key, Allowed]) -> list[str]:
    content = make_chart("afterwards", "1.0.0")
    async with open_house(folder, log_level="error") as (client, _):
        look = Look(client, expected)
        await look.run()
        if not look.faults:
            await look.upload(content)
    if look.faults:
        return look.faults
    async with open_house(folder, log_level="error") as (client, _):
        again = Look(client, expected)
        await again.read_indexes()
    before, after = _facts(look.listed), _facts(again.listed)
    if after.pop(_AFTERWARDS, ("", ""))[0] != digest(content):
        again.faults.append("the upload afterwards is not there after the next start")
    if before != after:
        again.faults.append(f"the next start shows other charts: {before.items() ^ after.items()}")
    return again.faults


def verify(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run `chartroom verify` in this process; return its lines if it finds anything wrong."""
    from app.__main__ import main

    monkeypatch.setattr(sys, "argv", ["chartroom", "verify", "--storage", str(folder)])
    capsys.readouterr()
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            return [f"verify: {line}" for line in capsys.readouterr().out.splitlines()]
    return []


def _facts(listed: Listed) -> dict[tuple[str, str], tuple[str, str]]:
    return {place: (entry["digest"], entry["created"]) for place, entry in listed.items()}


class Look:
    """Reads everything that a store shows and compares it with what was acknowledged."""

    def __init__(self, client: httpx.AsyncClient, expected: dict[Key, Allowed]) -> None:
        self.faults: list[str] = []
        self.listed: Listed = {}
        self._client = client
        self._expected = expected

    async def _get(self, path: str) -> Reply:
        return await ask(self._client, "GET", path)  # a state takes hundreds, and httpx's own work is most of each

    async def read_indexes(self) -> None:
        """Read what is listed."""
        for repository in REPOSITORIES:
            await self._read_index(repository)

    async def run(self) -> None:
        """Read what is listed, and every byte of it."""
        await self.read_indexes()
        for key, allowed in self._expected.items():
            if key.kind == "blob":
                await self._check_blob(key, allowed)
            else:
                await self._check_chart(key, allowed)
        known = {(key.repository, f"{key.name}-{key.version}.tgz") for key in self._expected}
        for repository, name in self.listed.keys() - known - {_AFTERWARDS}:
            self.faults.append(f"{repository}/{name} is listed, and no client uploaded it")

    async def upload(self, content: bytes) -> None:
        """Upload a chart, as soon as the store may be written to."""
        end = time.monotonic() + _LEASE_SECONDS
        while (answer := await ask(self._client, "POST", "/api/charts", chunks=[content])).status == 503:
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.2)
        if answer.status != 201:
            self.faults.append(f"an upload afterwards fails: {answer.status} {answer.body[:300]!r}")

    async def _read_index(self, repository: str) -> None:
        answer = await self._get(f"/{repository}/index.yaml" if repository else "/index.yaml")
        if answer.status == 404 and repository:
            return
        if answer.status != 200:
            self.faults.append(f"the index of {repository or 'the root'}: {answer.status} {answer.body[:300]!r}")
            return
        for versions in loads(answer.body)["entries"].values():
            for entry in versions:
                self.listed[repository, entry["urls"][0].rpartition("/")[2]] = entry

    async def _check_chart(self, key: Key, allowed: Allowed) -> None:
        prefix = f"/{key.repository}" if key.repository else ""
        path = f"{prefix}/charts/{key.name}-{key.version}.tgz"
        entry = self.listed.get((key.repository, f"{key.name}-{key.version}.tgz"))
        archive, signature = await self._fetch(path), await self._fetch(f"{path}.prov")
        found = State(digest(archive) if archive else None, digest(signature) if signature else None)
        listed = entry["digest"] if entry else None
        if listed != found.digest:
            self.faults.append(f"{path} is listed with digest {listed} and served with {found.digest}")
        if found not in {step.state for step in (allowed.must, *allowed.maybe)}:
            self.faults.append(f"{path} is {found}; acknowledged is {allowed.must}, under way {allowed.maybe}")
        # An overwrite with the same bytes may have changed the time: only the last word is compared.
        elif entry and not allowed.maybe and allowed.must.created not in (None, entry["created"]):
            self.faults.append(f"{path} was created at {entry['created']}, not at {allowed.must.created}")
        await self._check_manifest(key, found.digest)

    async def _check_manifest(self, key: Key, archive: str | None) -> None:
        path = _registry_path(key)
        answer = await self._get(f"{path}/manifests/{key.version}")
        if archive is None:
            if answer.status != 404:
                self.faults.append(f"{path}:{key.version} is {answer.status}, and the chart is not there")
            return
        if answer.status != 200:
            self.faults.append(f"{path}:{key.version} is {answer.status} {answer.body[:300]!r}, and the chart is there")
            return
        if answer.headers["docker-content-digest"] != f"sha256:{digest(answer.body)}":
            self.faults.append(f"{path}:{key.version} has other bytes than its digest says")
        facts = loads(answer.body)
        named = [part["digest"].removeprefix("sha256:") for part in (facts["config"], *facts["layers"])]
        if archive not in named:
            self.faults.append(f"{path}:{key.version} does not name the archive {archive}, but {named}")
        for name in named:
            content = await self._fetch(f"{path}/blobs/sha256:{name}")
            if content is None or digest(content) != name:
                self.faults.append(f"{path}:{key.version}: its blob {name} is {'lost' if content is None else 'torn'}")

    async def _check_blob(self, key: Key, allowed: Allowed) -> None:
        content = await self._fetch(f"{_registry_path(key)}/blobs/sha256:{key.version}")
        if content is not None and digest(content) != key.version:
            self.faults.append(f"blob {key.version} of {key.name} is torn")
        if content is None and allowed.must.state.digest:
            self.faults.append(f"blob {key.version} of {key.name} is lost")

    async def _fetch(self, path: str) -> bytes | None:
        answer = await self._get(path)
        if answer.status not in (200, 404):
            self.faults.append(f"GET {path}: {answer.status} {answer.body[:300]!r}")
        return answer.body if answer.status == 200 else None


def _registry_path(key: Key) -> str:
    return "/v2/" + "/".join(filter(None, (key.repository, key.name)))
