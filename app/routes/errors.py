"""The one table from what went wrong to what each door answers. No handler has a `try` of its own."""

from __future__ import annotations

import errno

import orjson
import structlog
from starlette.responses import Response

from app.domain.oci import RegistryError
from app.errors import AppError, Kind
from app.routes.bodies import SlowBody
from app.routes.gate import Unauthorized
from storage import ObjectNotFound, StorageDenied, StorageError, StorageFull, StorageUnavailable

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json; charset=utf-8")

_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.LIMIT: 507,
    Kind.FULL: 507,
    Kind.UNAVAILABLE: 503,
    Kind.FAULT: 500,
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_log = structlog.get_logger(__name__)


def render_json(value: object) -> bytes:
    """Answer compact JSON with `<`, `>` and `&` escaped, as Go writes it and ChartMuseum's clients know it."""
    text = orjson.dumps(value)
    return text.replace(b"&", b"\\u0026").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")


def to_app_error(error: Exception) -> AppError:
    """Answer what an exception means to a caller; what nobody foresaw is logged with its trace and says nothing."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return AppError(Kind.FULL, "storage is full; nothing was stored; make room and try again")
    if isinstance(error, StorageUnavailable):
        _log.warning("storage does not answer", error=str(error))
        return AppError(Kind.UNAVAILABLE, "storage does not answer; nothing was changed; try again", retry_after=5)
    if isinstance(error, StorageDenied):
        _log.error("storage denies access", error=str(error))
        return AppError(Kind.UNAVAILABLE, f"{error}; nothing was changed; try again then", retry_after=10)
    if isinstance(error, StorageError) and not isinstance(error, ObjectNotFound):
        _log.error("storage failed", error=str(error))
        return AppError(Kind.FAULT, "storage failed; the server's log says how")
    _log.error("unexpected error", exc_info=error)
    return AppError(Kind.FAULT, "internal server error")


def render_error(error: Exception) -> tuple[int, Headers, bytes]:
    """Answer status, headers and body in ChartMuseum's form: `{"error":"..."}`."""
    known = to_app_error(error)
    body = render_json({"error": known.message})
    headers: Headers = [JSON_TYPE, (b"content-length", str(len(body)).encode())]
    if isinstance(known, Unauthorized):
        headers.append((b"www-authenticate", known.challenge.encode()))
    if known.retry_after is not None:
        headers.append((b"retry-after", str(known.retry_after).encode()))
    if known.kind is Kind.TOO_LARGE or isinstance(known, SlowBody):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    return 408 if isinstance(known, SlowBody) else _STATUS[known.kind], headers, body


_CODES = {
    Kind.INVALID: "UNSUPPORTED",
    Kind.UNAUTHORIZED: "UNAUTHORIZED",
    Kind.DENIED: "DENIED",
    Kind.NOT_FOUND: "NAME_UNKNOWN",
    Kind.CONFLICT: "DENIED",
    Kind.TOO_LARGE: "SIZE_INVALID",
    Kind.LIMIT: "DENIED",
    Kind.FULL: "DENIED",
    Kind.UNAVAILABLE: "TOOMANYREQUESTS",
    Kind.FAULT: "UNKNOWN",
}
"""OCI's code for each kind, where the error does not name one itself (distribution-spec, Error Codes)."""

REGISTRY_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


def render_registry_error(error: Exception) -> tuple[int, Headers, bytes]:
    """Answer status, headers and body in OCI's form: `{"errors":[{"code","message","detail"}]}`."""
    known = to_app_error(error)
    status, headers, _ = render_error(known)
    code, detail = _CODES[known.kind], None
    if isinstance(known, RegistryError):
        code, detail = known.code, known.detail
        status = 405 if code == "UNSUPPORTED" and known.kind is Kind.DENIED else status
    facts = {"code": code, "message": known.message} | ({"detail": detail} if detail is not None else {})
    body = orjson.dumps({"errors": [facts]})
    rest = [field for field in headers if field[0] not in (b"content-length", b"content-type")]
    kind = (b"content-type", b"application/json")
    return status, [kind, (b"content-length", b"%d" % len(body)), REGISTRY_VERSION, *rest], body


def answer_registry_error(error: Exception) -> Response:
    """Answer the same as a response."""
    return _to_response(*render_registry_error(error))


def render_warning(text: str) -> str:
    """Answer a Warning header (RFC 7234, 5.5): printable ASCII in quotes."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text[:500])
    return f'299 - "{plain.replace(chr(92), "?").replace(chr(34), chr(39))}"'


def answer_error(error: Exception) -> Response:
    """Answer the same as a response."""
    return _to_response(*render_error(error))


def _to_response(status: int, headers: Headers, body: bytes) -> Response:
    response = Response(body, status)
    response.raw_headers = headers
    return response
