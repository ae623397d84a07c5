"""The flags of every command as a table beside this file, so that a shell need not wait for click to load.

`python -m helm_client.cli.flag_table` writes it again from what the commands declare; a test compares the two.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

PATH = os.path.join(os.path.dirname(__file__), "flags.json")


class Flag(NamedTuple):
    """A flag: its names, whether it takes the next word, may come twice, is hidden, and its line of help."""

    names: list[str]
    takes: bool
    multiple: bool
    hidden: bool
    help: str


def read_flags(words: str) -> list[Flag]:
    """Answer the flags of the command that is typed as these words; "" for those before any command."""
    import json

    with open(PATH, encoding="utf-8") as file:
        table = json.load(file)
    return [Flag(*table["flags"][number]) for number in table["commands"][words]]


def render_flags() -> str:
    """Answer the table as the commands declare it."""
    import json

    from helm_client.cli.app import cli

    flags: dict[str, int] = {}
    commands = {
        words: [flags.setdefault(json.dumps(_describe(option)), len(flags)) for option in options]
        for words, options in _walk(cli, ())
    }
    rows = ",\n".join(f"  {flag}" for flag in flags)
    lists = ",\n".join(f"  {json.dumps(words)}: {numbers}" for words, numbers in commands.items())
    return f'{{\n"flags": [\n{rows}\n],\n"commands": {{\n{lists}\n}}\n}}\n'


def _walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, list[click.Option]]]:
    import click

    ctx = click.Context(command, help_option_names=["-h", "--help"])
    yield " ".join(words), [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _walk(below, (*words, name))


def _describe(option: click.Option) -> tuple[Any, ...]:
    takes = not option.is_flag and not option.count and "[=" not in (option.metavar or "")
    names = [*option.opts, *option.secondary_opts]
    return names, takes, option.multiple, option.hidden, option.help or ""


if __name__ == "__main__":
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(render_flags())
