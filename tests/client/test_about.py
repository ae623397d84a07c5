"""What the client says of itself, what it needs, and what it leaves alone."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from tests.client.shell import Shell
from tests.needs import find_helms


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_environment_is_helms(shell: Shell) -> None:
    ours = dict(line.split("=", 1) for line in shell.say("env").splitlines())
    for helm in find_helms():
        theirs = dict(line.split("=", 1) for line in shell.helm(helm, "env").out.splitlines())
        shared = set(ours) & set(theirs) - {"HELM_BIN"}
        assert len(shared) >= 17
        assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert shell.say("env", "HELM_NAMESPACE") == "default\n"
    assert shell.say("env", "NOTHING") == "\n"


def test_the_version_is_the_packages(shell: Shell) -> None:
    assert shell.say("version", "--short") == f"v{version('helm-client')}\n"
    assert shell.say("version") == f"helm-client v{version('helm-client')}\n"


def test_a_shell_takes_the_script_of_completion(shell: Shell) -> None:
    assert "compdef" in shell.say("completion", "zsh")
    assert "complete " in shell.say("completion", "fish")
    script = shell.home / "completion"
    script.write_text(shell.say("completion", "bash"))
    asked = f"source {script}; complete -p helm-client"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" helm-client\n")


def test_a_plain_install_brings_only_what_search_and_fetch_need() -> None:
    needed = [line for line in requires("helm-client") or () if "extra ==" not in line]
    assert sorted(re.split("[<>=;]", line)[0] for line in needed) == ["click", "httpx", "pyyaml"]


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        ("--help", "httpx yaml helm_python ssl asyncio"), ("search repo x", "helm_python asyncio"),
        ("pull x/y", "helm_python"), ("list", "helm_python"), ("repo list", "helm_python"),
    ],
)  # fmt: skip
def test_a_command_loads_only_what_it_needs(shell: Shell, words: str, unwanted: str) -> None:
    code = (
        "import sys\nfrom helm_client.cli.app import run\n"
        f"run({words.split()!r})\nprint(*sorted(set(sys.modules) & {{'app', 'fastapi', *{unwanted.split()!r}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


def test_a_name_that_is_none_is_told_with_the_usage(shell: Shell) -> None:
    done = shell.client("instal")
    assert done.code == 1
    assert done.err.startswith("Error: No such command 'instal'")
    done = shell.client("pull", "a/b", "--versoin", "1")
    assert "--version" in done.err


def test_the_client_has_no_colours_in_a_pipe_and_has_them_on_a_terminal(shell: Shell) -> None:
    code = (
        "from helm_client.cli.diff import _show_diff\nfrom helm_client.releases import Release\n"
        "_show_diff(Release({'name': 'web', 'version': 1, 'manifest': 'a: 1'}), 'a: 2', 'new')"
    )
    command = [sys.executable, "-c", code]
    plain = subprocess.run(command, env=shell.environment, capture_output=True, text=True, check=True).stdout
    assert plain.splitlines() == ["--- web (revision 1)", "+++ new", "@@ -1 +1 @@", "-a: 1", "+a: 2"]
    ours, theirs = pty.openpty()
    subprocess.run(command, env=shell.environment, stdout=theirs, check=True)
    os.close(theirs)
    seen = os.read(ours, 4096).decode()
    os.close(ours)
    assert "\x1b[31m-a: 1\x1b[0m" in seen
    assert "\x1b[32m+a: 2\x1b[0m" in seen
