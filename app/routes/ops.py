"""The operators' door: version, health, readiness and metrics. Never protected, as in ChartMuseum."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from app.metrics import WorkerCounts, render_request_metrics
from app.routes.deps import Parts
from app.routes.errors import render_json
from app.services.counts import Counts
from app.services.readiness import Readiness

_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every Prometheus knows, and ChartMuseum sends."""

_READ = ["GET", "HEAD"]


def build_router(parts: Parts, counts: Counts, workers: WorkerCounts, *, version: str, metrics: bool) -> APIRouter:
    """Answer the routes."""
    router = APIRouter()

    async def info(_request: Request) -> Response:
        """GET /info: the server's version."""
        return Response(render_json({"version": version}), media_type=_JSON)

    async def health(_request: Request) -> Response:
        """GET /health: the process is alive; it does not look at storage."""
        return Response(b'{"healthy":true}', media_type=_JSON)

    async def ready(request: Request) -> Response:
        """GET /-/ready[?write]: charts can be read, and whether they can be written; 503 with the reason until then."""
        return _describe(parts.readiness, needs_writes="write" in request.query_params)

    async def scrape(_request: Request) -> Response:
        """GET /metrics: Prometheus text, the sum over all workers."""
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(_Families(workers, await counts.count() if parts.readiness.ready else []))
        return Response(generate_latest(registry), headers={"content-type": _TEXT})

    # With a fixed depth they are found below a tenant too, as in ChartMuseum: /org1/health.
    tenant = "".join(f"/{{tenant{number}}}" for number in range(parts.paths.depth or 0))
    for path, handler in (("/info", info), ("/health", health)):
        for place in {path, tenant + path}:
            router.add_api_route(place, handler, methods=_READ)
    router.add_api_route("/-/ready", ready, methods=_READ)
    if metrics:
        router.add_api_route("/metrics", scrape, methods=_READ)
    return router


def _describe(readiness: Readiness, *, needs_writes: bool) -> Response:
    readiness.check()
    refusal = readiness.find_refusal()
    if refusal is None:
        return Response(b'{"ready":true,"writes":true}', media_type=_JSON)
    if needs_writes:
        raise refusal
    return Response(render_json({"ready": True, "writes": False, "reason": refusal.message}), media_type=_JSON)


class _Families(Collector):
    """All families of one scrape."""

    def __init__(self, workers: WorkerCounts, counts: list[tuple[str, int, int]]) -> None:
        self._workers = workers
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        yield from render_request_metrics(self._workers.collect_counts())
        charts = GaugeMetricFamily("chartmuseum_charts_served_total", "Charts in a repository", labels=["repo"])
        versions = GaugeMetricFamily(
            "chartmuseum_chart_versions_served_total", "Chart versions in a repository", labels=["repo"]
        )
        for repository, number, total in self._counts:
            charts.add_metric([repository], number)
            versions.add_metric([repository], total)
        yield charts
        yield versions
