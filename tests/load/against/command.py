"""`python -m tests.load --against PATH [ROW...]`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.load.against.checkout import find_checkout, prove_origin
from tests.load.against.pair import open_pair
from tests.load.against.rounds import OURS, THEIRS, render
from tests.load.against.rows import ROWS, measure_rows
from tests.load.against.scale import FULL, TINY, Scale
from tests.load.reading import load_tool
from tests.load.servers import ROOT


def run(other: Path, names: list[str], *, tiny: bool, kept: Path | None, say: Callable[[str], None]) -> bool:
    """Measure another checkout beside this one and print the table; return whether every row went through.

    Raises ValueError when `other` is no checkout, RuntimeError when a side does not run its own code.
    """
    scale = TINY if tiny else FULL
    sides = find_checkout(OURS, ROOT), find_checkout(THEIRS, other)
    for side in sides:
        files = prove_origin(side)
        say(f"{side.name}: {side.root} at {side.commit()}; its server imports {files} files, all from there")
    with (
        tempfile.TemporaryDirectory(prefix="chartroom-against-") as folder,
        open_pair(*sides, Path(folder), scale, kept=kept, say=say) as pair,
    ):
        lines = list(measure_rows(pair, names or list(ROWS), say))
    say(f"\n{_describe(scale)}\n\n{render(lines)}")
    return not any(line.broken for line in lines)


def _describe(scale: Scale) -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Medians of {scale.rounds} rounds ({scale.reads} of reads, {scale.counted} of what is counted), by turns.\n"
        "A ratio is ours by theirs: the median of the rounds' ratios, then their lower and upper quartile.\n"
        "CPU is that of the server with its children, or of the command, for one operation.\n"
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load averages at the end {load}; "
        f"reads by {load_tool()}."
    )
