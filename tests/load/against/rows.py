"""All rows, in the order in which they are measured. A new row is a function here, and its line in ROWS."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator

from tests.load.against.buckets import upload_s3
from tests.load.against.imports import import_folder
from tests.load.against.pair import Pair
from tests.load.against.reads import archive_20k, index_304, index_small
from tests.load.against.rounds import Line, render_line
from tests.load.against.statements import statements
from tests.load.against.stores import UnavailableError
from tests.load.against.syncs import syncs
from tests.load.against.uploads import durable_upload, durable_upload_one, durable_upload_postgres, upload_growth

Row = Callable[[Pair], list[Line]]

ROWS: dict[str, Row] = {
    "index-304": index_304,
    "index-small": index_small,
    "archive-20k": archive_20k,
    "durable-upload": durable_upload,
    "durable-upload-one": durable_upload_one,
    "upload-growth": upload_growth,
    "syncs": syncs,
    "durable-upload-postgres": durable_upload_postgres,
    "statements": statements,
    "upload-s3-30ms": upload_s3,
    "import-folder": import_folder,
}


def measure_rows(pair: Pair, names: list[str], say: Callable[[str], None]) -> Iterator[Line]:
    """Measure rows one after the other; their lines are said as they come."""
    for name in names:
        say(name)
        for line in _measure_row(pair, name):
            say(f"  {render_line(line)}")
            yield line


def _measure_row(pair: Pair, name: str) -> list[Line]:
    """Return a row's lines. One that breaks off says so in its line, and the others are still measured."""
    try:
        return ROWS[name](pair)
    except UnavailableError as error:
        return [Line(name, note=f"not measured: {error}")]
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return [Line(name, note=f"broke off: {reason}", broken=True)]
