"""Search in indexes as `helm search repo` does it (pkg/cmd/search): what matches, and in which order. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from helm_client.errors import HelmClientError
from helm_client.index import ChartVersion, Index
from helm_client.semver import Constraint, parse_constraint, parse_version

_SEPARATOR = "\v"
_MAX_SCORE = 25


@dataclass(frozen=True, slots=True)
class Match:
    """A chart version that matches: `name` is repository/chart; a lower score is a better match."""

    name: str
    score: int
    chart: ChartVersion


def search(
    indexes: Iterable[tuple[str, Index]], words: str = "", *, regexp: bool = False, version: str = "",
    devel: bool = False, all_versions: bool = False,
) -> list[Match]:  # fmt: skip
    """Answer what matches in repositories (name and index): best first, then by name, then newest first.

    `words` is looked for as it is, in any case, in name, repository/name, description and keywords; with `regexp` it is
    an expression, in its own case. Without `all_versions` each chart is shown by its newest version that `version`
    (a range; by default the stable ones, with `devel` all) allows. Raises HelmClientError for what cannot be read.
    """
    constraint = _read_constraint(version or (">0.0.0-0" if devel else ">0.0.0"))
    matches = (match for match in _find(indexes, _make_finder(words, regexp)) if _allows(constraint, match))
    ordered = sorted(matches, key=lambda match: (match.score, match.name))  # and newest first: an index is in order
    if all_versions:
        return ordered
    newest: dict[str, Match] = {}
    for match in ordered:
        newest.setdefault(match.name, match)
    return list(newest.values())


def _find(indexes: Iterable[tuple[str, Index]], find: Callable[[str], int]) -> Iterator[Match]:
    for repository, index in indexes:
        for chart, versions in index.charts.items():
            for version in versions:
                if 0 <= (score := _score(find, repository, version)) < _MAX_SCORE:
                    yield Match(f"{repository}/{chart}", score, version)


def _score(find: Callable[[str], int], repository: str, chart: ChartVersion) -> int:
    """Answer in which field the first match begins, -1 for none."""
    fields = (chart.name, f"{repository}/{chart.name}", chart.description, " ".join(chart.keywords))
    line = _SEPARATOR.join(fields)
    at = find(line)
    return -1 if at < 0 else line.count(_SEPARATOR, 0, at)


def _make_finder(words: str, regexp: bool) -> Callable[[str], int]:
    if not words:
        return lambda line: 0
    if not regexp:
        wanted = words.lower()
        return lambda line: line.lower().find(wanted)
    try:
        expression = re.compile(words)
    except re.error as error:
        raise HelmClientError(f"error parsing regexp: {error}: `{words}`") from error

    def find(line: str) -> int:
        match = expression.search(line)
        return -1 if match is None else match.start()

    return find


def _read_constraint(text: str) -> Constraint:
    try:
        return parse_constraint(text)
    except ValueError as error:
        raise HelmClientError(f"an invalid version/constraint format: {error}") from error


def _allows(constraint: Constraint, match: Match) -> bool:
    return constraint.check(parse_version(match.chart.version))
