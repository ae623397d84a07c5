"""Reads YAML as Helm's Go code does: sigs.k8s.io/yaml over goyaml.v2, which is YAML 1.1 with its own scalars.

libyaml splits the text into events; this module makes values of them without ever recursing, so that a hostile
document costs no more than its limits. Not here: which fields a chart has (metadata.py), types (gostruct.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamStartEvent,
)
from yaml.reader import ReaderError
from yaml.scanner import ScannerError

from app.domain import goscalar

MAX_DEPTH = 200
"""Levels of nesting. Go allows 10,000; no chart needs 50, and JSON writers stop at 254."""

MAX_NODES = 200_000
"""Events in a document, and values when aliases are written out: about 0.5 s and 30 MB."""

_MAX_ALIASED_CHARACTERS = 10 * 1024 * 1024  # text that aliases may repeat: twice the largest file a chart may hold


class BadYAML(ValueError):
    """The text is not YAML, or breaks a limit; the message is what Helm says after `cannot load <file>: `."""


def _bad(problem: str) -> BadYAML:
    return BadYAML(f"error converting YAML to JSON: {problem}")


def _too_many() -> BadYAML:
    return _bad(f"yaml: document holds more than {MAX_NODES} values; make it smaller")


def parse_yaml(text: bytes) -> object:
    """Read the first document: dicts with text keys, lists, str, int, float, bool and None.

    Numbers keep their Go type (int or float), so that `goscalar.text_of` can say what a Go string would hold.
    An empty document is None. Raises BadYAML with Go's text where Go has one (goyaml.v2 decode.go, scannerc.go).
    """
    try:
        return _Builder(CParser(text)).build()
    except YAMLError as error:
        raise _bad(f"yaml: {_describe(error)}") from None
    except goscalar.BadScalar as error:
        raise _bad(f"yaml: {error}") from None


def _describe(error: YAMLError) -> str:
    """Say it as goyaml.v2's parser.fail does, whose lines count from 0 unless the scanner complains."""
    if isinstance(error, ReaderError):
        return str(error.reason)
    if not isinstance(error, MarkedYAMLError):
        return str(error)
    problem = error.problem or "unknown problem parsing YAML content"
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + isinstance(error, ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"line {line}: {problem}" if line else problem


class _Merge(str):
    """The key `<<`, which merges where it is a key and is plain text anywhere else."""

    __slots__ = ()


_MERGE = _Merge("<<")
_STARTS = frozenset((MappingStartEvent, SequenceStartEvent))
_ENDS = frozenset((MappingEndEvent, SequenceEndEvent))
_PREAMBLE = frozenset((StreamStartEvent, DocumentStartEvent))
_NOT_ONLY_TEXT = goscalar.FIRST_LETTERS | {"<"}


class _Size(NamedTuple):
    """What a value costs when an alias repeats it: values, characters of text, and levels."""

    nodes: int
    characters: int
    height: int


class _Anchored:
    """What an anchor names; `size` is None as long as the content is being read."""

    __slots__ = ("size", "value")

    def __init__(self) -> None:
        self.value: object = None
        self.size: _Size | None = None


class _Builder:
    """Makes the value of one document from the parser's events."""

    def __init__(self, parser: CParser) -> None:
        self._parser = parser
        # The collections whose end has not come; a mapping has its keys between its values.
        self._stack: list[list[object]] = []
        self._anchors: dict[str, _Anchored] = {}
        self._open: dict[int, _Anchored] = {}  # anchored collections whose end has not come, by depth
        self._sizes: dict[int, tuple[object, _Size]] = {}  # of anchored collections, by identity
        self._nodes = self._aliased_nodes = self._aliased_characters = 0

    def build(self) -> object:
        """Answer the value of the first document."""
        next_event, stack = self._parser.get_event, self._stack
        for _ in range(MAX_NODES):
            event: Any = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                value = self._scalar(event)
            elif kind in _STARTS:
                if event.anchor is not None or len(stack) == MAX_DEPTH:
                    self._begin(event.anchor)
                stack.append([])
                continue
            elif kind in _ENDS:
                value = self._end(is_mapping=kind is MappingEndEvent)
            elif kind is AliasEvent:
                value = self._alias(event.anchor)
            elif kind in _PREAMBLE:
                _check_version(event)
                continue
            else:  # the end of a stream without a document
                return None
            if not stack:
                next_event()  # the end of the document: an error there is an error of this document
                return value
            stack[-1].append(value)
        raise _too_many()

    def _scalar(self, event: ScalarEvent) -> object:
        value: object = event.value
        if event.tag is not None:
            is_merge = event.tag == goscalar.MERGE_TAG and value == "<<"
            value = _MERGE if is_merge else goscalar.resolve_tagged(event.tag, event.value)
        elif event.implicit[0] and (not event.value or event.value[0] in _NOT_ONLY_TEXT):  # plain, not quoted
            value = _MERGE if value == "<<" else goscalar.resolve(event.value)
        if event.anchor is not None:
            anchored = self._anchors[event.anchor] = _Anchored()
            anchored.value, anchored.size = value, self._measure(value)
        return value

    def _begin(self, anchor: str | None) -> None:
        if len(self._stack) == MAX_DEPTH:
            raise _bad(f"yaml: exceeded max depth of {MAX_DEPTH}")
        if anchor is not None:
            self._open[len(self._stack)] = self._anchors[anchor] = _Anchored()

    def _end(self, *, is_mapping: bool) -> object:
        values = self._stack.pop()
        self._nodes += len(values)
        value = _mapping(values) if is_mapping else values
        if self._open:
            anchored = self._open.pop(len(self._stack), None)
            if anchored is not None:
                anchored.value = value
                anchored.size = size = self._measure(value)
                self._sizes[id(value)] = (value, size)
        return value

    def _measure(self, value: object) -> _Size:
        """Size up a value. What anchors name was sized up before, so every value is visited once."""
        if not isinstance(value, (dict, list)):
            return _Size(1, len(value) if isinstance(value, str) else 0, 0)
        known = self._sizes.get(id(value))
        if known is not None:
            return known[1]
        nodes, characters, height = 1, 0, 0
        if isinstance(value, dict):
            nodes += len(value)
            characters += sum(map(len, value))
        for item in value.values() if isinstance(value, dict) else value:
            size = self._measure(item)
            nodes, characters, height = nodes + size.nodes, characters + size.characters, max(height, size.height)
        return _Size(nodes, characters, height + 1)

    def _alias(self, name: str) -> object:
        """Answer the value that the anchor names; it is shared, and counted as if it were written again."""
        anchored = self._anchors.get(name)
        if anchored is None:
            raise _bad(f"yaml: unknown anchor '{name}' referenced")
        if anchored.size is None:
            raise _bad(f"yaml: anchor '{name}' value contains itself")
        size = anchored.size
        self._nodes += size.nodes
        if self._nodes > MAX_NODES:
            raise _too_many()
        self._aliased_nodes += size.nodes
        self._aliased_characters += size.characters
        if self._is_excessive():
            raise _bad("yaml: document contains excessive aliasing")
        if len(self._stack) + size.height > MAX_DEPTH:
            raise _bad(f"yaml: exceeded max depth of {MAX_DEPTH}")
        return anchored.value

    def _is_excessive(self) -> bool:
        if self._aliased_characters > _MAX_ALIASED_CHARACTERS:
            return True
        # goyaml.v2 (decode.go, allowedAliasRatio): of documents this small 99 % may come from aliases.
        nodes = self._nodes + sum(map(len, self._stack))
        return self._aliased_nodes > 100 and nodes > 1000 and self._aliased_nodes > 0.99 * nodes


def _check_version(event: DocumentStartEvent | StreamStartEvent) -> None:
    if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 1)):
        raise _bad("yaml: found incompatible YAML document")


