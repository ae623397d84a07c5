"""Findings: one line of the table each, judged against its target."""

from __future__ import annotations

from dataclasses import dataclass

OK, MISSED, INFORMATION, SKIPPED = "ok", "MISSED", "", "not measured"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was asked for, what came out, and the numbers behind it."""

    work: str
    target: str
    measured: str
    mark: str
    detail: str = ""
    museum: str = ""


def at_least(work: str, target: float, value: float, *, detail: str = "", museum: str = "") -> Finding:
    """Judge a ratio that must be high."""
    mark = OK if value >= target else MISSED
    return Finding(work, f">= {target:g} x", f"{value:.2f} x", mark, detail, museum)


def at_most(work: str, target: float, value: float, unit: str, *, detail: str = "", museum: str = "") -> Finding:
    """Judge a ratio or a cost that must be low."""
    mark = OK if value <= target else MISSED
    shown = f"{value:.2f}" if unit in ("x", "s") else f"{value:.1f}"
    return Finding(work, f"<= {target:g} {unit}", f"{shown} {unit}", mark, detail, museum)


def not_measured(work: str, target: str, why: str) -> Finding:
    """Say that a peer or a tool is not installed."""
    return Finding(work, target, "-", SKIPPED, why)


def show_rate(value: float) -> str:
    """Answer a rate per second, short."""
    return f"{value:,.0f}/s" if value >= 100 else f"{value:.1f}/s"
