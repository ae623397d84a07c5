"""The engine that runs a `helm` binary, of version 3 or 4.

Values travel in files that nobody else can read, secrets of the cluster in the environment; never on the command line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from helm_client.engine import cluster, dependencies, flags
from helm_client.engine.faults import make_fault
from helm_client.engine.options import (
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
from helm_client.engine.results import Created, Dependencies, Lint, Outcome, Packaged, Template, Verified
from helm_client.environment import Environment
from helm_client.errors import EngineError, ReleaseError, ReleaseNotFound, SignatureError

_ERROR = re.compile(r"^Error: ", re.MULTILINE)
_LOGS = re.compile(r"^POD LOGS: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a run of helm came to: `failure` is what it says behind `Error:`, None where it went well."""

    text: str
    warnings: tuple[str, ...]
    failure: str | None


class BinaryEngine:
    """Helm's engine by a binary. See `helm_client.engine.Engine`."""

    def __init__(self, environment: Environment, program: str) -> None:
        self._environment, self._program = environment, program
        named = environment.kubeconfig
        from_flag = named and named != environment.variables.get("KUBECONFIG") and os.pathsep not in named
        self._place = ["--kubeconfig", named] if from_flag else []

    @cached_property
    def major(self) -> int:
        """Answer the binary's major version. Raises EngineError."""
        text = self._run("version", "--template", "{{.Version}}").text
        match = re.match(r"v(\d+)", text)
        if not match or int(match[1]) < 3:
            raise EngineError(f"{self._program} is no helm of version 3 or 4: it says {text!r}")
        return int(match[1])

    def close(self) -> None:
        """Do nothing: no process outlives its call."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def template(
        self, chart: str | Path, values: Values | None = None, options: TemplateOptions | None = None
    ) -> Template:
        """Render a chart."""
        options = options or TemplateOptions()
        with _write_values(values or Values()) as given:
            done = self._run("template", options.name, chart, *flags.of_template(options, self.major), *given)
        return Template(done.text, done.warnings)

    def lint(
        self, charts: Sequence[str | Path], values: Values | None = None, options: LintOptions | None = None
    ) -> Lint:
        """Look for faults in charts."""
        with _write_values(values or Values()) as given:
            done = self._try("lint", *charts, *flags.of_lint(options or LintOptions()), *given)
        if done.failure is not None and not done.failure.endswith("chart(s) failed"):
            raise make_fault(done.failure)
        return Lint.read(done.text, done.failure or "", done.warnings)

    def package(self, chart: str | Path, options: PackageOptions | None = None) -> Packaged:
        """Make an archive."""
        done = self._run("package", chart, *flags.of_package(options or PackageOptions()))
        return Packaged(Path(done.text.rpartition("saved it to: ")[2].rstrip("\n")), done.warnings)

    def verify(self, archive: str | Path, keyring: str | Path) -> Verified:
        """Check an archive against its provenance file."""
        done = self._try("verify", archive, "--keyring", keyring)
        if done.failure is not None:
            raise SignatureError(done.failure)
        said = [line.partition(": ")[::2] for line in done.text.splitlines()]
        facts = dict(said)
        signers = tuple(value for name, value in said if name == "Signed by")
        return Verified(signers, facts["Using Key With Fingerprint"], facts["Chart Hash Verified"], done.warnings)

    def create(self, path: str | Path, starter: str = "") -> Created:
        """Make the folder of a new chart."""
        done = self._run("create", path, *(["--starter", starter] if starter else []))
        return Created(Path(path), done.text, done.warnings)

    def dependency_update(self, chart: str | Path, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies anew."""
        return self._fetch("update", Path(chart), options or DependencyOptions())

    def dependency_build(self, chart: str | Path, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies of the lock."""
        return self._fetch("build", Path(chart), options or DependencyOptions())

    def _fetch(self, how: str, chart: Path, options: DependencyOptions) -> Dependencies:
        with dependencies.prepare(chart, self._environment, whole=False) as plan:
            done = self._try("dependency", how, plan.folder, *flags.of_dependency(options))
            if done.failure is not None:
                raise make_fault(plan.restore(done.failure))
        return Dependencies(plan.restore(done.text), plan.restore_lines(done.warnings))

    def install(
        self, name: str, chart: str | Path, values: Values | None = None, options: InstallOptions | None = None
    ) -> Outcome:
        """Install a release."""
        with _write_values(values or Values()) as given:
            more = flags.of_install(options or InstallOptions(), self.major)
            done = self._run("install", name, chart, "-o", "json", *more, *given)
        return Outcome(json.loads(done.text), warnings=done.warnings)

    def upgrade(
        self, name: str, chart: str | Path, values: Values | None = None, options: UpgradeOptions | None = None
    ) -> Outcome:
        """Upgrade a release."""
        options = options or UpgradeOptions()
        installed = options.install and self._find_status(name) in ("", "uninstalled")
        with _write_values(values or Values()) as given:
            more = flags.of_upgrade(options, self.major)
            done = self._run("upgrade", name, chart, "-o", "json", *more, *given)
        return Outcome(json.loads(done.text), installed=installed, warnings=done.warnings)

    def rollback(self, name: str, options: RollbackOptions | None = None) -> Outcome:
        """Bring a release back."""
        options = options or RollbackOptions()
        revision = [str(options.revision)] if options.revision else []
        done = self._run("rollback", name, *revision, *flags.of_rollback(options, self.major))
        return Outcome(self._read(name), warnings=done.warnings)

    def uninstall(self, name: str, options: UninstallOptions | None = None) -> Outcome:
        """Remove a release."""
        options = options or UninstallOptions()
        done = self._run("uninstall", name, *flags.of_uninstall(options, self.major))
        record = self._read(name) if options.keep_history and not options.dry_run else {}
        # The last line is the command line's own; a dry run in version 3 has no other.
        info = done.text.rstrip("\n").rpartition("\n")[0]
        return Outcome(record, text=info, warnings=done.warnings)

    def test(self, name: str, options: TestOptions | None = None) -> Outcome:
        """Run a release's tests."""
        self._read(name)
        done = self._try("test", name, *flags.of_test(options or TestOptions()))
        if done.failure is not None:
            fault = make_fault(done.failure, default=ReleaseError)
            if isinstance(fault, ReleaseNotFound) or type(fault) is EngineError:
                raise fault
        logs = _LOGS.search(done.text)
        text = done.text[logs.start() :] if logs else ""
        return Outcome(self._read(name), text=text, failure=done.failure or "", warnings=done.warnings)

    def _find_status(self, name: str) -> str:
        """Answer the status of the last revision; empty for a release that is not there."""
        try:
            history = json.loads(self._run("history", name, "--max", "1", "-o", "json").text)
        except ReleaseNotFound:
            return ""
        return str(history[-1]["status"]) if history else ""

    def _read(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._run("status", name, "-o", "json").text)
        return record

    def _run(self, *arguments: str | Path) -> _Done:
        done = self._try(*arguments)
        if done.failure is not None:
            raise make_fault(done.failure)
        return done

    def _try(self, *arguments: str | Path) -> _Done:
        command = [self._program, *map(str, arguments), *self._place]
        with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
            variables = cluster.make_variables(self._environment) | {"TMPDIR": folder}
            process = subprocess.Popen(  # noqa: S603  # the user's helm
                command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, encoding="utf-8",
            )  # fmt: skip
            try:
                text, said = process.communicate()
            except BaseException:
                _kill(process)
                raise
        if process.returncode == 0:
            return _Done(text, tuple(said.splitlines()), None)
        before, found, failure = _partition(said)
        return _Done(text, tuple(before.splitlines()), failure.strip() if found else said.strip() or "helm failed")


def _partition(said: str) -> tuple[str, bool, str]:
    match = _ERROR.search(said)
    return (said[: match.start()], True, said[match.end() :]) if match else (said, False, "")


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.communicate()


@contextmanager
def _write_values(values: Values) -> Iterator[list[str]]:
    """Answer the flags for values; what came by standard input or from a program is in files of their own."""
    folder = Path(tempfile.mkdtemp(prefix="helm-client-values-"))  # 0700, so what is inside is ours alone
    try:
        given: list[str] = []
        for number, name in enumerate(values.files):
            if name.strip() == "-":
                name = str(folder / f"{number}.yaml")
                _write(Path(name), sys.stdin.read())
            given += ["--values", name]
        if values.inline:
            _write(folder / "inline.json", json.dumps(dict(values.inline)))
            given += ["--values", str(folder / "inline.json")]
        for kind, text in values.expressions:
            given += [f"--{kind}", text]
        yield given
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
