"""A route that is reached directly, past the framework's own way to it, which costs 0.3 ms for each request.

For the one write that machines repeat: the upload. What does not match goes on to the framework, and the route stands
there too, so that both answer the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from app.routes.asgi import Application, Receive, Scope, Send
from app.routes.errors import answer_error


@dataclass(frozen=True, slots=True)
class Direct:
    """An ASGI application: `endpoint` answers what `route` matches, `behind` everything else."""

    behind: Application
    route: Route
    endpoint: Callable[[Request], Awaitable[Response]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or hand it on."""
        if scope["type"] != "http" or scope["method"] not in (self.route.methods or ()):
            await self.behind(scope, receive, send)
            return
        match, found = self.route.matches(scope)
        if match is not Match.FULL:
            await self.behind(scope, receive, send)
            return
        scope.update(found)
        scope["route"] = self.route
        try:
            response = await self.endpoint(Request(scope, receive, send))
        except Exception as error:
            response = answer_error(error)
        await response(scope, receive, send)
