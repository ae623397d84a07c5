"""What goes to the screen, in Helm's form: tables (uitable), JSON (Go's), YAML (sigs.k8s.io/yaml). Data to stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click


def render_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, max_width: int = 0) -> str:
    """Lay out a table as Helm prints it: cells padded to the column's width, joined by tabs, the last one padded too.

    `max_width` cuts a cell to so many characters, the last three of them dots; 0 means no limit.
    """
    lines = [[_cut(cell, max_width) for cell in row] for row in ([headers] if headers else []) + list(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "\t".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + "\n" for line in lines
    )


def _cut(cell: str, width: int) -> str:
    return cell if not width or len(cell) <= width else f"{cell[: width - 3]}..."


def render_json(value: Any) -> str:
    """Write a value as Go's encoding/json does: one line, `<`, `>` and `&` escaped, characters as they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{text}\n"


def sort_maps(value: Any) -> Any:
    """Answer a value whose mappings are in the order of their keys, as Go writes maps (not structs)."""
    if isinstance(value, dict):
        return {key: sort_maps(value[key]) for key in sorted(value)}
    return [sort_maps(one) for one in value] if isinstance(value, list) else value


def render_yaml(value: Any) -> str:
    """Write a value as sigs.k8s.io/yaml does."""
    from helm_client import goyaml

    return goyaml.render_yaml(value)


def show(text: str) -> None:
    """Print to stdout as it is, without a newline of its own."""
    click.echo(text, nl=False)


def tell(text: str) -> None:
    """Print a line to stderr: a warning, or what is going on."""
    click.echo(text, err=True)
