"""The table, and the file that keeps it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from tests.load.findings import MISSED, OK, Finding
from tests.load.reading import load_tool
from tests.load.servers import find_museum, has_nginx

RESULTS = Path(__file__).with_name("RESULTS.md")


def render(findings: Sequence[Finding]) -> str:
    """Answer the table in Markdown, its columns aligned for reading as text."""
    museum = find_museum() is not None
    head = ["work", "target", "measured", "", *(["ChartMuseum"] if museum else []), "behind it"]
    rows = [head]
    for found in findings:
        row = [found.work, found.target, found.measured, found.mark]
        rows.append([*row, *([found.museum] if museum else []), found.detail])
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def render_file(findings: Sequence[Finding], *, seconds: float) -> str:
    """Answer the whole results file."""
    missed = sum(found.mark == MISSED for found in findings)
    met = sum(found.mark == OK for found in findings)
    return (
        "# What the numbers were\n\n"
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d} in {seconds / 60:.0f} minutes: {met} targets met,"
        f" {missed} missed. {_describe_machine()}\n\n"
        "Ratios are medians over rounds in which ours and the peer took turns; x is ours by the peer's. One worker"
        " each; the load tool ran on the same machine.\n\n" + render(findings)
    )


def _time_additions() -> float:
    """Answer the seconds that a plain loop takes: what tells a quick machine from a slow one."""
    began, total = perf_counter(), 0
    for number in range(10_000_000):
        total += number
    return perf_counter() - began


def _describe_machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    absent = [name for name, there in (("nginx", has_nginx()), ("ChartMuseum", find_museum())) if not there]
    return (
        f"Machine: {os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()},"
        f" Python {platform.python_version()}, which adds ten million numbers in {_time_additions():.2f} s; load by"
        f" {load_tool()}" + (f"; not installed and left out: {', '.join(absent)}." if absent else ".")
    )