def _mapping(values: list[object]) -> dict[str, object]:
    """Answer the mapping of alternating keys and values; a later key wins, a merge wins over what stands before."""
    mapping: dict[str, object] = {}
    rest = iter(values)
    for key in rest:
        if type(key) is str:
            mapping[key] = next(rest)
        elif key is _MERGE:
            _merge(mapping, next(rest))
        else:
            mapping[_key(key)] = next(rest)
    return mapping


def _merge(mapping: dict[str, object], content: object) -> None:
    sources = content if isinstance(content, list) else [content]
    for source in reversed(sources):  # earlier ones take precedence
        if not isinstance(source, dict):
            raise _bad("yaml: map merge requires map or sequence of maps as the value")
        mapping.update(source)


def _key(key: object) -> str:
    """Answer the text of a key as sigs.k8s.io/yaml makes it (convertToJSONableObject)."""
    if isinstance(key, str):
        return key
    if isinstance(key, (dict, list)):
        raise _bad('yaml: invalid map key: a collection; quote text such as "{{ x }}" that begins with a brace')
    if key is None or (isinstance(key, int) and key >= 2**63):
        kind = "null" if key is None else "uint64"
        raise _bad(f"unsupported map key of type: {kind}; quote the key")
    text = goscalar.text_of(key)
    return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(text, text)
