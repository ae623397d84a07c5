"""Command lines read by our own parser, without running them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from app import museum
from app.__main__ import cli


def parse_command(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Answer the command and its options, or ChartMuseum's flags under the name ""; raises what typing them would."""
    if museum.is_museum_command_line(words):
        return "", dict(museum.parse_command_line(words))
    group: Any = typer.main.get_command(cli)
    name, command, rest = group.resolve_command(group.context_class(group, info_name="chartroom"), list(words))
    return name, command.make_context(name, list(rest)).params
