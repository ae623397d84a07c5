"""The package's front: one `Client` over Helm's configuration, for programs and for the command line beside it.

client = Client()
client.add_repository(Entry("stable", "https://charts.example.com/stable"))
client.repo("stable").search("redis")
client.repo("stable").fetch("redis", version="~10.5")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from helm_client import addresses, publishing
from helm_client.archive import Chart, read_chart
from helm_client.cache import Cache
from helm_client.environment import Environment
from helm_client.errors import ConfigError, HelmClientError
from helm_client.index import ChartVersion, Index, choose_version
from helm_client.repositories import Entry, Repositories
from helm_client.repository import Repository
from helm_client.search import Match, search
from helm_client.transfer import Access, Progress
from helm_client.wanted import Wanted

if TYPE_CHECKING:
    from helm_client.releases.acting import Releases


@dataclass(frozen=True, slots=True)
class Update:
    """What came of asking one repository for its index: `error` is None when it answered."""

    entry: Entry
    error: HelmClientError | None


class Client:
    """Charts and repositories of one user. `environment` says where Helm's files lie; `progress` hears of downloads.

    `tell` gets what Helm says of registries (`Pulled: ...`), in lines.
    """

    def __init__(
        self, environment: Environment | None = None, *, progress: Progress | None = None,
        tell: Callable[[str], object] = lambda _lines: None,
    ) -> None:  # fmt: skip
        self.environment = environment or Environment.read()
        self.repositories = Repositories(self.environment.repository_config)
        self.cache = Cache(self.environment.repository_cache)
        self._progress = progress
        self._tell = tell

    # ------------------------------------------------------------------------------------------ repositories

    def add_repository(self, entry: Entry, *, force_update: bool = False, timeout: float = 120.0) -> bool:
        """Fetch a repository's index and note the repository; answer False if it was noted just so before.

        Raises ConfigError for a name that is taken or cannot be, RepositoryUnavailable, InvalidIndex.
        """
        if "/" in entry.name:
            raise ConfigError(
                f"repository name ({entry.name}) contains '/', please specify a different name without '/'"
            )
        old = self.repositories.find(entry.name)
        if old == entry and not force_update:
            return False
        if old is not None and not force_update:
            raise ConfigError(f"repository name ({entry.name}) already exists, please specify a different name")
        try:
            self._refresh(entry, timeout)
        except HelmClientError as error:
            where = addresses.mask(entry.url)
            text = f'looks like "{where}" is not a valid chart repository or cannot be reached: {error}'
            raise type(error)(text) from error
        self.repositories.put(entry)
        return True

    def update_repositories(self, names: Sequence[str] = (), *, timeout: float = 120.0) -> Iterator[Update]:
        """Fetch the indexes of these repositories, or of all, side by side; answer each as it comes.

        Raises ConfigError when there are none, or not one of that name.
        """
        entries = self.repositories.list()
        if not entries:
            raise ConfigError("no repositories found. You must add one before updating")
        known = {entry.name: entry for entry in entries}
        for name in names:
            if name not in known:
                raise ConfigError(f"no repositories found matching '{name}'.  Nothing will be updated")
        wanted = [known[name] for name in names] or entries
        with ThreadPoolExecutor(8) as pool:
            yield from pool.map(lambda entry: self._update(entry, timeout), wanted)

    def remove_repository(self, name: str) -> None:
        """Forget a repository and what is cached of it. Raises ConfigError."""
        if not self.repositories.list():
            raise ConfigError("no repositories configured")
        if not self.repositories.remove(name):
            raise ConfigError(f'no repo named "{name}" found')
        self.cache.remove(name)

    def repo(self, name: str) -> KnownRepository:
        """Answer a repository by its name. Raises ConfigError."""
        entry = self.repositories.find(name)
        if entry is None:
            raise ConfigError(f"repo {name} not found")
        return KnownRepository(self, entry)

    def _update(self, entry: Entry, timeout: float) -> Update:
        try:
            self._refresh(entry, timeout)
        except HelmClientError as error:
            return Update(entry, error)
        return Update(entry, None)

    def _refresh(self, entry: Entry, timeout: float) -> None:
        with self.open_repository(entry.url, entry.access(timeout=timeout)) as repository:
            self.cache.refresh(entry.name, repository)

    @contextmanager
    def open_repository(self, url: str, access: Access) -> Iterator[Repository]:
        """Open a repository by its URL, for the time of a block."""
        with Repository(url, access=access, progress=self._progress) as repository:
            yield repository

    # ------------------------------------------------------------------------------------------ charts

    def search(
        self, words: str = "", *, regexp: bool = False, version: str = "", devel: bool = False,
        all_versions: bool = False, repositories: Iterable[str] | None = None,
    ) -> list[Match]:  # fmt: skip
        """Search the cached indexes of all repositories, or of some; see `helm_client.search`.

        Raises ConfigError when none is configured; a repository whose index is missing has no charts.
        """
        names = [entry.name for entry in self.repositories.list()] if repositories is None else list(repositories)
        if not names:
            raise ConfigError("no repositories configured")
        indexes = [(name, index) for name in names if (index := self._find_index(name)) is not None]
        return search(indexes, words, regexp=regexp, version=version, devel=devel, all_versions=all_versions)

    def _find_index(self, name: str) -> Index | None:
        try:
            return self.cache.load(name)
        except HelmClientError:
            return None

    def fetch(self, wanted: Wanted, destination: str | Path = ".", *, provenance: bool = False) -> Path:
        """Bring a chart's archive, and with `provenance` its .prov file, into a folder; answer its path.

        Raises ChartNotFound, DigestMismatch, ConfigError, RepositoryUnavailable, RegistryError; OSError.
        """
        if not Path(destination).is_dir():
            raise ConfigError(f"failed to fetch {wanted.reference} : the folder {destination} does not exist")
        if wanted.reference.startswith("oci://"):
            return self._pull(wanted, destination, provenance)
        if wanted.repo_url:
            return self._fetch_from(wanted, destination, provenance)
        if "://" in wanted.reference:
            return self._fetch_url(wanted, destination, provenance)
        return self._fetch_known(wanted, destination, provenance)

    def _pull(self, wanted: Wanted, destination: str | Path, provenance: bool) -> Path:
        from helm_client.registry import pull_chart

        pulled = pull_chart(
            self.environment, wanted.reference, Path(destination), version=wanted.version, provenance=provenance,
            access=wanted.access, plain_http=wanted.plain_http, progress=self._progress,
        )  # fmt: skip
        self._tell(f"Pulled: {pulled.reference}\nDigest: {pulled.digest}\n")
        return pulled.path

    def _fetch_from(self, wanted: Wanted, destination: str | Path, provenance: bool) -> Path:
        with self.open_repository(wanted.repo_url, wanted.access) as repository:
            found = choose_version(repository.index(), wanted.reference, wanted.version, wanted.repo_url)
            return repository.fetch_version(found, destination, provenance=provenance)

    def _fetch_url(self, wanted: Wanted, destination: str | Path, provenance: bool) -> Path:
        url, access = wanted.reference, wanted.access
        for entry in self.repositories.list():
            if addresses.is_fetchable(entry.url) and url.startswith(entry.url.rstrip("/") + "/"):
                access = entry.complete(access)
                break
        with self.open_repository(url, access) as repository:
            return repository.fetch_url(url, destination, provenance=provenance)

    def _fetch_known(self, wanted: Wanted, destination: str | Path, provenance: bool) -> Path:
        name, slash, chart = wanted.reference.partition("/")
        if not slash or not chart:
            raise ConfigError(
                f"non-absolute URLs should be in form of repo_name/path_to_chart, got: {wanted.reference}"
            )
        entry = self.repo(name).entry
        try:
            index = self.cache.load(name)
        except ConfigError as error:
            raise ConfigError(f"no cached repo found. (try 'helm repo update'): {error.__cause__}") from error
        found = choose_version(index, chart, wanted.version, name)
        if found.urls and found.urls[0].startswith("oci://"):
            return self._pull(replace(wanted, reference=found.urls[0], version=""), destination, provenance)
        with self.open_repository(entry.url, entry.complete(wanted.access)) as repository:
            return repository.fetch_version(found, destination, provenance=provenance)

    def read(self, wanted: Wanted) -> Chart:
        """Answer what a chart holds: a local archive or folder, or one that is fetched for it. Raises as `fetch`."""
        if (path := wanted.find_local()) is not None:
            return read_chart(path)
        with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
            return read_chart(self.fetch(wanted, folder))

    def push(
        self, path: str | Path, target: str, *, access: Access | None = None, force: bool = False,
        context_path: str | None = None, plain_http: bool = False,
    ) -> None:  # fmt: skip
        """Push an archive, with the .prov file beside it: to a repository by name or URL, or to `oci://...`.

        Raises RepositoryUnavailable, RegistryError, ConfigError; OSError.
        """
        path = Path(path)
        if target.startswith("oci://"):
            from helm_client.registry import push_chart

            pushed = push_chart(
                self.environment, path, target, access=access, plain_http=plain_http, progress=self._progress
            )
            self._tell(f"Pushed: {pushed.reference}\nDigest: {pushed.digest}\n")
            return
        url = target
        if not addresses.is_fetchable(target):
            entry = self.repo(target).entry
            url, access = entry.url, entry.complete(access or Access())
        publishing.push(path, url, access, force=force, context_path=context_path, progress=self._progress)

    # ------------------------------------------------------------------------------------------ releases

    def releases(self, namespace: str | None = None) -> Releases:
        """Answer the releases of a namespace: None for the kubeconfig's own, "" for all.

        Raises ConfigError for a HELM_DRIVER that cannot be read; the cluster is found when it is first asked.
        """
        from helm_client.releases.acting import Releases

        return Releases(self.environment, namespace, self.fetch)


class KnownRepository:
    """One repository of `repositories.yaml`. Its index is the cached one; `update` brings a new one."""

    def __init__(self, client: Client, entry: Entry) -> None:
        self.entry = entry
        self._client = client

    def update(self) -> None:
        """Fetch the index. Raises RepositoryUnavailable, InvalidIndex."""
        for update in self._client.update_repositories([self.entry.name]):
            if update.error is not None:
                raise update.error

    def search(self, words: str = "", *, regexp: bool = False, version: str = "", devel: bool = False) -> list[Match]:
        """Search this repository; see `Client.search`."""
        return self._client.search(words, regexp=regexp, version=version, devel=devel, repositories=[self.entry.name])

    def versions(self, chart: str) -> tuple[ChartVersion, ...]:
        """Answer every version of a chart, newest first. Raises ChartNotFound, ConfigError."""
        return self._client.cache.load(self.entry.name).get_versions(chart)

    def fetch(self, chart: str, version: str = "", destination: str | Path = ".", *, provenance: bool = False) -> Path:
        """Bring a chart's archive into a folder; see `Client.fetch`."""
        wanted = Wanted(f"{self.entry.name}/{chart}", version)
        return self._client.fetch(wanted, destination, provenance=provenance)
