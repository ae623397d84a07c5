"""Identity tokens of the OCI door: who the caller is, until when, signed. What they may do is asked at each request.

A token is two parts in URL-safe base64, joined by a dot: JSON with `sub`, `iat` and `exp` (seconds since 1970), and an
HMAC-SHA256 of the first part.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

import orjson

SECONDS = 900
"""How long a token is good: from the first request of a push to the last, even of a large one."""


def make_token(key: bytes, subject: str, now: int) -> str:
    """Answer a token for a caller ("" for anybody); `now` in seconds since 1970."""
    facts = orjson.dumps({"sub": subject, "iat": now, "exp": now + SECONDS})
    payload = base64.urlsafe_b64encode(facts)
    return f"{payload.decode()}.{_sign(key, payload)}"


def read_token(key: bytes, token: str, now: int) -> str | None:
    """Answer whose token this is; None if it is not ours, or over."""
    payload, _, signature = token.partition(".")
    if not token.isascii() or not hmac.compare_digest(_sign(key, payload.encode()), signature):
        return None
    try:
        facts: Any = orjson.loads(base64.urlsafe_b64decode(payload))
    except (binascii.Error, ValueError):
        return None
    return str(facts["sub"]) if facts["exp"] > now else None


def _sign(key: bytes, payload: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, payload, "sha256")).decode()
