"""`python -m tests.load [ROW...]`: measure all rows or some, print the table; a whole run is written to RESULTS.md.

With `--against PATH`, another checkout of this project is measured beside this one, in rows of their own.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.load.against import command
from tests.load.against.rows import ROWS as PAIRED_ROWS
from tests.load.bench import Bench
from tests.load.client import measure_client
from tests.load.findings import MISSED, Finding
from tests.load.freshness import measure_first_index, measure_stale_reads
from tests.load.helm import measure_helm
from tests.load.memory import measure_memory
from tests.load.publishing import measure_upload, measure_upload_growth
from tests.load.registry import measure_registry
from tests.load.report import RESULTS, render, render_file
from tests.load.scale import FULL, TINY
from tests.load.serving import measure_archives, measure_large_index, measure_small_index
from tests.load.starting import measure_imports, measure_start

# What adds versions to the big store comes after what starts on it.
ROWS: dict[str, Callable[[Bench], Iterator[Finding]]] = {
    "index-small": measure_small_index,
    "index-large": measure_large_index,
    "archives": measure_archives,
    "start": measure_start,
    "imports": measure_imports,
    "memory": measure_memory,
    "first-index": measure_first_index,
    "upload": measure_upload,
    "upload-growth": measure_upload_growth,
    "stale": measure_stale_reads,
    "helm": measure_helm,
    "registry": measure_registry,
    "client": measure_client,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {', '.join(ROWS)} (default: all)")
    parser.add_argument("--tiny", action="store_true", help="a few seconds, to see that it works; writes nothing")
    parser.add_argument(
        "--against", type=Path, metavar="PATH",
        help=f"measure the checkout at PATH beside this one; rows: {', '.join(PAIRED_ROWS)}",
    )  # fmt: skip
    parser.add_argument("--stores", type=Path, metavar="FOLDER", help="keep filled stores here for the next --against")
    arguments = parser.parse_args()
    known = PAIRED_ROWS if arguments.against else ROWS
    unknown = [name for name in arguments.rows if name not in known]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
    if arguments.against:
        _measure_against(parser, arguments)
    else:
        _measure(arguments)


def _measure_against(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    try:
        complete = command.run(
            arguments.against, arguments.rows, tiny=arguments.tiny, kept=arguments.stores, say=_say
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    sys.exit(0 if complete else 1)


def _measure(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chartroom-bench-") as folder:
        bench = Bench(Path(folder), TINY if arguments.tiny else FULL, _say)
        findings = list(run_rows(bench, arguments.rows or list(ROWS)))
    sys.stdout.write("\n" + render(findings))
    if not arguments.rows and not arguments.tiny:
        RESULTS.write_text(render_file(findings, seconds=time.monotonic() - started))
        _say(f"written to {RESULTS.relative_to(Path.cwd())}")


def run_rows(bench: Bench, names: list[str]) -> Iterator[Finding]:
    """Measure rows one after the other; findings are said as they come."""
    for name in names:
        bench.say(name)
        for found in _measure_row(bench, name):
            bench.say(f"  {found.work}: {found.measured} ({found.target}) {found.mark} {found.detail}")
            yield found


def _measure_row(bench: Bench, name: str) -> Iterator[Finding]:
    """Answer a row's findings; one that breaks is a target missed, and the others are still measured."""
    try:
        yield from ROWS[name](bench)
    except Exception as error:
        traceback.print_exc()
        yield Finding(name, "-", "broke off", MISSED, f"{type(error).__name__}: {error}".splitlines()[0])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
