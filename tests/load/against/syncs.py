"""The row about how often an upload makes the disk write: system calls, counted by strace."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.load.against.checkout import Checkout
from tests.load.against.pair import Pair
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.against.stores import UnavailableError
from tests.load.uploading import CLIENTS, upload_all

_SYNCING = ("fsync", "fdatasync", "sync_file_range", "syncfs", "sync")
_WRITING = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
_OPENING = ("open", "openat", "openat2", "creat")
_TRACED = (*_SYNCING, "msync", "pwritev2", *_OPENING)
_TRACED_WITH_WRITES = (*_TRACED, *_WRITING, "close")
_PROBES = 16  # uploads that show how files are opened
_SETTLE_SECONDS = 0.3

# 1234 1700000000.123456 fdatasync(7) = 0, or cut in two: fdatasync(7 <unfinished ...>, <... fdatasync resumed>) = 0
_CALL = re.compile(r"(\d+) +([\d.]+) (\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +([\d.]+) <\.\.\. (\w+) resumed>(.*)")
_RESULT = re.compile(r"\) += (\d+)")
_SYNC_FLAG = re.compile(r"\bO_D?SYNC\b")
_SYNC_WRITE = re.compile(r"\bRWF_D?SYNC\b")


def syncs(pair: Pair) -> list[Line]:
    """Syncs an upload costs with 1 client and with 8: the median of a few rounds; how long they take is not said."""
    if shutil.which("strace") is None:
        raise UnavailableError("strace is not installed")

    def start(side: Checkout, running: ExitStack) -> Turn:
        log = pair.stores.make_folder() / "strace"
        calls = _TRACED_WITH_WRITES if _opens_for_sync(pair, side) else _TRACED
        store = pair.stores.on_folder(side.name, pair.scale.many)
        server = running.enter_context(side.serve(store, under=_strace(log, calls)))
        supply = pair.supply(side, pair.scale.many)

        def turn() -> dict[str, Reading]:
            readings, count = {}, pair.scale.uploads_traced
            for clients in (1, CLIENTS):
                archives = supply.take(count)
                began = time.time()
                upload_all(server.url, archives, clients=clients)
                time.sleep(_SETTLE_SECONDS)
                found = sum(began <= at for at in find_syncs(_read_lines(log)))
                readings[f"syncs, {clients} client{'s' * (clients > 1)}"] = Reading(found / count, "an upload")
            return readings

        return turn

    return pair.compare(start, rounds=pair.scale.counted)


def _opens_for_sync(pair: Pair, side: Checkout) -> bool:
    """Return whether an upload opens files whose every write syncs.

    Only then are writes traced: SQLite makes 60 of them an upload, and a traced call takes ten times as long, so that
    other uploads would come together.
    """
    log = pair.stores.make_folder() / "strace"
    with side.serve(pair.stores.on_folder(side.name, pair.scale.many), under=_strace(log, _OPENING)) as server:
        upload_all(server.url, pair.supply(side, pair.scale.many).take(_PROBES))
    return any(_SYNC_FLAG.search(line) for line in _read_lines(log))


def _strace(log: Path, calls: Sequence[str]) -> list[str]:
    """Return the command that traces another. With -D strace is the child, and the server's process is ours to end."""
    trace = "trace=" + ",".join(f"?{name}" for name in calls)
    return ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-ttt", "-s", "0", "-o", str(log), "-e", trace]


def _read_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def find_syncs(lines: Iterable[str]) -> Iterator[float]:
    """Yield when a process synced, in seconds since 1970: by a call that syncs, or a write to a file opened for it.

    A file is known by its number alone: a process that inherits one syncs by it as well.
    """
    synced: set[str] = set()  # numbers of files opened with O_SYNC or O_DSYNC
    opening: dict[str, str] = {}  # thread to the arguments of an open that is not finished
    for line in lines:
        if begun := _CALL.match(line):
            thread, at, name, rest = begun.groups()
            if name in _OPENING:
                opening[thread] = rest
                _note_open(synced, rest, rest)
            elif _is_sync(name, rest, synced):
                yield float(at)
            if name == "close":
                synced.discard(_file_of(rest))
        elif (resumed := _RESUMED.match(line)) and resumed[3] in _OPENING:
            _note_open(synced, opening.get(resumed[1], ""), resumed[4])


def _is_sync(name: str, arguments: str, synced: set[str]) -> bool:
    if name in _SYNCING:
        return True
    if name == "msync":
        return "MS_SYNC" in arguments
    return name in _WRITING and (_file_of(arguments) in synced or _SYNC_WRITE.search(arguments) is not None)


def _note_open(synced: set[str], arguments: str, end: str) -> None:
    if (result := _RESULT.search(end)) and _SYNC_FLAG.search(arguments):
        synced.add(result[1])


def _file_of(arguments: str) -> str:
    return re.split(r"[,) ]", arguments, maxsplit=1)[0]
