"""`helm-client` and `helm` as a user runs them: with Helm's files below one folder, and nothing of the machine's."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from helm_client.cli.app import run


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str = ""


@dataclass(frozen=True)
class Shell:
    """A user whose home is `home`."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command: Helm's files below the home, no proxy, no cluster."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.home), "KUBECONFIG": str(self.home / "kubeconfig")}

    def client(self, *words: str | Path) -> Done:
        """Run helm-client in this process."""
        out, err = io.StringIO(), io.StringIO()
        with patch.dict(os.environ, self.environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            code = run([str(word) for word in words])
        return Done(code, out.getvalue(), err.getvalue())

    def say(self, *words: str | Path) -> str:
        """Run helm-client, which must succeed; answer what it prints to stdout."""
        done = self.client(*words)
        assert done.code == 0, done
        return done.out

    def process(self, *words: str | Path, **more: str) -> Done:
        """Run helm-client as a process of its own."""
        command = [sys.executable, "-m", "helm_client"]
        return self._run([*command, *map(str, words)], **more)

    def helm(self, helm: str, *words: str | Path) -> Done:
        """Run a real helm with the same files."""
        return self._run([helm, *map(str, words)])

    def _run(self, command: list[str], **more: str) -> Done:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={**self.environment, **more}, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Desk(Shell):
    """A user with one of the engines: `backend` is sdk or binary, `helm_bin` the binary.

    `twins` are the helms of version `major`, which must say the same: the binary itself, or what the SDK is made of.
    """

    backend: str = ""
    helm_bin: str = ""
    twins: tuple[str, ...] = ()
    major: int = 4

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "HELM_CLIENT_BACKEND": self.backend, "HELM_BIN": self.helm_bin}
