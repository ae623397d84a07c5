"""What a shell is told: without click the same as by click, and without loading it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from click.shell_completion import get_completion_class
from helm_client.cli.app import cli
from helm_client.cli.commands import COMMANDS, Group
from helm_client.cli.completion import VARIABLE, complete
from helm_client.cli.flag_table import PATH, render_flags

from tests.client.shell import Shell


def walk(group: Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Answer every command as it is typed, the groups too, by their names and aliases."""
    for name in (*group.commands, *group.aliases):
        words = (*before, name)
        yield words
        place = group.commands[group.aliases.get(name, name)]
        if isinstance(place, Group):
            yield from walk(place, words)


@pytest.fixture
def cached(tmp_path: Path) -> Shell:
    """Answer a user whose cache knows two repositories."""
    folder = tmp_path / ".cache" / "helm" / "repository"
    folder.mkdir(parents=True)
    (folder / "stable-charts.txt").write_text("memcached\nredis\nredis-ha\n")
    (folder / "steady-charts.txt").write_text("nginx\n")
    return Shell(tmp_path)


def ask(shell: Shell, kind: str, line: str, number: int | str) -> dict[str, str]:
    return {**shell.environment, VARIABLE: f"{kind}_complete", "COMP_WORDS": line, "COMP_CWORD": str(number)}


def by_click(kind: str, variables: dict[str, str]) -> str:
    maker = get_completion_class(kind)
    assert maker is not None
    with patch.dict(os.environ, variables, clear=True):
        return maker(cli, {}, "helm-client", VARIABLE).complete()


BEHIND = [
    line.split()
    for line in (
        "", "first", "first second", "--debug", "-n web first", "--version 1", "--version=1", "--wait first", "--set",
        "--set a=b --set c=d", "-nweb", "--nonsense", "--",
    )
]  # fmt: skip


@pytest.mark.parametrize("words", [(), *walk(COMMANDS)], ids=" ".join)
def test_the_quick_answer_is_clicks_answer(cached: Shell, words: tuple[str, ...]) -> None:
    for behind in BEHIND:
        for incomplete in ("", "st", "ste", "stable/re", "nothing", "./", "-", "--", "--ver", "--no", "--output=j"):
            line = " ".join(("helm-client", *words, *behind, incomplete))
            number = 1 + len(words) + len(behind)
            for kind, lines in (("bash", 1), ("zsh", 3)):
                variables = ask(cached, kind, line, number)
                quick = complete(variables)
                if quick is None:
                    continue
                theirs = by_click(kind, variables).splitlines()
                assert quick.splitlines()[0::lines] == theirs[0::lines], line
                assert quick.splitlines()[lines - 2 :: lines] == theirs[lines - 2 :: lines], line


ANSWERS = [
    ("helm-client pu", 1, "plain,pull\nplain,push\n"),
    ("helm-client repo re", 2, "plain,remove\n"),
    ("helm-client repo rm ste", 3, "plain,steady\n"),
    ("helm-client repo update stable-c", 3, "\n"),
    ("helm-client pull ", 2, "plain,stable/\nplain,steady/\n"),
    ("helm-client install cache stable/red", 3, "plain,stable/redis\nplain,stable/redis-ha\n"),
    ("helm-client upgrade cache ste", 3, "plain,steady/\n"),
    ("helm-client show values stable/m", 3, "plain,stable/memcached\n"),
    ("helm-client install --dry-run cache stable/m", 4, "plain,stable/memcached\n"),
    ("helm-client -n web install --set a=b cache stable/m", 7, "plain,stable/memcached\n"),
    ("helm-client install --wait ste", 3, "plain,steady/\n"),  # click takes this word for the value of --wait
    ("helm-client install --wait cache -o ", 5, "plain,table\nplain,json\nplain,yaml\n"),
    ("helm-client pull 'stable/m", 2, "plain,stable/memcached\n"),
    ("helm-client pull --dev", 2, "plain,--devel\n"),
    ("helm-client template ./my", 2, "file,./my\n"),
    ("helm-client show values stable/m ", 4, "\n"),
]


@pytest.mark.parametrize(("line", "number", "answer"), ANSWERS)
def test_a_shell_is_told(cached: Shell, line: str, number: int, answer: str) -> None:
    done = cached.process(**ask(cached, "bash", line, number))
    assert (done.code, done.out, done.err) == (0, answer, "")


def test_zsh_gets_the_help_too_and_fish_is_answered_by_click(cached: Shell) -> None:
    done = cached.process(**ask(cached, "zsh", "helm-client pul", 1))
    assert done.out == "plain\npull\ndownload a chart from a repository\n"
    assert complete(ask(cached, "fish", "helm-client pull stable/m", "stable/m")) is None
    done = cached.process(**ask(cached, "fish", "helm-client pull stable/m", "stable/m"))
    assert done.out == "plain,stable/memcached\n"


def test_bash_completes_with_the_printed_script(cached: Shell) -> None:
    folder = cached.home / "bin"
    folder.mkdir()
    program = folder / "helm-client"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m helm_client "$@"\n')
    program.chmod(0o755)
    environment = {**cached.environment, "PATH": f"{folder}:{os.environ['PATH']}"}
    ask_bash = (
        f"{cached.say('completion', 'bash')}\nCOMP_WORDS=(helm-client pull stable/red) COMP_CWORD=2\n"
        '_helm_client_completion helm-client\necho "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask_bash], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "stable/redis stable/redis-ha\n", done.stderr


def test_another_cache_is_looked_into(cached: Shell, tmp_path: Path) -> None:
    (tmp_path / "other-charts.txt").write_text("nginx\n")
    for line in (f"--repository-cache {tmp_path} pull oth", f"pull --repository-cache={tmp_path} oth"):
        number = len(line.split())
        assert cached.process(**ask(cached, "bash", f"helm-client {line}", number)).out == "plain,other/\n"


def test_the_table_of_flags_is_what_the_commands_declare() -> None:
    assert Path(PATH).read_text() == render_flags(), "run: python -m helm_client.cli.flag_table"


def test_completing_loads_neither_click_nor_a_command(cached: Shell) -> None:
    code = (
        "import sys, helm_client.__main__ as entry\nentry.main()\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in {'click', 'yaml', 'httpx'}))"
    )
    for line, number, answer in (
        ("helm-client pull stable/m", 2, "stable/memcached"),
        ("helm-client pull --version 1 stable/m", 4, "stable/memcached"),
        ("helm-client pull --versi", 2, "--version"),
    ):
        environment = ask(cached, "bash", line, number)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"plain,{answer}\n\n"
