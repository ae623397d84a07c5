"""Rows about the OCI door, with Debian's docker-registry and nginx on the same work."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median

import httpx

from app.domain.oci import MANIFEST_TYPE
from tests.faults.harm import forget_peak, read_resident
from tests.live import LiveServer
from tests.load.bench import Bench
from tests.load.compare import median_ratio, take_turns
from tests.load.connection import Connection
from tests.load.findings import Finding, at_least, at_most, not_measured, show_rate
from tests.load.reading import Load, measure
from tests.load.servers import has_nginx, run_nginx, run_ours
from tests.oci.client import Registry, digest_of, image
from tests.oci.registries import run_docker_registry

_NAME = "bench/chart"
_SMALL = b'{"small":"' + b"x" * 961 + b'"}'
_PAGE = 100
_ACCEPT = (("Accept", MANIFEST_TYPE),)


def measure_registry(bench: Bench) -> Iterator[Finding]:
    """Manifests, blobs and tags, against docker-registry and nginx."""
    if not shutil.which("docker-registry"):
        yield not_measured("the OCI door", "see the issue", "docker-registry is not installed")
        return
    flags = {"CHARTROOM_MAX_UPLOAD_SIZE": str(4_000_000_000)}
    with ExitStack() as running:
        server = running.enter_context(run_ours(bench.folder / "registry", **flags))
        peer = f"http://{running.enter_context(run_docker_registry(bench.folder / 'docker-registry'))}"
        yield from _measure_small(bench, server.url, peer)
        yield from _measure_large(bench, server.url, peer)
        yield _measure_tags(bench, server.url)
    with run_ours(bench.folder / "registry", **flags) as server:
        yield _measure_memory(bench, server)


def _measure_small(bench: Bench, ours: str, peer: str) -> Iterator[Finding]:
    for url in (ours, peer):
        with Registry(url, _NAME) as registry:
            registry.push("1.0.0", image(_SMALL, kind="application/x.bench"), [_SMALL])
    paths = {
        "manifest by tag": f"/v2/{_NAME}/manifests/1.0.0",
        "blob of 1 KB": f"/v2/{_NAME}/blobs/{digest_of(_SMALL)}",
    }
    for work, path in paths.items():
        load = Load([path], bench.scale.seconds, headers=_ACCEPT)
        measured = take_turns({"ours": _requests(ours, load), "peer": _requests(peer, load)}, bench.scale.rounds)
        detail = f"ours {show_rate(median(measured['ours']))}, docker-registry {show_rate(median(measured['peer']))}"
        ratio = median_ratio(measured["ours"], measured["peer"])
        yield at_least(f"{work} against docker-registry", 5, ratio, detail=detail)


def _requests(url: str, load: Load) -> Callable[[], float]:
    return lambda: measure(url, load).requests


def _measure_large(bench: Bench, ours: str, peer: str) -> Iterator[Finding]:
    size = bench.scale.blob

    def push(url: str) -> Callable[[], float]:
        def turn() -> float:
            content = os.urandom(size)
            digest = digest_of(content)
            with Registry(url, _NAME) as registry:
                started = time.perf_counter()
                assert registry.finish(registry.session(), digest, content).status_code == 201
                return time.perf_counter() - started

        return turn

    measured = take_turns({"ours": push(ours), "peer": push(peer)}, bench.scale.rounds)
    detail = f"ours {median(measured['ours']):.3f} s, docker-registry {median(measured['peer']):.3f} s"
    ratio = median_ratio(measured["ours"], measured["peer"])
    yield at_most(f"PUT of {size / 1e6:.0f} MB, durable, against docker-registry", 1.5, ratio, "x", detail=detail)
    yield _measure_download(bench, ours, os.urandom(size))


def _measure_download(bench: Bench, ours: str, content: bytes) -> Finding:
    work = f"GET of {len(content) / 1e6:.0f} MB against nginx"
    if not has_nginx():
        return not_measured(work, ">= 0.8 x", "nginx is not installed")
    plain = bench.folder / "blob-plain"
    plain.mkdir(exist_ok=True)
    (plain / "blob").write_bytes(content)
    with Registry(ours, _NAME) as registry:
        digest = registry.push_blob(content)
    with run_nginx(plain) as nginx:
        seconds, few = bench.scale.seconds, 4
        turns = {
            "ours": _bytes(ours, Load([f"/v2/{_NAME}/blobs/{digest}"], seconds, connections=few)),
            "nginx": _bytes(nginx, Load(["/blob"], seconds, connections=few)),
        }
        measured = take_turns(turns, bench.scale.rounds)
    detail = ", ".join(f"{who} {median(values) / 1e9:.2f} GB/s" for who, values in measured.items())
    return at_least(work, 0.8, median_ratio(measured["ours"], measured["nginx"]), detail=detail)


def _bytes(url: str, load: Load) -> Callable[[], float]:
    return lambda: measure(url, load).bytes


def _measure_tags(bench: Bench, ours: str) -> Finding:
    tags = [f"v{number:05}" for number in range(bench.scale.tags)]
    with Registry(ours, _NAME) as registry:
        for at in range(0, len(tags), 30):
            content = image(_SMALL, kind="application/x.bench")
            assert registry.put(digest_of(content), content, tag=tags[at : at + 30]).status_code == 201
    path = f"/v2/{_NAME}/tags/list?n={_PAGE}&last={tags[len(tags) // 2]}"
    with Connection(ours) as connection:
        seconds = [connection.get(path).seconds for _ in range(50)]
    work = f"tags/list of {len(tags):,} tags, a page of {_PAGE}"
    return at_most(work, 5, 1000 * median(seconds), "ms", detail="one client, the way there and back included")


def _measure_memory(bench: Bench, server: LiveServer) -> Finding:
    """A blob of 2 GB goes in as a stream and out again; the most that the server held meanwhile counts."""
    chunk = os.urandom(1_000_000)
    count = bench.scale.stream
    whole = hashlib.sha256()
    for _ in range(count):
        whole.update(chunk)
    digest = f"sha256:{whole.hexdigest()}"
    before = read_resident(server)
    forget_peak(server)
    with Registry(server.url, _NAME) as registry:
        sent = registry.http.patch(registry.session(), content=(chunk for _ in range(count)), timeout=120)
        done = registry.http.put(f"{sent.headers['location']}?digest={digest}", timeout=120)
        assert done.status_code == 201, done.text
        with registry.http.stream("GET", f"/v2/{_NAME}/blobs/{digest}", timeout=httpx.Timeout(120)) as found:
            assert sum(len(piece) for piece in found.iter_raw()) == count * len(chunk)
        assert registry.http.delete(f"/v2/{_NAME}/blobs/{digest}").status_code == 202
    peak = read_resident(server, "VmHWM")
    work = f"memory: a blob of {count / 1000:g} GB goes in and out"
    return at_most(work, 32, peak - before, "MB more", detail=f"{before:.0f} MB before, {peak:.0f} MB at most")
