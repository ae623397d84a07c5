"""Helm's own engine behind one face: rendering, linting, packaging, signing, dependencies and actions on releases.

Two engines do the same work: helm-python-sdk in a process of its own (`remote`, `worker`, `sdk`), and a `helm` binary
of version 3 or 4 (`binary`). Downloading and finding charts is not done here: an engine takes a chart that lies on
the disk. Nothing here prints.

    engine = choose_engine(Environment.read())
    print(engine.template("redis-10.5.7.tgz", Values(files=("values.yaml",))).text)
    engine.install("shop", "redis-10.5.7.tgz", Values(), InstallOptions(create_namespace=True))
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from helm_client.engine.options import (
    ActionOptions,
    DependencyOptions,
    InstallOptions,
    LintOptions,
    PackageOptions,
    RollbackOptions,
    TemplateOptions,
    TestOptions,
    UninstallOptions,
    UpgradeOptions,
    Values,
)
from helm_client.engine.results import (
    Created,
    Dependencies,
    Lint,
    LintMessage,
    Outcome,
    Packaged,
    Template,
    Verified,
)
from helm_client.environment import Environment
from helm_client.errors import ConfigError, EngineMissing

__all__ = [
    "ActionOptions", "ChartSource", "Created", "Dependencies", "DependencyOptions", "Engine", "InstallOptions", "Lint",
    "LintMessage", "LintOptions", "Outcome", "PackageOptions", "Packaged", "RollbackOptions", "Template",
    "TemplateOptions", "TestOptions", "UninstallOptions", "UpgradeOptions", "Values", "Verified", "choose_engine",
]  # fmt: skip

ChartSource = str | Path
"""A chart on the disk: a folder, or an archive (.tgz)."""


class Engine(Protocol):
    """Helm's code, whichever way it is reached.

    Places, cluster and namespace are those of the Environment that it was chosen for; without a namespace, the one of
    the kubeconfig's context. Threads may share an engine. Every method raises EngineError, or what it names; the
    messages are Helm's. A KeyboardInterrupt ends Helm's work at once and leaves no temporary file.
    """

    def template(
        self, chart: ChartSource, values: Values | None = None, options: TemplateOptions | None = None
    ) -> Template:
        """Render a chart as `helm template` does. Raises InvalidChart."""
        ...

    def lint(
        self, charts: Sequence[ChartSource], values: Values | None = None, options: LintOptions | None = None
    ) -> Lint:
        """Look for faults in charts; findings are answered, not raised."""
        ...

    def package(self, chart: ChartSource, options: PackageOptions | None = None) -> Packaged:
        """Make an archive of a chart's folder, and sign it where asked. Raises InvalidChart."""
        ...

    def verify(self, archive: ChartSource, keyring: str | Path) -> Verified:
        """Check an archive against the provenance file beside it. Raises SignatureError."""
        ...

    def create(self, path: str | Path, starter: str = "") -> Created:
        """Make the folder of a new chart, named as the path ends; `starter` is a name or an absolute path."""
        ...

    def dependency_update(self, chart: ChartSource, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies of a chart's folder into `charts/` and write its lock. Raises InvalidChart."""
        ...

    def dependency_build(self, chart: ChartSource, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies that the lock names. Raises InvalidChart."""
        ...

    def install(
        self, name: str, chart: ChartSource, values: Values | None = None, options: InstallOptions | None = None
    ) -> Outcome:
        """Install a release. Raises NameInUse, InvalidChart, ClusterUnreachable, ReleaseConflict, ReleaseTimeout."""
        ...

    def upgrade(
        self, name: str, chart: ChartSource, values: Values | None = None, options: UpgradeOptions | None = None
    ) -> Outcome:
        """Bring a release to a chart and values. Raises ReleaseNotFound and what `install` raises."""
        ...

    def rollback(self, name: str, options: RollbackOptions | None = None) -> Outcome:
        """Bring a release back. Raises ReleaseNotFound, ClusterUnreachable, ReleaseConflict, ReleaseTimeout."""
        ...

    def uninstall(self, name: str, options: UninstallOptions | None = None) -> Outcome:
        """Remove a release. Raises ReleaseNotFound, ClusterUnreachable, ReleaseTimeout."""
        ...

    def test(self, name: str, options: TestOptions | None = None) -> Outcome:
        """Run a release's tests; one that fails is told in `failure`. Raises ReleaseNotFound, ClusterUnreachable."""
        ...

    def close(self) -> None:
        """Let go of every process and temporary file. The engine may be used again."""
        ...

    def __enter__(self) -> Self:
        """Answer the engine."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close it."""
        ...


def choose_engine(environment: Environment) -> Engine:
    """Answer the engine that HELM_CLIENT_BACKEND names: `sdk`, `binary`, or `auto` (the SDK, else a binary).

    The binary is HELM_BIN, or `helm` on PATH. Raises EngineMissing, and ConfigError for another word.
    """
    variables = environment.variables
    wanted = variables.get("HELM_CLIENT_BACKEND", "") or "auto"
    if wanted not in ("auto", "sdk", "binary"):
        raise ConfigError(f"HELM_CLIENT_BACKEND is {wanted!r}: write sdk, binary or auto")
    if wanted in ("auto", "sdk") and importlib.util.find_spec("helm_python") is not None:
        from helm_client.engine.remote import RemoteEngine

        return RemoteEngine(environment)
    if wanted in ("auto", "binary"):
        program = shutil.which(variables.get("HELM_BIN", "") or "helm", path=variables.get("PATH"))
        if program:
            from helm_client.engine.binary import BinaryEngine

            return BinaryEngine(environment, program)
    raise EngineMissing("this needs Helm's engine: pip install 'helm-client[install]', or put helm on PATH")
