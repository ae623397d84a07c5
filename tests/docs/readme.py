"""The README taken apart: sections, shell blocks, tables, names; and its one generated part put in."""

from __future__ import annotations

import re
from pathlib import Path

from app.settings import settings_table

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ADDRESS = "http://127.0.0.1:8080"

_TABLE = re.compile(r"(<!-- settings: begin\.[^\n]*-->\n)(.*?)(<!-- settings: end -->)", re.DOTALL)


def read_readme() -> str:
    """Answer the text."""
    return README.read_text(encoding="utf-8")


def put_table(text: str) -> str:
    """Answer the text with the settings table as the code has it."""
    assert len(_TABLE.findall(text)) == 1, "the README lost the markers of its settings table"
    return _TABLE.sub(lambda match: f"{match[1]}\n{settings_table()}\n{match[3]}", text)


def get_section(title: str) -> str:
    """Answer what stands below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", read_readme(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"the README has no section {title}"
    return found[1]


def list_commands(title: str) -> list[str]:
    """Answer the shell blocks of a section."""
    return re.findall(r"^```sh\n(.*?)^```", get_section(title), re.DOTALL | re.MULTILINE)


def list_rows(title: str) -> list[list[str]]:
    """Answer the rows of a section's table, without its head."""
    rows = [line.strip("| ").split(" | ") for line in get_section(title).splitlines() if line.startswith("| ")]
    return rows[1:]


def list_code(text: str) -> list[str]:
    """Answer what stands in backticks, blocks left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
