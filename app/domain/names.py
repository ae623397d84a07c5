"""Names: of repositories, charts and files.

The only place where `.`, `..`, empty segments and control characters are refused: whoever builds a key, a
path or a URL from a name has had it checked here. Not here: which repositories exist, who may read them,
and how a name is written in a URL or an object key.
"""

from __future__ import annotations

import json
import re

from app.errors import AppError, Kind

STORE_FOLDER = ".chartroom"  # what is stored lies under it, beside the files of tenants
FILE_ENDINGS = (".tgz", ".tgz.prov")  # of archives and their provenance, here and in ChartMuseum's folder
EXPORT_MANIFEST = ".chartroom-export.jsonl"  # in the folder of a static export
CHARTMUSEUM_MANIFEST = ".chartroom-chartmuseum.jsonl"  # in another ChartMuseum's folder that we export into
MAX_SEGMENT_BYTES = 255  # what file systems take as one name
MAX_REPOSITORY_BYTES = 1024  # what object stores take as one key

# C0, DEL and C1; the line separators, which split log lines; and lone surrogates, which no database stores.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Exactly one spelling for each limit, so that each view has one address.
_VIEW = re.compile("~latest-([1-9][0-9]{0,2})")


def parse_repository(text: str) -> str:
    """Check a repository path and return it: `''` is the root, segments are joined by `/`, any depth.

    Raises AppError(INVALID) for empty segments (a slash at either end makes one), `.`, `..`, control
    characters, a segment of more than 255 bytes and a path of more than 1024.
    """
    if not text:
        return text
    if _CONTROL.search(text):
        raise _invalid_repository(text, "holds a control character", "use printable characters only")
    if len(text.encode()) > MAX_REPOSITORY_BYTES:
        raise _invalid_repository(text, f"is longer than {MAX_REPOSITORY_BYTES} bytes", "shorten it")
    if text == STORE_FOLDER or is_ours(text):
        raise _invalid_repository(text, "is the store's own folder", "choose another name")
    for segment in text.split("/"):
        if not segment:
            raise _invalid_repository(text, "has an empty segment", "write one / between two names")
        if segment in {".", ".."}:
            raise _invalid_repository(text, f'has the segment "{segment}"', "dots alone are no name")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise _invalid_repository(text, f"has a segment over {MAX_SEGMENT_BYTES} bytes", "shorten it")
    return text


_FILES = frozenset(("index.yaml", "index-cache.yaml", EXPORT_MANIFEST, CHARTMUSEUM_MANIFEST))


def check_new_repository(repository: str) -> str:
    """Return a repository path that something may be published in, as checked by `parse_repository`.

    Raises AppError(INVALID) for a segment with the name of a file that lies beside repositories, in an export or in
    ChartMuseum's folder: no folder can have that name too. Repositories that are there already stay readable.
    """
    for segment in repository.split("/"):
        if segment in _FILES or segment.endswith(FILE_ENDINGS):
            fault = f'has the segment "{segment}", the name of a file beside repositories'
            raise _invalid_repository(repository, fault, "choose another name")
    return repository


def is_ours(key: str) -> bool:
    """Return whether a key lies in the store's own folder, which has none of ChartMuseum's files."""
    return key.startswith(f"{STORE_FOLDER}/")


def label(path: str) -> str:
    """Return what a message calls a repository."""
    return f"repository {path}" if path else "the root repository"


def split_view(path: str) -> tuple[str, int | None]:
    """Split a repository path into the repository and how many versions of each chart a slim view shows.

    `org/~latest-3` is `("org", 3)`, `~latest-3` is `("", 3)`; a path that names no view comes back with None.
    Only `~latest-1` to `~latest-999` name one; `~latest-03` and `~latest-3x` are ordinary names.

    Raises AppError(INVALID) as `parse_repository` does.
    """
    repository = parse_repository(path)
    parent, _, last = repository.rpartition("/")
    view = _VIEW.fullmatch(last)
    return (repository, None) if view is None else (parent, int(view[1]))


def check_chart_name(name: str) -> str:
    """Check a chart's name and return it.

    Raises AppError(INVALID) for an empty name, `.`, `..`, a slash, control characters and more than 255
    bytes, in the words of Helm (chart.Metadata.Validate), which ChartMuseum passes on.
    """
    if not name:
        raise AppError(Kind.INVALID, "validation: chart.metadata.name is required")
    if name in {".", ".."}:
        raise AppError(Kind.INVALID, f"validation: chart.metadata.name {_quoted(name)} is not allowed")
    if not _is_plain(name):
        raise AppError(Kind.INVALID, f"validation: chart.metadata.name {_quoted(name)} is invalid")
    return name


def archive_name(name: str, version: str) -> str:
    """Return the file name of a chart's archive, `<name>-<version>.tgz`.

    Raises AppError(INVALID) as `check_filename` does.
    """
    return check_filename(f"{name}-{version}.tgz")


def check_filename(filename: str) -> str:
    """Check that a file name is one plain name and return it.

    Raises AppError(INVALID) with ChartMuseum's text, `<file> is improperly formatted`, when it is empty,
    `.` or `..`, has a slash or a control character, or is longer than 255 bytes.
    """
    if filename in {"", ".", ".."} or not _is_plain(filename):
        shown = filename.encode("utf-8", "replace").decode()
        raise AppError(Kind.INVALID, f"{shown} is improperly formatted")
    return filename


def _is_plain(text: str) -> bool:
    return "/" not in text and not _CONTROL.search(text) and len(text.encode()) <= MAX_SEGMENT_BYTES


def _quoted(text: str) -> str:
    """Quote for a message: printable, on one line, and not longer than a message should be."""
    return json.dumps(text if len(text) <= 100 else text[:100] + "...")


def _invalid_repository(text: str, fault: str, remedy: str) -> AppError:
    return AppError(Kind.INVALID, f"repository path {_quoted(text)} {fault}: {remedy}")
