"""What handlers are given: the parts of the house, and the repository a path names, once the caller is admitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request

from app.domain.access import Action
from app.errors import AppError, Kind
from app.routes.asgi import find_interruption
from app.routes.bodies import Limits
from app.routes.gate import Gate
from app.routes.paths import Paths
from app.routes.registry_gate import RegistryGate
from app.services.archives import Archives
from app.services.charts import Charts
from app.services.indexes import Indexes
from app.services.listing import Listing
from app.services.pushes import Pushes
from app.services.readiness import Readiness
from app.services.registry import Registry
from app.services.search import Search
from app.services.uploads import Uploads


@dataclass(frozen=True, slots=True)
class UploadForm:
    """How uploads come: the names of the form's fields, the largest body in bytes, and its time to arrive."""

    chart_field: str = "chart"
    provenance_field: str = "prov"
    limit: int = 20 * 1024 * 1024
    seconds: float = 30

    @property
    def limits(self) -> Limits:
        """How large a body may be and how long it may take."""
        return Limits(self.limit, self.seconds)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the doors need. Tests hand in their own."""

    paths: Paths
    gate: Gate
    readiness: Readiness
    charts: Charts
    listing: Listing
    archives: Archives
    indexes: Indexes
    search: Search
    upload: UploadForm
    registry: Registry
    pushes: Pushes
    uploads: Uploads
    registry_gate: RegistryGate


class Caller(NamedTuple):
    """Who asks, about which repository, through which view (None: all versions)."""

    name: str
    repository: str
    limit: int | None


def was_admitted(request: Request) -> bool:
    """Answer whether `admit` let this request in; what went wrong after that is the caller's to read."""
    return bool(getattr(request.state, "admitted", False))


async def admit(parts: Parts, request: Request, action: Action) -> Caller:
    """Return the caller and the repository of a request's path, once the store is open (its body is not read yet).

    Raises AppError INVALID or NOT_FOUND for the path, Unauthorized, DENIED for a change through a view, UNAVAILABLE.
    """
    if "\0" in request.scope["path"]:  # which no name holds and Postgres takes in no statement
        raise AppError(Kind.INVALID, "the path holds a NUL character; no name does")
    repository, limit = parts.paths.parse_place(request.path_params.get("repository", ""))
    name = parts.gate.admit(request.headers.get("authorization"), repository, action)
    request.state.admitted = True
    if action is Action.PUSH:
        await parts.readiness.wait_writable(find_interruption(request.scope))
        if limit is not None:
            text = f"~latest-{limit} is a view and read only; write to the repository itself"
            raise AppError(Kind.DENIED, text)
    else:
        await parts.readiness.wait_readable(find_interruption(request.scope))
    return Caller(name, repository, limit)


def find_address(parts: Parts, request: Request, public_url: str) -> str:
    """Answer what one types after `helm repo add`: `public_url`, or the address that this request came to."""
    return public_url or str(request.base_url).rstrip("/") + parts.paths.context_path
