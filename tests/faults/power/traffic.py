"""Clients that upload, replace, delete and push, each on charts of its own, until the server is gone or all is done."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256

import httpx

from tests.api.wire import sign
from tests.charts import make_chart
from tests.faults.power.history import History, Key, State, Step
from tests.oci.client import chart_manifest

CLIENTS = 8
REPOSITORIES = ("", "team/web")
GOOD = {200, 201, 202, 204}
UNSURE = 503
"""Promises nothing: the change may be stored or not."""
FULL = 507
"""Promises that nothing was stored."""
_BIG = {0.04: 2_000_000, 0.14: 300_000}


class Unsure(Exception):
    """A request without an acknowledgement."""


class Refused(Unsure):
    """A request after which everything is as it was."""


class Traffic:
    """Sends about `count` changes to a server. `place` returns the length of the log.

    A client that finds the server gone tries for `patience` seconds whether it comes back.
    """

    def __init__(
        self, url: str, history: History, place: Callable[[], int], *, seed: int, count: int, patience: float = 0
    ) -> None:
        self.history = history
        self.failures: list[str] = []
        self._url = url
        self._place = place
        self._draw = random.Random(seed)
        self._seed = seed
        self._left = count
        self.patience = patience

    async def run(self) -> None:
        """Run all clients. Raises AssertionError for an answer that no client expects."""
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=self._url, timeout=30, limits=limits) as http:
            await asyncio.gather(*(_Client(self, http, number).run() for number in range(CLIENTS)))

    def stop(self) -> None:
        """Let every client end after the change that it makes now."""
        self._left = 0

    def take(self) -> bool:
        """Tell whether there is another change to make."""
        self._left -= 1
        return self._left >= 0

    async def change(self, key: Key, state: State, send: Callable[[dict[str, str]], Awaitable[httpx.Response]]) -> Step:
        """Send a request that changes a key and note its acknowledgement. Raises Unsure without one."""
        step = self.history.begin(key, state, self._place())
        try:
            answer = await self.ask(send({"x-request-id": step.request}))
        except Refused:
            self.history.take_back(key, step)
            raise
        step.end = self._place()
        assert answer.headers["x-request-id"] == step.request
        return step

    async def ask(self, sent: Awaitable[httpx.Response]) -> httpx.Response:
        try:
            answer = await sent
        except httpx.TransportError as error:
            raise Unsure(str(error)) from error
        if answer.status_code in (UNSURE, FULL):
            self.failures.append(f"{answer.status_code} {answer.text}")
            raise (Unsure if answer.status_code == UNSURE else Refused)(answer.text)
        assert answer.status_code in GOOD, f"{answer.request.url}: {answer.status_code} {answer.text}"
        return answer

    def draw(self) -> float:
        return self._draw.random()

    def make(self, name: str, version: str, size: int = 0) -> bytes:
        """Return a chart of about `size` random bytes."""
        number = self.history.next_number()
        files = {"noise": random.Random(self._seed * 1000 + number).randbytes(size)} if size else None
        return make_chart(name, version, files=files, description=f"number {self._seed}.{number}")


class _Client:
    """One client and the charts that it made."""

    def __init__(self, traffic: Traffic, http: httpx.AsyncClient, number: int) -> None:
        self._traffic = traffic
        self._http = http
        self._repository = REPOSITORIES[number % 4 == 3]
        self._name = f"chart{number}"
        self._mine: dict[Key, bytes] = {}
        self._gone: dict[Key, bytes] = {}

    async def run(self) -> None:
        actions = [
            (0.40, self._upload), (0.55, self._upload_signed), (0.70, self._push), (0.82, self._replace),
            (0.92, self._delete), (1.0, self._upload_again),
        ]  # fmt: skip
        while self._traffic.take():
            chance = self._traffic.draw()
            try:
                await next(action for limit, action in actions if chance < limit)()
            except Unsure:
                if not await self._is_up():
                    return

    async def _is_up(self) -> bool:
        end = time.monotonic() + self._traffic.patience
        while True:
            try:
                return (await self._http.get("/health")).status_code == 200
            except httpx.TransportError:
                if time.monotonic() >= end:
                    return False
            await asyncio.sleep(0.1)

    @property
    def _api(self) -> str:
        return f"/api/{self._repository}/charts" if self._repository else "/api/charts"

    def _new_key(self) -> Key:
        return Key("chart", self._repository, self._name, f"1.{self._traffic.history.next_number()}.0")

    def _make(self, key: Key) -> bytes:
        chance = self._traffic.draw()
        return self._traffic.make(key.name, key.version, next((_BIG[limit] for limit in _BIG if chance < limit), 0))

    async def _upload(self) -> None:
        key = self._new_key()
        await self._post(key, self._make(key))

    async def _replace(self) -> None:
        key = self._choose(self._mine)
        if key is None:
            return await self._upload()
        return await self._post(key, self._make(key), "?force")

    async def _upload_again(self) -> None:
        """Upload what was deleted, byte for byte: its blob may lie there still, or be garbage, or be gone."""
        key = self._choose(self._gone)
        if key is None:
            return await self._upload()
        return await self._post(key, self._gone.pop(key))

    async def _post(self, key: Key, content: bytes, query: str = "") -> None:
        self._mine.pop(key, None)
        state = State(digest(content))
        await self._note(
            key, state, lambda headers: self._http.post(self._api + query, content=content, headers=headers)
        )
        self._mine[key] = content

    async def _upload_signed(self) -> None:
        key = self._new_key()
        content, signature = self._make(key), sign(key.name, key.version)
        files = {"chart": ("c", content), "prov": ("p", signature)}
        state = State(digest(content), digest(signature))
        await self._note(key, state, lambda headers: self._http.post(self._api, files=files, headers=headers))
        self._mine[key] = content

    async def _delete(self) -> None:
        key = self._choose(self._mine)
        if key is None:
            return
        content = self._mine.pop(key)
        path = f"{self._api}/{key.name}/{key.version}"
        await self._traffic.change(key, State(), lambda headers: self._http.delete(path, headers=headers))
        self._gone[key] = content

    async def _note(self, key: Key, state: State, send: Callable[[dict[str, str]], Awaitable[httpx.Response]]) -> None:
        """Make a change and learn which time the server gave it."""
        step = await self._traffic.change(key, state, send)
        answer = await self._traffic.ask(self._http.get(f"{self._api}/{key.name}/{key.version}"))
        entry = answer.json()
        assert entry["digest"] == state.digest
        step.created = entry["created"]

    async def _push(self) -> None:
        """Push a chart as clients of registries do: the archive in two chunks, the config at once, the manifest."""
        key = self._new_key()
        content = self._make(key)
        config = f'{{"name":"{key.name}","version":"{key.version}"}}'.encode()
        path = "/v2/" + "/".join(filter(None, (key.repository, key.name)))
        await self._push_chunks(key, path, content)
        await self._push_whole(key, path, config)
        manifest = chart_manifest(config, content)
        kind = "application/vnd.oci.image.manifest.v1+json"

        def put(headers: dict[str, str]) -> Awaitable[httpx.Response]:
            headers |= {"content-type": kind}
            return self._http.put(f"{path}/manifests/{key.version}", content=manifest, headers=headers)

        await self._note(key, State(digest(content)), put)
        self._mine[key] = content

    async def _push_chunks(self, key: Key, path: str, content: bytes) -> None:
        answer = await self._traffic.ask(self._http.post(f"{path}/blobs/uploads/"))
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            answer = await self._traffic.ask(self._http.patch(answer.headers["location"], content=part))
        location = answer.headers["location"]
        mark = "&" if "?" in location else "?"
        address = f"{location}{mark}digest=sha256:{digest(content)}"
        await self._traffic.change(*_blob(key, content), lambda headers: self._http.put(address, headers=headers))

    async def _push_whole(self, key: Key, path: str, content: bytes) -> None:
        address = f"{path}/blobs/uploads/?digest=sha256:{digest(content)}"
        await self._traffic.change(
            *_blob(key, content), lambda headers: self._http.post(address, content=content, headers=headers)
        )

    def _choose(self, charts: dict[Key, bytes]) -> Key | None:
        keys = list(charts)
        return keys[int(self._traffic.draw() * len(keys))] if keys else None


def digest(content: bytes) -> str:
    """Return the sha256 in hex."""
    return sha256(content).hexdigest()


def _blob(key: Key, content: bytes) -> tuple[Key, State]:
    return Key("blob", key.repository, key.name, digest(content)), State(digest(content))
