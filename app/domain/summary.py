"""What search shows of a chart: taken from an entry of the index, ranked so that the newest stable one wins."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

_STABLE, _PRERELEASE = b"\x01", b"\x00"


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts of one version. `rank` compares bytewise: stable before pre-release, then newer first."""

    rank: bytes
    version: str
    app_version: str
    description: str
    deprecated: bool
    words: str


def summarize(entry: bytes, sort_key: bytes) -> Summary:
    """Answer what search shows of the version with this entry and sort key."""
    facts = orjson.loads(entry)
    version = facts["version"]
    stable = "-" not in version.partition("+")[0]
    description = facts.get("description", "")
    words = [facts["name"], *facts.get("keywords", ()), description]
    return Summary(
        (_STABLE if stable else _PRERELEASE) + sort_key,
        version,
        facts.get("appVersion", "").replace("\x00", ""),
        description.replace("\x00", ""),
        facts.get("deprecated", False),
        # Postgres keeps no NUL in text; nobody searches for one.
        "\n".join(words).replace("\x00", "").lower(),
    )
