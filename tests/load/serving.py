"""Rows about reads: the index small and large, and archives, against the peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.load.bench import Bench
from tests.load.compare import median_ratio, take_turns
from tests.load.connection import Connection
from tests.load.findings import Finding, at_least, not_measured, show_rate
from tests.load.peers.bare import ETAG
from tests.load.reading import Load, measure
from tests.load.servers import find_museum, has_nginx, run_museum, run_nginx, run_ours, run_peer

_INDEX = ["/index.yaml"]
_GZIP = (("Accept-Encoding", "gzip"),)


def _save_index(url: str, folder: Path) -> str:
    """Write the index that a server has into a folder, plain and gzipped; answer its ETag."""
    folder.mkdir(parents=True, exist_ok=True)
    with Connection(url) as connection:
        plain = connection.get("/index.yaml", keep=True)
        packed = connection.get("/index.yaml", keep=True, accept_encoding="gzip")
    (folder / "index.yaml").write_bytes(plain.body)
    (folder / "index.yaml.gz").write_bytes(packed.body)
    return plain.headers["etag"]


def _requests(url: str, load: Load) -> Callable[[], float]:
    return lambda: measure(url, load).requests


def _bytes(url: str, load: Load) -> Callable[[], float]:
    return lambda: measure(url, load).bytes


def _show(measured: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {show_rate(median(values))}" for name, values in measured.items())


def _museum_ratio(measured: dict[str, list[float]], peer: str) -> str:
    return f"{median_ratio(measured['ChartMuseum'], measured[peer]):.2f} x" if "ChartMuseum" in measured else ""


def measure_small_index(bench: Bench) -> Iterator[Finding]:
    """Index 304 and 50 KB, against a bare ASGI application and a FastAPI route."""
    scale = bench.scale
    store, plain = bench.uploaded(scale.small, size=20_000)
    with ExitStack() as running:
        ours = running.enter_context(run_ours(store)).url
        etag = _save_index(ours, plain)
        peers = {name: running.enter_context(run_peer(name, plain)) for name in ("bare", "routed")}
        museum = running.enter_context(run_museum(plain / "charts")) if find_museum() else None
        size = (plain / "index.yaml").stat().st_size
        known = Load(_INDEX, scale.seconds, headers=(("If-None-Match", etag),))
        theirs = Load(_INDEX, scale.seconds, headers=(("If-None-Match", ETAG.decode()),))
        turns = {"ours": _requests(ours, known)}
        turns |= {name: _requests(url, theirs) for name, url in peers.items()}
        yield from _judge_small("index 304", take_turns(turns, scale.rounds))
        whole = Load(_INDEX, scale.seconds)
        turns = {name: _requests(url, whole) for name, url in {"ours": ours, **peers}.items()}
        if museum:
            turns["ChartMuseum"] = _requests(museum, whole)
        yield from _judge_small(f"index {size / 1000:.0f} KB", take_turns(turns, scale.rounds))


def _judge_small(work: str, measured: dict[str, list[float]]) -> Iterator[Finding]:
    named = {"bare": "bare ASGI", "routed": "FastAPI route"}
    detail = _show({named.get(name, name): values for name, values in measured.items()})
    for peer, target in (("bare", 0.8), ("routed", 4)):
        ratio = median_ratio(measured["ours"], measured[peer])
        yield at_least(
            f"{work} against {named[peer]}", target, ratio, detail=detail, museum=_museum_ratio(measured, peer)
        )
        detail = ""


def measure_large_index(bench: Bench) -> Iterator[Finding]:
    """Index 20 MB plain, 2 MB gzip, against nginx."""
    scale, target = bench.scale, 1.2
    if not has_nginx():
        yield not_measured("index 20 MB plain; 2 MB gzip, against nginx", f">= {target} x", "nginx is not installed")
        return
    store, plain = bench.filled(scale.large), bench.folder / "large-plain"
    with run_ours(store) as server, run_nginx(plain) as nginx:
        _save_index(server.url, plain)
        for kind, name, headers in (("plain", "index.yaml", ()), ("gzip", "index.yaml.gz", _GZIP)):
            size = (plain / name).stat().st_size / 1e6
            load = Load(_INDEX, scale.seconds, connections=4, headers=headers)
            turns = {who: _bytes(url, load) for who, url in (("ours", server.url), ("nginx", nginx))}
            measured = take_turns(turns, scale.rounds)
            ratio = median_ratio(measured["ours"], measured["nginx"])
            detail = ", ".join(f"{who} {median(values) / 1e9:.2f} GB/s" for who, values in measured.items())
            yield at_least(f"index {size:.1f} MB {kind} against nginx", target, ratio, detail=detail)


def measure_archives(bench: Bench) -> Iterator[Finding]:
    """Archives of 20 and 200 KB, drawn from 1,000, against nginx and FileResponse."""
    for size, target in bench.scale.archive_targets:
        yield from _measure_archives(bench, size, target)


def _measure_archives(bench: Bench, size: int, target: float) -> Iterator[Finding]:
    scale, work = bench.scale, f"archive {size // 1000} KB, hot"
    store, plain = bench.uploaded(scale.archives, size=size)
    paths = [f"/charts/{path.name}" for path in sorted((plain / "charts").iterdir())]
    load = Load(paths, scale.seconds)
    with ExitStack() as running:
        urls = {"ours": running.enter_context(run_ours(store)).url}
        if has_nginx():
            urls["nginx"] = running.enter_context(run_nginx(plain))
        urls["FileResponse"] = running.enter_context(run_peer("files", plain))
        if find_museum():
            urls["ChartMuseum"] = running.enter_context(run_museum(plain / "charts"))
        for url in urls.values():
            _read_once(url, paths)
        measured = take_turns({name: _requests(url, load) for name, url in urls.items()}, scale.rounds)
    ours, detail = measured["ours"], _show(measured)
    if "nginx" in measured:
        ratio = median_ratio(ours, measured["nginx"])
        yield at_least(f"{work}, against nginx", target, ratio, detail=detail, museum=_museum_ratio(measured, "nginx"))
    else:
        yield not_measured(f"{work}, against nginx", f">= {target} x", "nginx is not installed")
    ratio = median_ratio(ours, measured["FileResponse"])
    yield at_least(f"{work}, against FileResponse", 8, ratio, museum=_museum_ratio(measured, "FileResponse"))


def _read_once(url: str, paths: list[str]) -> None:
    with Connection(url) as connection:
        for path in paths:
            seen = connection.get(path)
            assert seen.status == 200, f"{url}{path}: {seen.status}"
