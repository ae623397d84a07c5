"""The releases of a namespace, read by ourselves and changed by Helm's engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from helm_client.environment import Environment
from helm_client.releases.record import Release
from helm_client.releases.store import ReleaseStore

if TYPE_CHECKING:
    from helm_client.engine import (
        Engine,
        InstallOptions,
        RollbackOptions,
        UninstallOptions,
        UpgradeOptions,
        Values,
    )
    from helm_client.wanted import Wanted

Fetch = Callable[["Wanted", str], Path]
"""Brings a chart into a folder."""


class Releases(ReleaseStore):
    """What `ReleaseStore` reads, and what changes it. A chart is a path, or a `Wanted` that is fetched first.

    What changes raises EngineMissing, EngineError, ClusterUnreachable, InvalidChart and those of ReleaseError,
    and what `Client.fetch` raises. `namespace` None is the kubeconfig's own.
    """

    def __init__(self, environment: Environment, namespace: str | None, fetch: Fetch) -> None:
        super().__init__(environment, namespace)
        self._fetch = fetch

    def install(
        self, name: str, chart: str | Path | Wanted, values: Values | None = None, options: InstallOptions | None = None
    ) -> Release:
        """Install a chart under a name. Raises NameInUse."""
        with self._open_engine() as engine, self._locate(chart) as path:
            return Release(engine.install(name, path, values, options).record)

    def upgrade(
        self, name: str, chart: str | Path | Wanted, values: Values | None = None, options: UpgradeOptions | None = None
    ) -> Release:
        """Bring a release to a chart and values. Raises ReleaseNotFound, ReleaseConflict."""
        with self._open_engine() as engine, self._locate(chart) as path:
            return Release(engine.upgrade(name, path, values, options).record)

    def rollback(self, name: str, options: RollbackOptions | None = None) -> Release:
        """Bring a release back to a revision, or to the one before. Raises ReleaseNotFound."""
        with self._open_engine() as engine:
            return Release(engine.rollback(name, options).record)

    def uninstall(self, name: str, options: UninstallOptions | None = None) -> None:
        """Remove a release and its objects. Raises ReleaseNotFound."""
        with self._open_engine() as engine:
            engine.uninstall(name, options)

    @contextmanager
    def _open_engine(self) -> Iterator[Engine]:
        from helm_client.engine import choose_engine

        with choose_engine(self._environment.with_changes(namespace=self._namespace)) as engine:
            yield engine

    @contextmanager
    def _locate(self, chart: str | Path | Wanted) -> Iterator[str | Path]:
        if isinstance(chart, str | Path):
            yield chart
            return
        with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
            yield self._fetch(chart, folder)
