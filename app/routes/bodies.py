"""Request bodies: counted while they arrive, refused when too large or too slow, parsed when they are forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from app.errors import AppError, Kind


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
    """Answer the files of a form, the first of each field; large ones wait on disk while they arrive.

    Raises what `read_body` raises, for the whole body; a form that cannot be read has no files.
    """
    parser = MultiPartParser(request.headers, _counted(request, limits.size), max_files=16, max_fields=16)
    try:
        async with _in_time(limits.seconds):
            form = await parser.parse()
    except (MultiPartException, MultipartParseError, HTTPException, LookupError, ValueError):
        return Form(None, None)
    try:
        found = []
        for fields in (("chart", chart_field), ("prov", provenance_field)):
            uploads = (item for field in fields for item in form.getlist(field) if _is_file(item))
            upload = next(uploads, None)
            found.append(await upload.read() if isinstance(upload, UploadFile) else None)
        return Form(*found)
    finally:
        await form.close()


def _is_file(item: UploadFile | str) -> bool:
    # A browser sends a file field that was left empty with an empty name.
    return isinstance(item, UploadFile) and bool(item.filename)
