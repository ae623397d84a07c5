"""The repository index, `index.yaml`, rendered in parts.

One chart version is one line of JSON. A whole index is a head, the charts with a separator between them,
and a tail, so that whoever holds the parts can change one and send them one by one. Every line means the
same to a JSON parser and to each YAML 1.1 or 1.2 parser: what YAML does not print or takes for a line
break is escaped, and characters beyond U+FFFF are not, for YAML does not join surrogate pairs.

Here: bytes of entries, charts, head and tail, as JSON and as block YAML. Not here: which versions there
are and in what order, compression, ETags, and reading the indexes of others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from app.domain.times import parse_time

SEPARATOR = b",\n"  # between two charts of a JSON index
MAX_KEY_CHARACTERS = 1000  # a YAML key on one line may have 1024, quotes and escapes included

_URLS = b'"urls":["'

# U+007F to U+009F, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF as UTF-8; JSON itself escapes those below U+0020.
_ODD = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]")
# An escaped backslash, or a surrogate and perhaps its other half.
_SURROGATE = re.compile(rb"\\\\|\\u[dD][89a-fA-F][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?")
_HTML = re.compile(rb"[<>&]")  # Go's json.Marshal escapes these
_IN_URL = {ord(c): f"%{ord(c):02X}" for c in "%?#"}  # raw, they would end the path of the URL

# The keys that stand unquoted in block YAML; any other is quoted, for a parser may read `y` as true.
_PLAIN_KEYS = frozenset((
    "name", "home", "sources", "version", "description", "keywords", "maintainers", "email", "url", "icon",
    "apiVersion", "condition", "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "type",
    "dependencies", "repository", "enabled", "import-values", "alias", "urls", "created", "digest",
))  # fmt: skip


def render_entry(config: bytes, *, filename: str, created: str, digest: str) -> bytes:
    """Render one chart version as one line: its metadata, then `urls`, `created` and `digest`.

    `config` is the metadata as Go's json.Marshal writes it (compact, `<>&` escaped), `filename` the plain
    name of the archive, `created` RFC 3339 with a zone, `digest` the archive's sha256 as bare hex digits.
    Keys that no YAML parser would take are left out: only annotations can hold one. Raises ValueError when
    `config` is no JSON object or `created` no such time, for Helm would refuse the whole index.
    """
    if b"\\ud" in config or b"\\uD" in config:
        config = _SURROGATE.sub(_join_surrogates, config)
    metadata = orjson.loads(config)
    if not isinstance(metadata, dict):
        raise ValueError("the metadata of a chart must be a JSON object")
    if _has_long_key(metadata):
        config = _escape_html(_dump(_without_long_keys(json.loads(config))))
    # A line break that the parser let pass stood between two values, not in one.
    config = config.translate(None, b"\t\n\r").strip()
    url = _escape_html(_quote(f"charts/{filename.translate(_IN_URL)}"))
    tail = b'"urls":[%b],"created":%b,"digest":%b}' % (url, _quote_time(created), _quote(digest))
    return _ODD.sub(_escape, config[:-1]) + (b"," if metadata else b"") + tail


def rebase_entry(entry: bytes, base_url: str) -> bytes:
    """Turn the relative URL of an entry into `<base_url>/charts/<file>`.

    The last `"urls":["` is the entry's own: a quote inside a string is escaped, and only strings follow.
    """
    before, urls, after = entry.rpartition(_URLS)
    return before + urls + _render_base(base_url) + after


def render_head(generated: str, context_path: str) -> bytes:
    """Render what comes before the charts; `context_path` is `''` or begins with a slash.

    Raises ValueError when `generated` is not RFC 3339 with a zone.
    """
    facts = (_quote_time(generated), _server_info(context_path))
    return b'{"apiVersion":"v1","generated":%b,"serverInfo":%b,"entries":{\n' % facts


def render_chart(name: str, entries: Sequence[bytes]) -> bytes:
    """Render one chart with its entries, which come in descending order of versions."""
    return _quote(name) + b":[\n" + b",\n".join(entries) + b"\n]"


def render_tail() -> bytes:
    """Render what comes after the charts."""
    return b"\n}}\n"


def yaml_head(generated: str, context_path: str, *, empty: bool) -> bytes:
    """Render what comes before the charts in block YAML; `empty` says that no chart follows.

    Raises ValueError when `generated` is not RFC 3339 with a zone.
    """
    server = _server_info(context_path).replace(b":", b": ", 1)
    facts = (_quote_time(generated), server, b" {}" if empty else b"")
    return b"apiVersion: v1\ngenerated: %b\nserverInfo: %b\nentries:%b\n" % facts


def yaml_chart(name: str, entries: Sequence[bytes]) -> bytes:
    """Render one chart as block YAML from its JSON entries: keys sorted, every string in quotes.

    Nothing stands between two charts.
    """
    lines = [b"  " + _quote(name) + b":"]
    for entry in entries:
        lines += [b"  " + line for line in _block([orjson.loads(entry)])]
    return _ODD.sub(_escape, b"\n".join(lines)) + b"\n"


def yaml_tail() -> bytes:
    """Render what comes after the charts of a block YAML index: nothing."""
    return b""


def _block(value: Any) -> list[bytes]:
    """Return the lines of a JSON value; a scalar and an empty collection are one line."""
    if not value or not isinstance(value, dict | list):
        return [orjson.dumps(value)]
    lines = []
    if isinstance(value, list):
        for item in value:
            first, *rest = _block(item)
            lines.append(b"- " + first)
            lines += [b"  " + line for line in rest]
        return lines
    for key in sorted(value):
        child = value[key]
        label = key.encode() if key in _PLAIN_KEYS else orjson.dumps(key)
        if not child or not isinstance(child, dict | list):
            lines.append(label + b": " + orjson.dumps(child))
        else:
            lines.append(label + b":")
            indent = b"  " if isinstance(child, dict) else b""
            lines += [indent + line for line in _block(child)]
    return lines


def _quote_time(text: str) -> bytes:
    parse_time(text)  # which also takes spaces around and small letters; Go does not
    return _quote(text.strip().upper())


@lru_cache(maxsize=16)  # one for each server, or one for each repository that is being rendered
def _render_base(base_url: str) -> bytes:
    return _quote(base_url.rstrip("/"))[1:-1] + b"/"


def _server_info(context_path: str) -> bytes:
    return b'{"contextPath":%b}' % _quote(context_path) if context_path else b"{}"


def _quote(text: str) -> bytes:
    return _ODD.sub(_escape, orjson.dumps(text))


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match[0].decode())


def _escape_html(text: bytes) -> bytes:
    return _HTML.sub(_escape, text)


def _join_surrogates(match: re.Match[bytes]) -> bytes:
    """Write a pair as the character it stands for, and half a pair as U+FFFD, which is what Go reads."""
    if match[0] == b"\\\\":
        return match[0]
    text: str = json.loads(b'"%b"' % match[0])
    return re.sub("[\ud800-\udfff]", "\ufffd", text).encode()


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _has_long_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_long(key) or _has_long_key(child) for key, child in value.items())
    return isinstance(value, list) and any(map(_has_long_key, value))


def _without_long_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_long_keys(child) for key, child in value.items() if not _is_long(key)}
    return list(map(_without_long_keys, value)) if isinstance(value, list) else value


def _is_long(key: str) -> bool:
    """Measure the key as it is written; one character becomes at most six."""
    if len(key) * 6 + 2 <= MAX_KEY_CHARACTERS:
        return False
    return len(_escape_html(_ODD.sub(_escape, _dump(key))).decode()) > MAX_KEY_CHARACTERS
