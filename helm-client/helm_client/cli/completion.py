"""What a shell may complete a word to: from small files of the cache, never from an index, in less than 100 ms.

`complete` answers without click, which takes as long to load as a shell may wait; what it does not answer (the value
of a flag, a file, or in another shell than bash and zsh) click does, by the functions below.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from helm_client.cli.commands import CHARTS, COMMANDS, Group, Place
from helm_client.cli.flag_table import Flag, read_flags
from helm_client.homes import find_repository_cache

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

VARIABLE = "_HELM_CLIENT_COMPLETE"
"""The environment variable by which a shell asks (click's)."""

_SUFFIX = "-charts.txt"
_QUOTES = frozenset("\"'\\")


def complete(variables: Mapping[str, str]) -> str | None:
    """Answer what the shell reads that asked by these environment variables, None where click must be asked."""
    shell, line = variables[VARIABLE], variables.get("COMP_WORDS", "")
    number = variables.get("COMP_CWORD", "")
    if shell not in {"bash_complete", "zsh_complete"} or not number.isdecimal() or not _QUOTES.isdisjoint(line):
        return None
    words = line.split()
    before, incomplete = words[1 : int(number)], "".join(words[int(number) : int(number) + 1])
    if any(word.startswith("--repository-cache") for word in before):
        return None
    found = _find(before, incomplete, find_repository_cache(variables))
    if found is None:
        return None
    if shell == "bash_complete":
        return "".join(f"plain,{name}\n" for name, _text in found)
    return "".join(f"plain\n{name}\n{text or '_'}\n" for name, text in found)


class _Reached(NamedTuple):
    """Where some words lead: to a command, typed as `words`, with so many own words before and these flags."""

    place: Place | Group
    words: str
    position: int
    used: list[Flag]


def _follow(before: list[str]) -> _Reached | None:
    """Answer where words lead; None for what is not known here, or where the next word is the value of a flag."""
    at = _Reached(COMMANDS, "", 0, [])
    rest = iter(before)
    for word in rest:
        if word.startswith("-"):
            name, equals, _value = word.partition("=")
            flag = next((flag for flag in read_flags(at.words) if name in flag.names), None)
            if flag is None or (flag.takes and not equals and next(rest, None) is None):
                return None
            at.used.append(flag)
        elif isinstance(at.place, Group):
            name = at.place.aliases.get(word, word)
            if name not in at.place.commands:
                return None
            at = _Reached(at.place.commands[name], f"{at.words} {name}".strip(), 0, [])
        else:
            at = at._replace(position=at.position + 1)
    return at


def _find(before: list[str], incomplete: str, cache: str) -> list[tuple[str, str]] | None:
    """Answer what the word behind these may be, with a line of help each; None for what is not known here."""
    at = _follow(before)
    if at is None:
        return None
    if incomplete.startswith("-"):
        return None if "=" in incomplete else _list_flags(at, incomplete)
    if isinstance(at.place, Group):
        return _list_commands(at.place, incomplete)
    if not at.place.names or not at.place.first <= at.position <= at.place.last:
        return None
    list_names = list_charts if at.place.names == CHARTS else list_repositories
    # Without one the shell may have a file to offer, which click says.
    return [(name, "") for name in list_names(cache, incomplete)] or None


def _list_flags(at: _Reached, incomplete: str) -> list[tuple[str, str]]:
    open_flags = [flag for flag in read_flags(at.words) if not flag.hidden and (flag.multiple or flag not in at.used)]
    return [(name, flag.help) for flag in open_flags for name in flag.names if name.startswith(incomplete)]


def _list_commands(group: Group, incomplete: str) -> list[tuple[str, str]]:
    shown = [(name, place.text) for name, place in sorted(group.commands.items()) if place.text]
    return [(name, text) for name, text in shown if name.startswith(incomplete)]


def list_charts(cache: str, incomplete: str) -> list[str]:
    """Answer the charts `repository/chart` that begin so, or the repositories while the word has no slash."""
    repository, slash, chart = incomplete.partition("/")
    if not slash:
        return [f"{name}/" for name in list_repositories(cache, repository)]
    try:
        with open(os.path.join(cache, repository + _SUFFIX), encoding="utf-8") as file:
            charts = file.read().split()
    except OSError:
        return []
    return [f"{repository}/{name}" for name in charts if name.startswith(chart)]


def list_repositories(cache: str, incomplete: str) -> list[str]:
    """Answer the repositories whose name begins so."""
    try:
        files = sorted(os.listdir(cache))
    except OSError:
        return []
    names = [name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)]
    return [name for name in names if name.startswith(incomplete)]


def complete_chart(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Answer click the charts that begin so; where there is none, the shell looks for a file."""
    from click.shell_completion import CompletionItem

    from helm_client.cli.flags import get_environment

    names = list_charts(str(get_environment(ctx).repository_cache), incomplete)
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def complete_repository(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Answer click the repositories whose name begins so."""
    from helm_client.cli.flags import get_environment

    return list_repositories(str(get_environment(ctx).repository_cache), incomplete)
