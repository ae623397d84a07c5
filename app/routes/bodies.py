"""Request bodies: counted while they arrive, refused when too large or too slow, parsed when they are forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from app.errors import AppError, Kind

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


class SlowBody(AppError):
    """The sender took too long; what comes after it on this connection is not read."""


class Limits(NamedTuple):
    """How large a body may be, in bytes, and how many seconds it may take (0: as long as it wants)."""

    size: int
    seconds: float


class Form(NamedTuple):
    """The two files of an upload form."""

    chart: bytes | None
    provenance: bytes | None


async def read_body(request: Request, limits: Limits) -> bytes:
    """Answer the whole body.

    Raises AppError TOO_LARGE over the limit, SlowBody, and INVALID when the sender stops half way.
    """
    async with _in_time(limits.seconds):
        chunks = [chunk async for chunk in _counted(request, limits.size)]
    return b"".join(chunks) if len(chunks) != 1 else chunks[0]


async def stream_body(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Answer the body in chunks as they come; `limits.seconds` is how long each may take, not the whole.

    Raises AppError TOO_LARGE over the limit, SlowBody, and INVALID when the sender stops half way.
    """
    chunks = _counted(request, limits.size)
    while True:
        try:
            async with _in_time(limits.seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds or None):
            yield
    except TimeoutError as error:
        text = f"the body did not arrive within {seconds:g} s (READ_TIMEOUT); nothing was stored"
        raise SlowBody(Kind.INVALID, text) from error


async def _counted(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    # Refused before it is sent, where curl asks first (Expect: 100-continue).
    if announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
        raise _too_large(limit)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise AppError(Kind.INVALID, "the body ended before it was complete; nothing was stored") from error


def _too_large(limit: int) -> AppError:
    return AppError(Kind.TOO_LARGE, f"request too large: the limit is {limit} bytes (MAX_UPLOAD_SIZE)")


def is_form(request: Request) -> bool:
    """Answer whether the body is a form; anything else is a raw body, whatever curl calls it."""
    kind = request.headers.get("content-type", "").replace(";", " ").split(" ")[0]
    return kind == "multipart/form-data"


async def read_form(request: Request, limits: Limits, *, chart_field: str, provenance_field: str) -> Form:
    """Answer the files of a form, the first of each field.

    Raises what `read_body` raises, for the whole body; a form that cannot be read has no files.
    """
    async with _in_time(limits.seconds):
        found = await _read_files(request, limits.size)
    chart, provenance = (
        next((found[field] for field in fields if field in found), None)
        for fields in (("chart", chart_field), ("prov", provenance_field))
    )
    return Form(chart, provenance)


async def _read_files(request: Request, limit: int) -> dict[str, bytes]:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    files = _Files()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), files.callbacks())
        async for chunk in _counted(request, limit):
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        return {}
    return files.found


class _Files:
    """Collects the files of a form by field, the first of each; other parts are passed over."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}
        self._header = b""
        self._value = b""
        self._field: str | None = None  # of the file that is arriving
        self._pieces: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        """Answer what the parser calls."""
        return {
            "on_part_begin": self._begin, "on_header_field": self._add_to_header, "on_header_value": self._add_to_value,
            "on_header_end": self._end_header, "on_part_data": self._add_data, "on_part_end": self._end,
        }  # fmt: skip

    def _begin(self) -> None:
        self._field = None
        self._pieces = []

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            # A part without a file name is a value; a browser sends a file field that was left empty with an empty one.
            if options.get(b"filename"):
                self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        if self._field is not None:
            self.found.setdefault(self._field, b"".join(self._pieces))
