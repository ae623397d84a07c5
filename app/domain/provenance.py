"""Provenance files: which archive one is for. Not here: verifying signatures, which is the client's work."""

from __future__ import annotations

import re

from app.errors import AppError, Kind

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
# ChartMuseum's own two (pkg/repo/provenance.go): the first match counts, quotes and \r stay.
_NAME = re.compile(rb"\nname:[ *](.+)")
_VERSION = re.compile(rb"\nversion:[ *](.+)")


def read_provenance(body: bytes) -> tuple[str, str]:
    """Answer name and version of the chart that a provenance file is for.

    Raises AppError INVALID `invalid provenance file` if it is none (ChartMuseum, ProvenanceFilenameFromContent).
    """
    name, version = _NAME.search(body), _VERSION.search(body)
    if not body.startswith(_BEGIN) or name is None or version is None:
        raise AppError(Kind.INVALID, "invalid provenance file")
    try:
        return name[1].decode(), version[1].decode()
    except UnicodeDecodeError:
        raise AppError(Kind.INVALID, "invalid provenance file") from None
