"""The row about `chartroom import` of a folder."""

from __future__ import annotations

import random
import tempfile
from contextlib import ExitStack
from math import log
from pathlib import Path

import orjson

from tests.load.against.checkout import Checkout, Store
from tests.load.against.pair import Pair
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.connection import Connection
from tests.load.generated import make_archive, name_chart

_VERSIONS = 50  # of each chart
_MEDIAN, _SPREAD = 12_000, 0.9  # bytes; one in a hundred is eight times as large
_LEAST, _MOST = 2_000, 120_000


def import_folder(pair: Pair) -> list[Line]:
    """10,000 archives as large as real ones, into an empty store, by the command line."""
    folder, count = pair.stores.make_folder(), pair.scale.imported
    _write_charts(folder, count)

    def start(side: Checkout, running: ExitStack) -> Turn:
        checked = False

        def turn() -> dict[str, Reading]:
            nonlocal checked
            with tempfile.TemporaryDirectory(dir=folder.parent) as target:
                usage = side.run("import", str(folder), store=Store(target))
                if not checked:
                    _check(side, Store(target), count)
                    checked = True
            return {"import-folder": Reading(count / usage.seconds, "archives/s", usage.cpu / count)}

        return turn

    return pair.compare(start, warm=False)


def _write_charts(folder: Path, count: int) -> None:
    """Write archives whose sizes are spread as those of real charts are: a chart's versions are about equal."""
    charts = -(-count // _VERSIONS)
    pick = random.Random(1)
    sizes = [min(_MOST, max(_LEAST, int(pick.lognormvariate(log(_MEDIAN), _SPREAD)))) for _ in range(charts)]
    for at in range(count):
        number, version = at % charts, f"1.{at // charts}.0"
        archive = make_archive(number, version, size=sizes[number], inside=7 * sizes[number])
        (folder / f"{name_chart(number)}-{version}.tgz").write_bytes(archive)


def _check(side: Checkout, store: Store, count: int) -> None:
    """Raise RuntimeError unless a server lists every archive that was imported."""
    with side.serve(store) as server, Connection(server.url) as connection:
        entries = orjson.loads(connection.get("/index.yaml", keep=True).body)["entries"]
    listed = sum(map(len, entries.values()))
    if listed != count:
        raise RuntimeError(f"{side.name}: {count} archives were imported, the index lists {listed}")
