"""The same for asyncio: each call runs in a thread, so that the event loop goes on.

    client = AsyncClient()
    await client.add_repository(Entry("stable", "https://charts.example.com/stable"))
    matches = await client.repo("stable").search("redis")

A call that is cancelled is no longer waited for; what it had begun comes to its end, whole files included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from helm_client.archive import Chart
from helm_client.client import Client, Update
from helm_client.engine import InstallOptions, RollbackOptions, UninstallOptions, UpgradeOptions, Values
from helm_client.environment import Environment
from helm_client.index import ChartVersion
from helm_client.releases import Filter, Release
from helm_client.releases.acting import Releases
from helm_client.repositories import Entry
from helm_client.search import Match
from helm_client.transfer import Access, Progress
from helm_client.wanted import Wanted


class AsyncClient:
    """A `Client` whose methods are awaited; what they mean and raise stands there."""

    def __init__(self, environment: Environment | None = None, *, progress: Progress | None = None) -> None:
        self.sync = Client(environment, progress=progress)

    async def add_repository(self, entry: Entry, *, force_update: bool = False, timeout: float = 120.0) -> bool:
        """See `Client.add_repository`."""
        return await asyncio.to_thread(self.sync.add_repository, entry, force_update=force_update, timeout=timeout)

    async def update_repositories(self, names: Sequence[str] = (), *, timeout: float = 120.0) -> list[Update]:
        """See `Client.update_repositories`; answers all of them at the end."""
        return await asyncio.to_thread(lambda: list(self.sync.update_repositories(names, timeout=timeout)))

    async def remove_repository(self, name: str) -> None:
        """See `Client.remove_repository`."""
        await asyncio.to_thread(self.sync.remove_repository, name)

    async def search(
        self, words: str = "", *, regexp: bool = False, version: str = "", devel: bool = False,
        all_versions: bool = False, repositories: Iterable[str] | None = None,
    ) -> list[Match]:  # fmt: skip
        """See `Client.search`."""
        return await asyncio.to_thread(
            self.sync.search, words, regexp=regexp, version=version, devel=devel, all_versions=all_versions,
            repositories=repositories,
        )  # fmt: skip

    async def fetch(self, wanted: Wanted, destination: str | Path = ".", *, provenance: bool = False) -> Path:
        """See `Client.fetch`."""
        return await asyncio.to_thread(self.sync.fetch, wanted, destination, provenance=provenance)

    async def read(self, wanted: Wanted) -> Chart:
        """See `Client.read`."""
        return await asyncio.to_thread(self.sync.read, wanted)

    async def push(
        self, path: str | Path, target: str, *, access: Access | None = None, force: bool = False,
        context_path: str | None = None, plain_http: bool = False,
    ) -> None:  # fmt: skip
        """See `Client.push`."""
        await asyncio.to_thread(
            self.sync.push, path, target, access=access, force=force, context_path=context_path, plain_http=plain_http
        )

    def repo(self, name: str) -> AsyncRepository:
        """Answer a repository by its name; it is looked up when it is asked."""
        return AsyncRepository(self.sync, name)

    def releases(self, namespace: str | None = None) -> AsyncReleases:
        """See `Client.releases`."""
        return AsyncReleases(self.sync.releases(namespace))


class AsyncRepository:
    """A `KnownRepository` whose methods are awaited."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def update(self) -> None:
        """See `KnownRepository.update`."""
        await asyncio.to_thread(lambda: self._client.repo(self._name).update())

    async def search(
        self, words: str = "", *, regexp: bool = False, version: str = "", devel: bool = False
    ) -> list[Match]:
        """See `KnownRepository.search`."""
        return await asyncio.to_thread(
            lambda: self._client.repo(self._name).search(words, regexp=regexp, version=version, devel=devel)
        )

    async def versions(self, chart: str) -> tuple[ChartVersion, ...]:
        """See `KnownRepository.versions`."""
        return await asyncio.to_thread(lambda: self._client.repo(self._name).versions(chart))

    async def fetch(
        self, chart: str, version: str = "", destination: str | Path = ".", *, provenance: bool = False
    ) -> Path:
        """See `KnownRepository.fetch`."""
        return await asyncio.to_thread(
            lambda: self._client.repo(self._name).fetch(chart, version, destination, provenance=provenance)
        )


class AsyncReleases:
    """`Releases` whose methods are awaited."""

    def __init__(self, store: Releases) -> None:
        self._store = store

    async def select(self, wanted: Filter | None = None) -> list[Release]:
        """See `ReleaseStore.select`."""
        return await asyncio.to_thread(self._store.select, wanted)

    async def history(self, name: str, limit: int = 256) -> list[Release]:
        """See `ReleaseStore.history`."""
        return await asyncio.to_thread(self._store.history, name, limit)

    async def get(self, name: str, revision: int = 0) -> Release:
        """See `ReleaseStore.get`."""
        return await asyncio.to_thread(self._store.get, name, revision)

    async def install(
        self, name: str, chart: str | Path | Wanted, values: Values | None = None, options: InstallOptions | None = None
    ) -> Release:
        """See `Releases.install`."""
        return await asyncio.to_thread(self._store.install, name, chart, values, options)

    async def upgrade(
        self, name: str, chart: str | Path | Wanted, values: Values | None = None, options: UpgradeOptions | None = None
    ) -> Release:
        """See `Releases.upgrade`."""
        return await asyncio.to_thread(self._store.upgrade, name, chart, values, options)

    async def rollback(self, name: str, options: RollbackOptions | None = None) -> Release:
        """See `Releases.rollback`."""
        return await asyncio.to_thread(self._store.rollback, name, options)

    async def uninstall(self, name: str, options: UninstallOptions | None = None) -> None:
        """See `Releases.uninstall`."""
        await asyncio.to_thread(self._store.uninstall, name, options)
