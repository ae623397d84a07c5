"""Search: charts whose name, keywords or description hold every word; the best first. Nothing is hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from app.db import search
from app.db.search import Found, Match
from app.db.session import Database
from app.errors import AppError, Kind

MAX_QUERY = 256
"""Characters of a query, at most: each word is a condition of its own."""


class Hits(NamedTuple):
    """How many charts match, and the page of them that was asked for."""

    total: int
    charts: list[Found]


@dataclass(frozen=True, slots=True)
class Search:
    """Searches the newest stable version of each chart."""

    database: Database

    async def find(
        self, query: str, *, may_read: Callable[[str], bool] | None, offset: int = 0, limit: int | None = None
    ) -> Hits:
        """Answer the charts that match all words of `query` (none: every chart), best first.

        Only those in repositories that `may_read` allows (None: all). Deprecated charts come last among equals.
        Raises AppError INVALID for a query that is too long.
        """
        if len(query) > MAX_QUERY:
            raise AppError(Kind.INVALID, f"q is longer than {MAX_QUERY} characters; use fewer words")
        words = query.replace("\x00", " ").lower().split()

        def work(connection: Connection) -> Hits:
            if not words and may_read is None:
                return Hits(search.count_charts(connection), search.list_charts(connection, offset, limit))
            matches = _only_readable(search.match_charts(connection, words), may_read)
            if words:
                matches.sort(key=lambda match: _distance(match, words))
            end = None if limit is None else offset + limit
            return Hits(len(matches), search.load_charts(connection, matches[offset:end]))

        return await self.database.read_in_thread(work)


def _only_readable(matches: list[Match], may_read: Callable[[str], bool] | None) -> list[Match]:
    if may_read is None:
        return matches
    readable = {repository: may_read(repository) for repository in {match.repository for match in matches}}
    return [match for match in matches if readable[match.repository]]


def _distance(match: Match, words: list[str]) -> tuple[int, bool, str, str]:
    """Rank: the very name, a name that begins so, a name that holds it, a keyword, the description."""
    name, text = match.name.lower(), " ".join(words)
    if name == text:
        place = 0
    elif name.startswith(text):
        place = 1
    elif all(word in name for word in words):
        place = 2
    else:
        _, *keywords = match.words.removesuffix(match.description.lower()).split("\n")
        place = 3 if any(word in keywords for word in words) else 4
    return place, match.deprecated, name, match.repository
