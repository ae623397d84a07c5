"""The engine that speaks to helm-python-sdk in worker processes.

A worker does one call at a time; whoever finds none idle starts one. One stays for the next call.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Self

from helm_client.engine import cluster, dependencies, keyring
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
from helm_client.engine.results import (
    Created,
    Dependencies,
    Lint,
    Outcome,
    Packaged,
    Template,
    Verified,
    render_lint,
)
from helm_client.engine.values import merge
from helm_client.environment import Environment
from helm_client.errors import EngineError, HelmClientError, InvalidChart, SignatureError

_PACKAGES = Path(__file__).parents[2]


class Worker:
    """One process of `helm_client.engine.worker`, with a folder for its temporary files."""

    def __init__(self, environment: Environment) -> None:
        self._folder = tempfile.mkdtemp(prefix="helm-client-")
        self._errors: IO[bytes] = open(Path(self._folder) / "errors", "w+b")  # noqa: SIM115  # closed by close()
        variables = cluster.make_variables(environment) | {"TMPDIR": self._folder}
        paths = [str(_PACKAGES), variables.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        name = str(Path(sys.executable).with_name("helm"))
        # -P: a json.py in the user's folder must not be ours.
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [name, "-P", "-m", "helm_client.engine.worker"], executable=sys.executable, env=variables, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True,
        )  # fmt: skip

    def call(self, name: str, facts: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
        """Answer the result of a call, and the lines on standard error. Raises HelmClientError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = self._errors.seek(0, os.SEEK_END)
        try:
            self._process.stdin.write(json.dumps({"call": name, "facts": facts, "folder": str(Path.cwd())}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        self._errors.seek(start)
        said = self._errors.read().decode(errors="replace")
        if not line:
            raise EngineError(f"Helm's engine ended unexpectedly: {said[-4000:].strip()}")
        answer = json.loads(line)
        if "fault" in answer:
            raise make_fault(answer["fault"]["text"], answer["fault"]["code"])
        return answer["result"], tuple(said.splitlines())

    def close(self, *, at_once: bool = False) -> None:
        """End the process and remove its files."""
        if at_once:
            self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._errors.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        try:
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        except ProcessLookupError:
            return


class RemoteEngine:
    """Helm's engine by helm-python-sdk. See `helm_client.engine.Engine`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._idle: list[Worker] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the idle workers go."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_idle", None):
            self.close()

    def template(
        self, chart: str | Path, values: Values | None = None, options: TemplateOptions | None = None
    ) -> Template:
        """Render a chart."""
        result, warnings = self._complete("template", values, options or TemplateOptions(), chart=str(chart))
        return Template(result["text"], (*result["warnings"], *warnings))

    def lint(
        self, charts: Sequence[str | Path], values: Values | None = None, options: LintOptions | None = None
    ) -> Lint:
        """Look for faults in charts."""
        options = options or LintOptions()
        reports: list[tuple[str, dict[str, Any]]] = []
        warnings: list[str] = []
        for path in _list_charts(charts, options):
            report, said = self._call("lint", values, options, chart=path)
            reports.append((path, report))
            warnings += said
        return Lint.read(*render_lint(reports, quiet=options.quiet), tuple(dict.fromkeys(warnings)))

    def package(self, chart: str | Path, options: PackageOptions | None = None) -> Packaged:
        """Make an archive."""
        options = options or PackageOptions()
        if options.dependency_update:
            self.dependency_update(chart)
            options = replace(options, dependency_update=False)
        result, warnings = self._call("package", None, options, chart=str(Path(chart).absolute()))
        return Packaged(Path(result["path"]), warnings)

    def verify(self, archive: str | Path, keyring: str | Path) -> Verified:
        """Check an archive against its provenance file."""
        return self._verify(str(archive), Path(keyring))

    def _verify(self, archive: str, keys: Path) -> Verified:
        try:
            result, warnings = self._call("verify", None, None, chart=archive, keyring=str(keys))
        except HelmClientError as error:
            raise SignatureError(str(error)) from error
        found = keyring.find_fingerprint(Path(f"{archive}.prov").read_text(encoding="utf-8"), keys.read_bytes())
        return Verified(tuple(result["signed_by"]), found, result["file_hash"], warnings)

    def create(self, path: str | Path, starter: str = "") -> Created:
        """Make the folder of a new chart."""
        place = str(self._environment.data_home / "starters" / starter) if starter else ""
        result, warnings = self._call("create", None, None, path=str(path), starter=place)
        return Created(Path(result["path"]), f"Creating {path}\n", warnings)

    def dependency_update(self, chart: str | Path, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies anew."""
        return self._fetch("update", Path(chart), options or DependencyOptions())

    def dependency_build(self, chart: str | Path, options: DependencyOptions | None = None) -> Dependencies:
        """Fetch the dependencies of the lock."""
        return self._fetch("build", Path(chart), options or DependencyOptions())

    def _fetch(self, how: str, chart: Path, options: DependencyOptions) -> Dependencies:
        with dependencies.prepare(chart, self._environment, whole=True) as plan:
            facts = {"chart": str(plan.folder), "how": how, "options": asdict(options) | plan.make_access()}
            try:
                result, warnings = self._ask("dependency", facts)
            except HelmClientError as error:
                raise type(error)(plan.restore(str(error))) from None
        return Dependencies(plan.tell(result["lines"]), plan.restore_lines(warnings))

    def install(
        self, name: str, chart: str | Path, values: Values | None = None, options: InstallOptions | None = None
    ) -> Outcome:
        """Install a release."""
        return self._act("install", values or Values(), options or InstallOptions(), name=name, chart=str(chart))

    def upgrade(
        self, name: str, chart: str | Path, values: Values | None = None, options: UpgradeOptions | None = None
    ) -> Outcome:
        """Upgrade a release."""
        options = options or UpgradeOptions()
        limit = self._limit(options.history_max)
        return self._act("upgrade", values or Values(), options, name=name, chart=str(chart), history_max=limit)

    def rollback(self, name: str, options: RollbackOptions | None = None) -> Outcome:
        """Bring a release back."""
        options = options or RollbackOptions()
        return self._act("rollback", None, options, name=name, history_max=self._limit(options.history_max))

    def uninstall(self, name: str, options: UninstallOptions | None = None) -> Outcome:
        """Remove a release."""
        return self._act("uninstall", None, options or UninstallOptions(), name=name)

    def test(self, name: str, options: TestOptions | None = None) -> Outcome:
        """Run a release's tests."""
        return self._act("test", None, options or TestOptions(), name=name)

    def _limit(self, wanted: int | None) -> int:
        return self._environment.max_history if wanted is None else wanted

    def _act(self, call: str, values: Values | None, options: Any, **facts: Any) -> Outcome:
        result, warnings = self._complete(call, values, options, **facts)
        more = {name: result[name] for name in ("installed", "text", "failure") if name in result}
        return Outcome(result["record"], warnings=(*result.get("warnings", ()), *warnings), **more)

    def _complete(self, call: str, values: Values | None, options: Any, **facts: Any) -> tuple[Any, tuple[str, ...]]:
        """Make a call; where dependencies are missing and may be fetched, fetch them and make it again."""
        fetch = getattr(options, "dependency_update", False) and Path(facts["chart"]).is_dir()
        options = replace(options, dependency_update=False) if fetch else options
        try:
            return self._call(call, values, options, **facts)
        except InvalidChart as error:
            if not fetch or "missing in charts/ directory" not in str(error):
                raise
            self.dependency_update(facts["chart"])
            return self._call(call, values, options, **facts)

    def _call(self, call: str, values: Values | None, options: Any, **facts: Any) -> tuple[Any, tuple[str, ...]]:
        found, noticed = merge(values or Values(), lambda text: self._ask("read_values", {"text": text})[0])
        facts |= {"values": found, "options": asdict(options) if options else {}}
        result, warnings = self._ask(call, facts | {"config": cluster.make_settings(self._environment)})
        return result, (*noticed, *warnings)

    def _ask(self, call: str, facts: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self._environment)
        try:
            answer = worker.call(call, facts)
        except HelmClientError as error:
            self._keep(worker, usable=type(error) is not EngineError)
            raise
        except BaseException:
            worker.close(at_once=True)
            raise
        self._keep(worker, usable=True)
        return answer

    def _keep(self, worker: Worker, *, usable: bool) -> None:
        with self._lock:
            if usable and not self._idle:
                self._idle.append(worker)
                return
        worker.close()


def _list_charts(charts: Sequence[str | Path], options: LintOptions) -> list[str]:
    """Answer the charts to lint; with sub-charts, those that lie in their `charts/` too, as Helm walks."""
    found = [str(path) for path in charts]
    for path in list(found) if options.with_subcharts else ():
        for part in sorted((Path(path) / "charts").rglob("*"), key=lambda part: part.parts):
            if part.name == "Chart.yaml":
                found.append(str(part.parent))
            elif part.name.endswith((".tgz", ".tar.gz")):
                found.append(str(part))
    return found
