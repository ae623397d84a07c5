"""The row about uploads to S3, where each request takes its time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import mean, median

import boto3.session

from tests.load.against.checkout import Checkout, Store
from tests.load.against.pair import Pair
from tests.load.against.processes import Meter
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.connection import Connection
from tests.servers import Exchange, FaultyProxy, moto_server

_REQUEST_SECONDS = 0.030
_KEY = "testing"
_NAME = "upload-s3-30ms"


@dataclass(frozen=True, slots=True)
class Span:
    """When something began and when it ended, by `time.monotonic`."""

    began: float
    ended: float


class SlowRequests:
    """Lets each request through a proxy take so many seconds from its arrival to its answer, and notes it.

    The time of the server behind is part of it, so that its speed does not count while it is quick enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self.spans: list[Span] = []

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request, late."""
        began = time.monotonic()
        answer = exchange.forward()
        time.sleep(max(0.0, began + self._seconds - time.monotonic()))
        with self._lock:
            self.spans.append(Span(began, time.monotonic()))
        exchange.answer(*answer)


def upload_s3(pair: Pair) -> list[Line]:
    """Uploads by 1 client to an empty bucket, and how many requests each makes: one after the other, and in all."""
    with moto_server() as endpoint:

        def start(side: Checkout, running: ExitStack) -> Turn:
            requests = SlowRequests(_REQUEST_SECONDS)
            proxy = running.enter_context(_delaying(endpoint, requests))
            database = f"sqlite:///{pair.stores.make_folder() / 'chartroom.db'}"
            store = Store(f"s3://{_make_bucket(endpoint)}", database, _environment(proxy))
            server = running.enter_context(side.serve(store))
            supply = pair.supply(side, 1)

            def turn() -> dict[str, Reading]:
                archives = supply.take(pair.scale.uploads_slow)
                requests.spans.clear()
                with Meter(server.process.pid) as meter:
                    uploads = _upload_each(server.url, archives)
                return _read(uploads, list(requests.spans), meter.cpu)

            return turn

        return pair.compare(start)


def _read(uploads: list[Span], requests: list[Span], cpu: float) -> dict[str, Reading]:
    count = len(uploads)
    milliseconds = mean(one.ended - one.began for one in uploads) * 1000
    chains = [longest_chain(span for span in requests if one.began <= span.began < one.ended) for one in uploads]
    return {
        _NAME: Reading(milliseconds, "ms", cpu / count),
        f"{_NAME}, requests in a row": Reading(median(chains), ""),
        f"{_NAME}, requests in all": Reading(len(requests) / count, ""),
        f"{_NAME}, one request": Reading(median(span.ended - span.began for span in requests) * 1000, "ms"),
    }


def longest_chain(spans: Iterable[Span]) -> int:
    """Return how many requests at most followed each other, each begun after the one before it had ended."""
    length, ended = 0, float("-inf")
    for span in sorted(spans, key=lambda span: span.ended):
        if span.began >= ended:
            length, ended = length + 1, span.ended
    return length


def _upload_each(url: str, archives: list[bytes]) -> list[Span]:
    spans = []
    with Connection(url) as connection:
        for archive in archives:
            began = time.monotonic()
            seen = connection.post("/api/charts", archive, content_type="application/gzip")
            spans.append(Span(began, time.monotonic()))
            if seen.status != 201:
                raise RuntimeError(f"{url} answers {seen.status} to an upload: {seen.body.decode(errors='replace')}")
    return spans


@contextmanager
def _delaying(endpoint: str, requests: SlowRequests) -> Iterator[str]:
    """Run the proxy and return its address."""
    with FaultyProxy(endpoint) as proxy:
        proxy.always = requests
        yield proxy.url


def _make_bucket(endpoint: str) -> str:
    name = f"charts-{uuid.uuid4().hex[:8]}"
    client = boto3.session.Session().client(
        "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id=_KEY, aws_secret_access_key=_KEY
    )
    client.create_bucket(Bucket=name)
    client.close()
    return name


def _environment(endpoint: str) -> dict[str, str]:
    return {
        "CHARTROOM_STORAGE_AMAZON_ENDPOINT": endpoint, "AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _KEY,
    }  # fmt: skip
