"""One checkout of this project: its server and its commands as processes that import its own code.

Nothing of it is imported here. `prove_origin` shows that its processes import nothing of another checkout either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.live import LiveServer, find_free_port, wait_until_up
from tests.load.generated import make_archive
from tests.load.uploading import upload_all

_NOT_PASSED_ON = re.compile(r"CHARTROOM_|COVERAGE_|PYTHON|REQUIRE$")
# With PYTHONVERBOSE: "# code object from /PATH.py", or "# /CACHE.pyc matches /PATH.py".
_LOADED = re.compile(r"^# (?:code object from|.* matches) (/.+\.py)$", re.MULTILINE)
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")


@dataclass(frozen=True, slots=True)
class Store:
    """Where a server keeps its charts and its database; without `database`, where it wants to."""

    storage: str
    database: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The flags that name it."""
        return ["--storage", self.storage, *(["--database", self.database] if self.database else [])]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command cost, in seconds: by the clock, and of CPU with its children."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout at `root`, run by `python`; `name` is "ours" or "theirs"."""

    name: str
    root: Path
    python: str

    @contextmanager
    def serve(self, store: Store, *, under: Sequence[str] = (), **environment: str) -> Iterator[LiveServer]:
        """Run `chartroom serve` on a store, ready to be read, until the block ends; `under` is a command in front."""
        port = find_free_port()
        command = [*under, self.python, "-m", "app", "serve", "--port", str(port), *store.arguments]
        with tempfile.TemporaryDirectory(prefix=f"chartroom-{self.name}-") as folder:
            log = Path(folder) / "log"
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    command, cwd=self.root, env=self._environment(store) | environment, stdout=stream, stderr=stream,
                    start_new_session=True,
                )  # fmt: skip
            server = LiveServer(f"http://127.0.0.1:{port}", process, log)
            try:
                wait_until_up(server, "/-/ready")
                yield server
            finally:
                _stop(server)

    def run(self, *arguments: str, store: Store) -> Usage:
        """Run a command on a store to its end. Raises RuntimeError with what it said when it fails."""
        command = [self.python, "-m", "app", *arguments, *store.arguments]
        with tempfile.TemporaryFile() as said:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=self.root, env=self._environment(store), stdout=said, stderr=subprocess.STDOUT
            )
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:  # we are told to stop
                process.kill()
                process.wait()
                raise
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                text = said.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(command)} in {self.root} ends with {process.returncode}:\n{text}")
        return Usage(seconds, used.ru_utime + used.ru_stime)

    def commit(self) -> str:
        """Return its commit as git names it, or "none"."""
        asked = ["git", "-C", str(self.root), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "none"

    def _environment(self, store: Store) -> dict[str, str]:
        """Return ours without what steers our own processes. An editable install stands behind PYTHONPATH."""
        passed = {name: value for name, value in os.environ.items() if not _NOT_PASSED_ON.match(name)}
        path = f"{self.root}{os.pathsep}{self.root / 'helm-client'}"
        return {**passed, "PYTHONPATH": path, **store.environment}


def find_checkout(name: str, root: Path) -> Checkout:
    """Return the checkout at `root`, with its own virtual environment if it has one. Raises ValueError."""
    root = root.resolve()
    if not (root / "app" / "__main__.py").is_file():
        raise ValueError(f"{root} is no checkout of this project: it has no app/__main__.py")
    own = root / ".venv" / "bin" / "python"
    return Checkout(name, root, str(own) if own.exists() else sys.executable)


def prove_origin(checkout: Checkout) -> int:
    """Let a server of a checkout name each file it imports; return how many are the checkout's own.

    Raises RuntimeError when one comes from another checkout, through an editable install for example.
    """
    with (
        tempfile.TemporaryDirectory(prefix="chartroom-origin-") as folder,
        checkout.serve(Store(folder), PYTHONVERBOSE="1") as server,
    ):
        upload_all(server.url, [make_archive(1, "1.0.0", size=1000)], clients=1)
        server.stop()
        files = set(_LOADED.findall(server.log.read_text(errors="replace")))
    own = {file for file in files if file.startswith(f"{checkout.root}/") and not _INSTALLED.search(file)}
    foreign = sorted(file for file in files - own if _is_of_a_checkout(file, checkout))
    if foreign or f"{checkout.root}/app/__init__.py" not in own:
        shown = ", ".join(foreign[:3]) or "no app/__init__.py of its own"
        raise RuntimeError(f"the server of {checkout.root} does not run that checkout's code: it imports {shown}")
    return len(own)


def _is_of_a_checkout(file: str, checkout: Checkout) -> bool:
    """Return whether a file is neither Python's own nor a package that somebody else wrote."""
    if place := _INSTALLED.search(file):
        top = file[place.end() :].partition("/")[0]
        return any((folder / top / "__init__.py").exists() for folder in (checkout.root, checkout.root / "helm-client"))
    return not file.startswith(tuple(_python_folders(checkout.python)))


def _python_folders(python: str) -> list[str]:
    code = "import sysconfig; print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('platstdlib'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return [f"{line}/" for line in done.stdout.split()]


def _stop(server: LiveServer) -> None:
    if server.process.poll() is not None:
        return
    try:
        server.stop()
    except subprocess.TimeoutExpired:
        server.kill()
        raise
