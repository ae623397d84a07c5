"""Rows about reads of what was asked for before: how many a second, and the CPU of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import orjson

from tests.load.against.checkout import Checkout
from tests.load.against.pair import Pair
from tests.load.against.processes import Meter
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.connection import Connection
from tests.load.reading import Load, measure

_INDEX = "/index.yaml"
_SIZE = 20_000  # bytes of an archive


def index_304(pair: Pair) -> list[Line]:
    """The index of 64 versions, which the client has."""

    def find_load(connection: Connection, seconds: float) -> Load:
        etag = connection.get(_INDEX).headers["etag"]
        assert connection.get(_INDEX, if_none_match=etag).status == 304
        return Load([_INDEX], seconds, headers=(("If-None-Match", etag),))

    return _read(pair, "index-304", find_load)


def index_small(pair: Pair) -> list[Line]:
    """The same index, whole and not compressed."""
    return _read(pair, "index-small", lambda connection, seconds: Load([_INDEX], seconds))


def archive_20k(pair: Pair) -> list[Line]:
    """Each of 64 archives of 20 KB in turn."""

    def find_load(connection: Connection, seconds: float) -> Load:
        entries = orjson.loads(connection.get(_INDEX, keep=True).body)["entries"]
        paths = [f"/{version['urls'][0]}" for versions in entries.values() for version in versions]
        assert all(connection.get(path).status == 200 for path in paths)
        return Load(sorted(paths), seconds)

    return _read(pair, "archive-20k", find_load)


def _read(pair: Pair, name: str, find_load: Callable[[Connection, float], Load]) -> list[Line]:
    def start(side: Checkout, running: ExitStack) -> Turn:
        server = running.enter_context(side.serve(pair.stores.on_folder(side.name, pair.scale.small, size=_SIZE)))
        with Connection(server.url) as connection:
            load = find_load(connection, pair.scale.seconds)

        def turn() -> dict[str, Reading]:
            with Meter(server.process.pid) as meter:
                rate = measure(server.url, load)
            return {name: Reading(rate.requests, "/s", meter.cpu / rate.count)}

        return turn

    return pair.compare(start, rounds=pair.scale.reads)
