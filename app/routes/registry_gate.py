"""Who is it, at the OCI door? The same accounts and rules as at the classic one, in the words that its clients know.

A private server asks for Basic credentials everywhere. Where reading is open, clients of registries only send
credentials that a Bearer challenge asks for, so they get a token here (distribution's token specification); it says who
they are, never what they may.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.domain.access import Action
from app.domain.oci import split_name
from app.domain.tokens import SECONDS, make_token, read_token
from app.errors import AppError, Kind
from app.routes.bodies import Limits, read_body
from app.routes.gate import BasicGate, BearerGate, Gate, Unauthorized, render_scope

_ANONYMOUS = ("", "Basic Og==")
"""Nothing, or an empty user with an empty password, which skopeo sends when it has none."""

_LARGEST_FORM = 16 * 1024


class RegistryGate:
    """Lets callers in. `get_key` answers the key of tokens; `public_url` is where clients reach us ("": ask them)."""

    def __init__(self, gate: Gate, get_key: Callable[[], Awaitable[bytes]], *, public_url: str = "") -> None:
        self.gate = gate
        self._get_key = get_key
        self._public_url = public_url.rstrip("/")
        self._key = b""

    async def admit(self, authorization: str, address: str, name: str, action: Action) -> str:
        """Answer the caller's name ("" for anybody) for an OCI name ("": the door itself). Raises Unauthorized.

        `address` is the scheme and host by which the request came.
        """
        if isinstance(self.gate, BearerGate):
            return self.gate.admit_registry(authorization, split_name(name)[0], name, action)
        if not isinstance(self.gate, BasicGate):
            return ""
        caller = await self._identify(authorization)
        is_open = self.gate.anonymous_pull and action is Action.PULL
        if caller is None or (not caller and not is_open) or (not name and authorization in _ANONYMOUS):
            raise Unauthorized(self._challenge(address, name, action))
        return caller

    def readable(self, authorization: str) -> Callable[[str], bool] | None:
        """Answer which repositories a caller who was let in may read: a question, or None for all."""
        return self.gate.readable(authorization)

    async def answer_token(self, request: Request) -> Response:
        """GET /v2/token, POST /v2/token: a token for the caller; for anybody where reading is open."""
        if not isinstance(self.gate, BasicGate) or not self.gate.anonymous_pull:
            raise AppError(Kind.NOT_FOUND, "this server gives out no tokens")
        authorization = request.headers.get("authorization", "")
        caller: str | None = ""
        if request.method == "POST":
            form = parse_qs((await read_body(request, Limits(_LARGEST_FORM, 10))).decode("latin-1"))
            user, password = form.get("username", [""])[0], form.get("password", [""])[0]
            caller = user if self.gate.knows(user, password) else None
        elif authorization not in _ANONYMOUS:
            caller = await self._identify(authorization)
        if caller is None:
            raise Unauthorized('Basic realm="ChartMuseum"')
        now = int(time.time())
        token = make_token(await self._load_key(), caller, now)
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        facts = {"token": token, "access_token": token, "expires_in": SECONDS, "issued_at": issued}
        return Response(orjson.dumps(facts), media_type="application/json", headers={"cache-control": "no-store"})

    async def _identify(self, authorization: str) -> str | None:
        """Answer who it is ("" for anybody); None for credentials that are wrong or over."""
        assert isinstance(self.gate, BasicGate)
        if authorization in _ANONYMOUS:
            return ""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return read_token(await self._load_key(), value.strip(), int(time.time()))
        return self.gate.find_user(authorization)

    async def _load_key(self) -> bytes:
        if not self._key:
            self._key = await self._get_key()
        return self._key

    def _challenge(self, address: str, name: str, action: Action) -> str:
        if not self.gate.anonymous_pull:
            return 'Basic realm="ChartMuseum"'
        base = self._public_url or address
        return f'Bearer realm="{base}/v2/token",service="{urlsplit(base).netloc}"{render_scope(name, action)}'
