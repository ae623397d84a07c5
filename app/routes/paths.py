"""Where a request path leads: the context path, the depth of tenants, doubled slashes. No bytes are touched here.

Routes write a repository as `{repository:tenant}`, which is empty or begins with a slash, so that `/apix/charts` is no
repository of the API; or after a slash as `{repository:inner}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from starlette.convertors import PathConvertor, register_url_convertor

from app.domain.names import check_new_repository, parse_repository, split_view
from app.domain.oci import RegistryError, name_unknown, parse_name, split_name
from app.errors import AppError, Kind

_OURS = "-"
"""The first segment of the server's own addresses, `/-/ready` for one."""

_CLASSIC = re.compile(r"/(index\.yaml|artifacthub-repo\.yml|charts/[^/]+\.tgz(\.prov)?)$")
"""What no address of the OCI door ends in."""

_NOT_UTF8 = "\ufffd"
"""What servers put in the place of bytes that are not UTF-8."""


class TenantConvertor(PathConvertor):
    """A part of a path that is empty or begins with a slash. It may hold line breaks, to be told that it may not."""

    regex = r"(?:/[\s\S]+)?"


class InnerConvertor(PathConvertor):
    """A part of a path that is not empty and stands after a slash."""

    regex = r"[\s\S]+"


register_url_convertor("tenant", TenantConvertor())
register_url_convertor("inner", InnerConvertor())


class Place(NamedTuple):
    """A repository as a path names it: its own path, and how many versions a slim view shows (None: no view)."""

    repository: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Paths:
    """The server's addresses. `depth` None lets repositories have any depth, as `--depth-dynamic` does."""

    context_path: str = ""
    depth: int | None = None

    def localize(self, path: str) -> str | None:
        """Answer the path below the context path, without doubled slashes; None if it lies outside.

        With a fixed depth a tenant may stand before `/api` too, as in ChartMuseum: `/org/api/charts`.
        """
        if is_registry_path(path):  # which clients ask for at the root, whatever lies below it
            return path
        if "//" in path:
            path = _collapse(path)
        if self.context_path and path != "/metrics":  # which stays outside, as in ChartMuseum
            if path != self.context_path and not path.startswith(self.context_path + "/"):
                return None
            path = path[len(self.context_path) :] or "/"
            if path == "/metrics":
                return None
        if self.depth and "/api/" in path[1:] and not path.startswith("/api/"):
            tenant, _, rest = path.partition("/api/")
            if tenant.count("/") - ("/~latest-" in tenant) == self.depth:
                path = f"/api{tenant}/{rest}"
        return path

    def parse_name(self, name: str) -> tuple[str, str]:
        """Answer repository and last segment of an OCI name. Raises RegistryError NAME_INVALID, NAME_UNKNOWN."""
        repository, chart = split_name(parse_name(name))
        if not self._has_depth(repository):
            raise name_unknown(name)
        return repository, chart

    def parse_place(self, text: str) -> Place:
        """Answer the repository that a path names ("" is the root). Raises AppError INVALID, NOT_FOUND."""
        repository, limit = split_view(text.strip("/"))
        if _NOT_UTF8 in repository:
            raise AppError(Kind.INVALID, "the repository in the path is not UTF-8: percent-encode its UTF-8 bytes")
        repository = parse_repository(repository)
        if repository.partition("/")[0] == _OURS:
            raise AppError(Kind.INVALID, "paths below /-/ belong to the server: give the repository another name")
        if not self._has_depth(repository):
            raise AppError(Kind.NOT_FOUND, "not found")
        return Place(repository, limit)

    def _has_depth(self, repository: str) -> bool:
        return self.depth is None or (repository.count("/") + 1 if repository else 0) == self.depth


def check_new_name(repository: str) -> None:
    """Raise RegistryError NAME_INVALID for the repository part of an OCI name in which nothing may be published."""
    try:
        check_new_repository(repository)
    except AppError as error:
        raise RegistryError(Kind.INVALID, "NAME_INVALID", error.message, detail={"name": repository}) from error


def is_registry_path(path: str) -> bool:
    """Answer whether a path is the OCI door's: below /v2, but what only a repository called v2 can mean."""
    return (path == "/v2" or path.startswith("/v2/")) and not _CLASSIC.search(path)


def _collapse(path: str) -> str:
    while "//" in path:
        path = path.replace("//", "/")
    return path
