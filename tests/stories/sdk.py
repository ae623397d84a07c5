"""Helm's own Go code (helm-python-sdk), in a process of its own: it must not be forked.

Run as a program it reads one JSON line (what to do) from standard input and prints one JSON line (what came of it).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.needs import missing

_SECONDS = 240


def ask_helm(task: str, **facts: Any) -> Any:
    """Run `task` (`index`, `pull`, `sign`, `verify` or `push_and_pull`) in Helm's code and answer its result."""
    if importlib.util.find_spec("helm_python") is None:
        missing("helm-sdk")
    done = subprocess.run(
        [sys.executable, "-m", "tests.stories.sdk"],
        input=json.dumps({"task": task, **facts}), capture_output=True, text=True, timeout=_SECONDS, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _index(url: str) -> Any:
    import helm_python

    return helm_python.repo_index(url)


def _pull(url: str, charts: list[list[str]], destination: str) -> list[str]:
    import helm_python

    for name, version in charts:
        helm_python.pull(name, repo_url=url, version=version, destination=destination)
    return sorted(path.name for path in Path(destination).iterdir())


def _sign(archive: str, key: str, keyring: str) -> str:
    import helm_python

    return helm_python.sign(archive, key=key, keyring=keyring)


def _verify(archive: str, keyring: str) -> Any:
    import helm_python

    return helm_python.verify(archive, keyring)


def _push_and_pull(archive: str, host: str, path: str, name: str, login: list[str], destination: str) -> Any:
    """Push a chart with what lies beside it, and pull it by version, by range and without any."""
    import helm_python

    with_login = helm_python.RegistryClient(plain_http=True, credentials_file=f"{destination}/credentials.json")
    if login:
        with_login.login(host, *login, plain_http=True)
    pushed = with_login.push(archive, f"oci://{host}/{path}", plain_http=True)
    found = {"pushed": pushed, "tags": with_login.tags(f"{host}/{path}/{name}"), "pulled": []}
    for number, version in enumerate(("1.2.3", "~1.2.0", None)):
        folder = Path(destination) / str(number)
        folder.mkdir()
        reference = f"oci://{host}/{path}/{name}"
        helm_python.pull(reference, client=with_login, version=version, destination=str(folder), plain_http=True)
        found["pulled"].append(sorted(path.name for path in folder.iterdir()))
    with_login.close()
    return found


if __name__ == "__main__":
    _asked = json.loads(sys.stdin.read())
    _tasks = {"index": _index, "pull": _pull, "sign": _sign, "verify": _verify, "push_and_pull": _push_and_pull}
    _work = _tasks[_asked.pop("task")]
    sys.stdout.write(json.dumps(_work(**_asked), default=str))
