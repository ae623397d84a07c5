"""Turns of both sides, and what their rounds came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

OURS, THEIRS = "ours", "theirs"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one turn measured; `cpu` is the CPU seconds of the server (or the command) for one operation."""

    value: float
    unit: str
    cpu: float | None = None


Turn = Callable[[], Mapping[str, Reading]]
"""Measures one side once; return a reading for each line of the table."""


@dataclass(slots=True)
class Line:
    """One line of the table: the readings of each side, round by round, or in `note` why there are none."""

    name: str
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    note: str = ""
    broken: bool = False


def take_turns(turns: dict[str, Turn], rounds: int, *, warm: bool = True) -> list[Line]:
    """Let the sides take turns; return a line for each name that they read.

    Each round starts with the other side. With `warm`, a turn of each before the first round is not counted.
    """
    if warm:
        for turn in turns.values():
            turn()
    lines: dict[str, Line] = {}
    for number in range(rounds):
        for side in turns if number % 2 == 0 else reversed(turns):
            for name, reading in turns[side]().items():
                line = lines.setdefault(name, Line(name, {name: [] for name in turns}))
                line.readings[side].append(reading)
    return list(lines.values())


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians of both sides; the median and the quartiles of the rounds' ratios, ours by theirs."""

    ours: float
    theirs: float
    ratio: float
    lower: float
    upper: float


def summarize(ours: Sequence[float], theirs: Sequence[float]) -> Summary:
    """Return what the rounds came to. Where theirs is 0, a ratio is 1 if ours is 0 too, else infinite."""
    ratios = [_divide(a, b) for a, b in zip(ours, theirs, strict=True)]
    lower, _, upper = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Summary(median(ours), median(theirs), median(ratios), lower, upper)


def _divide(ours: float, theirs: float) -> float:
    if theirs:
        return ours / theirs
    return float("inf") if ours else 1.0


_HEAD = ("row", "ours", "theirs", "ours/theirs", "quartiles", "CPU ours", "CPU theirs", "ours/theirs", "quartiles")


def render(lines: Sequence[Line]) -> str:
    """Return the table in Markdown, its columns aligned for reading as text."""
    rows = [_HEAD, *map(_render_line, lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown) + "\n"


def render_line(line: Line) -> str:
    """Return a line's numbers in the order of the table."""
    return "  ".join(filter(None, _render_line(line)))


def _render_line(line: Line) -> tuple[str, ...]:
    if not line.readings:
        return (line.name, line.note, *[""] * (len(_HEAD) - 2))
    ours, theirs = line.readings[OURS], line.readings[THEIRS]
    unit = ours[0].unit
    cells = _render_summary(
        [one.value for one in ours], [one.value for one in theirs], lambda value: f"{_short(value)} {unit}"
    )
    our_cpu, their_cpu = ([one.cpu for one in readings if one.cpu is not None] for readings in (ours, theirs))
    return (line.name, *cells, *(_render_summary(our_cpu, their_cpu, _show_cpu) if our_cpu else [""] * 4))


def _render_summary(ours: Sequence[float], theirs: Sequence[float], show: Callable[[float], str]) -> list[str]:
    found = summarize(ours, theirs)
    return [show(found.ours), show(found.theirs), f"{found.ratio:.3f}", f"{found.lower:.3f}..{found.upper:.3f}"]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _show_cpu(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.3f} ms"
