"""Comparison on a machine that others use too: contestants take turns, and the median of the rounds' ratios counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median


def take_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contestant once a round, A B A B; answer what each measured, round by round."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            measured[name].append(run())
    return measured


def median_ratio(first: list[float], second: list[float]) -> float:
    """Answer the median over the rounds of what the first measured by what the second did."""
    return median(a / b for a, b in zip(first, second, strict=True))


def median_difference(first: list[float], second: list[float]) -> float:
    """Answer the median over the rounds of the first's measure less the second's."""
    return median(a - b for a, b in zip(first, second, strict=True))
