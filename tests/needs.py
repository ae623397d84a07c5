"""What a test needs from the machine. A laptop may lack it: the test is skipped and says what to install.

In CI nothing is skipped: a need named in the environment variable REQUIRE fails the test instead.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_INSTALL = {
    "postgres": "install PostgreSQL's server (Debian: postgresql)",
    "nginx": "install nginx (Debian: nginx-light)",
    "chromium": "install Chromium (Debian: chromium)",
    "helm": "put helm on PATH, or name it in HELM3 or HELM4",
    "docker-registry": "install the reference registry (Debian: docker-registry)",
    "skopeo": "install skopeo (Debian: skopeo)",
    "strace": "install strace (Debian: strace)",
    "gpg": "install GnuPG (Debian: gnupg)",
    "incubator": "name a folder with index.yaml and packages/ in CHARTROOM_TEST_INCUBATOR",
    "cc": "install a C compiler and the C library's headers (Debian: gcc libc6-dev)",
    "helm-sdk": "pip install helm-python-sdk (Linux only)",
}


def missing(need: str) -> None:
    """Skip the test, or fail it where REQUIRE names the need."""
    text = f"needs {need}: {_INSTALL[need]}"
    if need in os.environ.get("REQUIRE", "").split():
        pytest.fail(text)
    pytest.skip(text)


def find_program(need: str, *names: str) -> str:
    """Answer the path of the first program found; else the need is missing."""
    for name in names or (need,):
        found = shutil.which(name)
        if found:
            return found
    missing(need)
    raise AssertionError("unreachable")


def find_postgres(program: str) -> str:
    """Answer a program of PostgreSQL's server, which Debian keeps off PATH; else the need is missing."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / program).exists():
            return str(folder / program)
    return find_program("postgres", program)


def find_helms() -> list[str]:
    """Answer every helm there is: HELM3, HELM4, and the one on PATH; else the need is missing."""
    named = [os.environ.get(name, "") for name in ("HELM3", "HELM4")]
    found = [path for path in named if path and Path(path).exists()]
    if not found and (on_path := shutil.which("helm")):
        found = [on_path]
    if not found:
        missing("helm")
    return found


def find_incubator() -> Path:
    """Answer the folder of real charts, with `index.yaml` and `packages/`; else the need is missing."""
    folder = os.environ.get("CHARTROOM_TEST_INCUBATOR", "")
    if not folder or not Path(folder).is_dir():
        missing("incubator")
    return Path(folder)
