"""URLs of a repository: where its index and its archives lie, and who may be told the password. No I/O."""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from helm_client.errors import InvalidIndex

_NO_FILENAME = re.compile(r"[\x00-\x1f\x7f/\\]")
_PORTS = {"http": 80, "https": 443}


def below(repository: str, name: str) -> str:
    """Answer a repository's URL with one slash and a name behind its path; its query stays."""
    parts = urlsplit(repository)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}", fragment=""))


def chart_url(repository: str, reference: str) -> str:
    """Resolve an entry's URL as Helm does (repo.ResolveReferenceURL). Raises InvalidIndex.

    An absolute one is taken as it is. A relative one starts at the repository, loses its own query and gets the
    repository's, which may hold a token; not so where `//host/...` leads to another host.
    """
    url = reference
    try:
        if not urlsplit(url).scheme:
            plain = urlsplit(url)._replace(query="", fragment="")
            url = urljoin(below(repository, ""), urlunsplit(plain))
            query = urlsplit(repository).query if same_origin(repository, url) else ""
            url = urlunsplit(urlsplit(url)._replace(query=query))
    except ValueError:
        url = ""
    if not is_fetchable(url):
        raise InvalidIndex(f"the index has a URL that is not http or https, or cannot be read: {mask(reference)}")
    return url


def is_fetchable(url: str) -> bool:
    """Answer whether this is an http or https URL with a host."""
    try:
        scheme, host, _port = _origin(url)
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
    return scheme in _PORTS and bool(host)


def provenance_url(url: str) -> str:
    """Answer where an archive's provenance lies: `.prov` behind the path (Helm puts it behind the query)."""
    return urlunsplit(urlsplit(url)._replace(path=f"{urlsplit(url).path}.prov"))


def same_origin(one: str, other: str) -> bool:
    """Answer whether scheme, host and port are the same, so that credentials for one may go to the other."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def filename_of(url: str) -> str:
    """Answer the name to save an archive under, as Helm does: the last part of the path. Raises InvalidIndex."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name.endswith(".tgz") or _NO_FILENAME.search(name):
        raise InvalidIndex(f"the last part of {mask(url)} is no name of an archive (name-version.tgz)")
    return name


def mask(url: str) -> str:
    """Answer a URL fit to be shown: without user, password and query."""
    return re.sub(r"//[^/?#]*@", "//", url.partition("?")[0])
