"""Rows about uploads to a folder, on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from tests.live import LiveServer
from tests.load.against.checkout import Checkout, Store
from tests.load.against.pair import Pair
from tests.load.against.processes import Meter
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.uploading import CLIENTS, Supply, upload_all


def durable_upload(pair: Pair) -> list[Line]:
    """Uploads by 8 clients while 100,000 versions are there; a folder and SQLite."""
    return _upload(pair, "durable-upload", pair.stores.on_folder, pair.scale.uploads, CLIENTS)


def durable_upload_one(pair: Pair) -> list[Line]:
    """The same by 1 client."""
    return _upload(pair, "durable-upload-one", pair.stores.on_folder, pair.scale.uploads_alone, 1)


def durable_upload_postgres(pair: Pair) -> list[Line]:
    """Uploads by 8 clients while 100,000 versions are there; a folder and Postgres."""
    return _upload(pair, "durable-upload-postgres", pair.stores.on_postgres, pair.scale.uploads, CLIENTS)


def upload_growth(pair: Pair) -> list[Line]:
    """What an upload by 8 clients costs at 100,000 versions against at 100: time, and CPU."""
    scale = pair.scale

    def start(side: Checkout, running: ExitStack) -> Turn:
        turns = []
        for versions in (scale.many, scale.few):
            server = running.enter_context(side.serve(pair.stores.on_folder(side.name, versions)))
            turns.append(partial(_measure, server, pair.supply(side, scale.few), scale.uploads // 2, CLIENTS))

        def turn() -> dict[str, Reading]:
            (rate_many, cpu_many), (rate_few, cpu_few) = (measure() for measure in turns)
            return {
                "upload-growth": Reading(rate_few / rate_many, "x"),
                "upload-growth, CPU": Reading(cpu_many / cpu_few, "x"),
            }

        return turn

    return pair.compare(start)


def _upload(pair: Pair, name: str, find_store: Callable[[str, int], Store], count: int, clients: int) -> list[Line]:
    def start(side: Checkout, running: ExitStack) -> Turn:
        server = running.enter_context(side.serve(find_store(side.name, pair.scale.many)))
        supply = pair.supply(side, pair.scale.many)

        def turn() -> dict[str, Reading]:
            rate, cpu = _measure(server, supply, count, clients)
            return {name: Reading(rate, "uploads/s", cpu)}

        return turn

    return pair.compare(start)


def _measure(server: LiveServer, supply: Supply, count: int, clients: int) -> tuple[float, float]:
    """Return uploads a second, and CPU seconds an upload."""
    archives = supply.take(count)
    with Meter(server.process.pid) as meter:
        seconds = upload_all(server.url, archives, clients=clients)
    return count / seconds, meter.cpu / count
