"""Versions: how they are read, ordered and matched.

The rules are those of Masterminds/semver v3, which Helm and ChartMuseum use, quirks included: a version that
Helm takes is taken here, and a constraint picks what Helm would pick. Where semver.org differs, they win.

Here: versions, their order, constraints. Not here: where versions are stored, and what an HTTP answer says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import total_ordering

MAX_VERSION_BYTES = 256  # semver.MaxVersionLen
MAX_CONSTRAINT_BYTES = 512  # semver.MaxConstraintLen
MAX_CONSTRAINT_GROUPS = 32  # semver.MaxConstraintGroups
MAX_NUMBER = 2**64 - 1  # Go reads each number as a uint64

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SUFFIX = rf"(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?"
_LENIENT = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_SUFFIX}")
_STRICT = re.compile(rf"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*){_SUFFIX}")

# An identifier of a pre-release or of build metadata: numbers come before words.
_Identifier = tuple[int, int, str]


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version; `text` is what was read, the other fields what it means.

    The order is total: precedence first, then build metadata, then the text, so that `1.0.0+b2` stands above
    `1.0.0+b1`, and `1.0.0` and `v1.0.0` have a fixed order. Compare `precedence` to ask what semver.org asks.
    """

    major: int
    minor: int
    patch: int
    prerelease: str
    build: str
    text: str

    @property
    def precedence(self) -> tuple[int, int, int, bool, tuple[_Identifier, ...]]:
        """Order by section 11 of semver.org: without build metadata, a pre-release below its release."""
        return (self.major, self.minor, self.patch, not self.prerelease, _identifiers(self.prerelease))

    def __lt__(self, other: Version) -> bool:
        if self.precedence != other.precedence:
            return self.precedence < other.precedence
        return (_identifiers(self.build), self.text) < (_identifiers(other.build), other.text)


def parse_version(text: str) -> Version:
    """Read a version as Helm does (semver.NewVersion): `v1`, `1.0` and `01.2.3` pass.

    Raises ValueError for what is not a version: `1.2.3.4`, `1.0.0-01`, `V1`, a number of more than 64 bits,
    more than 256 bytes.
    """
    return _version(_LENIENT, text)


def parse_strict(text: str) -> Version:
    """Read a version by the letter of semver.org (semver.StrictNewVersion), as OCI tags of charts are read.

    Raises ValueError for everything else, `v1.0.0` and `1.0` included.
    """
    if not text:
        raise ValueError("version string empty")
    return _version(_STRICT, text)


def _version(pattern: re.Pattern[str], text: str) -> Version:
    if len(text) > MAX_VERSION_BYTES:
        raise ValueError(f"version string is too long (max {MAX_VERSION_BYTES} bytes)")
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError("invalid semantic version")
    first, second, third, prerelease, build = match.groups("")
    major, minor, patch = int(first), int(second or 0), int(third or 0)
    if max(major, minor, patch) > MAX_NUMBER:
        raise ValueError("error parsing version segment: value out of range")
    for part in prerelease.split(".") if prerelease else ():
        if len(part) > 1 and part[0] == "0" and part.isdigit():
            raise ValueError("version segment starts with 0")
    return Version(major, minor, patch, prerelease, build, text)


def _identifiers(dotted: str) -> tuple[_Identifier, ...]:
    """Split for comparison; a number beyond 64 bits is a word, because Go fails to read it as one."""
    if not dotted:
        return ()
    return tuple(
        (0, int(part), "") if part.isdigit() and int(part) <= MAX_NUMBER else (1, 0, part) for part in dotted.split(".")
    )


def sort_key(version_text: str) -> bytes:
    """Return bytes that compare, byte by byte, as the versions compare; what is no version sorts below all.

    For a column, so that no database has to know semver. Different texts have different keys. A number is its
    length and its digits to base 256; a word ends in a zero byte, which no word contains.
    """
    text = version_text.encode("utf-8", "surrogatepass")
    try:
        version = parse_version(version_text)
    except ValueError:
        return b"\x00" + text
    numbers = b"".join(map(_number_key, (version.major, version.minor, version.patch)))
    prerelease = _identifiers_key(version.prerelease) if version.prerelease else b"\xff"
    return b"".join((b"\x01", numbers, prerelease, _identifiers_key(version.build), text))


def _number_key(number: int) -> bytes:
    size = (number.bit_length() + 7) // 8
    return bytes((size,)) + number.to_bytes(size, "big")


def _identifiers_key(dotted: str) -> bytes:
    """The end sorts before a number, a number before a word, and a word before the 0xff of a release."""
    key = b""
    for kind, number, word in _identifiers(dotted):
        key += b"\x03" + word.encode("ascii") + b"\x00" if kind else b"\x02" + _number_key(number)
    return key + b"\x01"


_OPERATOR = r"(?:=>|>=|=<|<=|!=|~>|=|>|<|~|\^|)"
# Go's class holds a bar too ([0-9|x|X|\*]): `1|2` passes the pattern and then fails as a number.
_NUMERAL = r"[0-9|xX*]+"
# Atomic: the pattern never gives back what it took, so no constraint makes it run for longer than its length.
_PATTERN = rf"(?>v?{_NUMERAL}(?:\.{_NUMERAL})?(?:\.{_NUMERAL})?(?:-{_IDENTIFIERS})?(?:\+{_IDENTIFIERS})?)"
_ALIASES = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}
_SPACE = r"[\t\n\f\r ]"  # Go's \s
_GROUP = re.compile(
    rf"{_SPACE}*+{_OPERATOR}{_SPACE}*+{_PATTERN}"
    rf"(?:(?:{_SPACE}++|{_SPACE}*+,{_SPACE}*+){_OPERATOR}{_SPACE}*+{_PATTERN})*+{_SPACE}*+"
)
_COMPARATOR = re.compile(rf"({_OPERATOR}){_SPACE}*+({_PATTERN})")
_PARTS = re.compile(rf"v?({_NUMERAL})(?:\.({_NUMERAL}))?(?:\.({_NUMERAL}))?(-{_IDENTIFIERS})?(?:\+.*)?")
_RANGE = re.compile(rf"{_SPACE}*({_PATTERN}){_SPACE}++-{_SPACE}++({_PATTERN}){_SPACE}*")


@dataclass(frozen=True, slots=True)
class _Comparator:
    """One condition; `given` counts its numbers before a wildcard or the end: 3 for 1.2.3, 0 for *."""

    operator: str
    version: Version
    given: int


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a version must satisfy: all conditions of one of its groups."""

    text: str
    groups: tuple[tuple[_Comparator, ...], ...]

    def check(self, version: Version) -> bool:
        """Return whether the version satisfies the constraint (semver.Constraints.Check).

        A pre-release only satisfies a group in which some condition names a pre-release itself.
        """
        for group in self.groups:
            if version.prerelease and not any(one.version.prerelease for one in group):
                continue
            if all(_OPERATORS[one.operator](version, one) for one in group):
                return True
        return False


def parse_constraint(text: str) -> Constraint:
    """Read a constraint (semver.NewConstraint): `^1.2`, `~1`, `1.x`, `>=1 <2`, `1.2 - 1.4`, `1 || 3`.

    Raises ValueError with the text that ChartMuseum shows: `improper constraint: abc`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_CONSTRAINT_BYTES:
        raise ValueError(f"constraint string is too long (max {MAX_CONSTRAINT_BYTES} bytes)")
    groups = _rewrite_ranges(text).split("||")
    if len(groups) > MAX_CONSTRAINT_GROUPS:
        raise ValueError(f"too many constraint groups (max {MAX_CONSTRAINT_GROUPS})")
    return Constraint(text, tuple(map(_group, groups)))


def _rewrite_ranges(text: str) -> str:
    """Turn `1.2 - 1.4` into `>= 1.2, <= 1.4`; as in Go, each at the first place where its text occurs."""
    rewritten = text
    for match in _RANGE.finditer(text):
        rewritten = rewritten.replace(match[0], f">= {match[1]}, <= {match[2]} ", 1)
    return rewritten


def _group(text: str) -> tuple[_Comparator, ...]:
    if _GROUP.fullmatch(text) is None:
        raise ValueError(f"improper constraint: {text}")
    return tuple(_comparator(match[1], match[2]) for match in _COMPARATOR.finditer(text))


def _comparator(operator: str, pattern: str) -> _Comparator:
    match = _PARTS.fullmatch(pattern)
    assert match is not None, "the group's pattern let it through"
    *numbers, prerelease = match.groups(default="")
    given = next((i for i, number in enumerate(numbers) if number in {"", "x", "X", "*"}), 3)
    version = pattern if given == 3 else ".".join([*numbers[:given], "0", "0", "0"][:3]) + prerelease
    try:
        return _Comparator(_ALIASES.get(operator, operator), parse_version(version), given)
    except ValueError:  # Go's words; `1|2`, `1.2.3-01` and numbers beyond 64 bits come here
        raise ValueError("constraint parser error") from None


def _equal(version: Version, one: _Comparator) -> bool:
    if one.given < 3:
        return _tilde(version, one)
    return version.precedence == one.version.precedence


def _not_equal(version: Version, one: _Comparator) -> bool:
    wanted = one.version
    if version.major != wanted.major or one.given == 1:
        return version.major != wanted.major
    if version.minor != wanted.minor or one.given == 2:
        return (version.minor, version.prerelease) != (wanted.minor, wanted.prerelease)
    return version.precedence != wanted.precedence


def _greater(version: Version, one: _Comparator) -> bool:
    """`>11` begins at 12.0.0 and `>11.1` at 11.2.0."""
    if one.given == 1:
        return version.major > one.version.major
    if one.given == 2:
        return (version.major, version.minor) > (one.version.major, one.version.minor)
    return version.precedence > one.version.precedence


def _at_most(version: Version, one: _Comparator) -> bool:
    """`<=11` ends before 12.0.0; `<=*` is Go's oddity: it takes 0.0.x only."""
    if one.given == 3:
        return version.precedence <= one.version.precedence
    if one.given == 1:
        return version.major <= one.version.major
    return (version.major, version.minor) <= (one.version.major, one.version.minor)


def _tilde(version: Version, one: _Comparator) -> bool:
    """`~1.2.3` and `~1.2` stay within 1.2, `~1` within 1; `~0.0.0` and `~*` have no upper end."""
    wanted = one.version
    if version.precedence < wanted.precedence:
        return False
    if one.given in {0, 3} and (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0):
        return True
    return version.major == wanted.major and (one.given == 1 or version.minor == wanted.minor)


def _caret(version: Version, one: _Comparator) -> bool:
    """Up to the leftmost number that is not 0. `^*` is Go's oddity: it takes 0.0.0 only."""
    wanted = one.version
    if version.precedence < wanted.precedence or version.major != wanted.major:
        return False
    if wanted.major > 0 or one.given == 1:
        return True
    if wanted.minor > 0 or one.given == 2:
        return version.minor == wanted.minor
    return (version.minor, version.patch) == (0, wanted.patch)


_OPERATORS: dict[str, Callable[[Version, _Comparator], bool]] = {
    "=": _equal,
    "!=": _not_equal,
    ">": _greater,
    "<": lambda version, one: version.precedence < one.version.precedence,
    ">=": lambda version, one: version.precedence >= one.version.precedence,
    "<=": _at_most,
    "~": _tilde,
    "^": _caret,
}


def find_version(versions: Sequence[str], wanted: str) -> str | None:
    """Return the version that is asked for, from versions in descending order, or None (Helm: IndexFile.Get).

    `''` and `latest` ask for the newest release. Otherwise the exact text wins, and what matches none is a
    constraint, of which the first match is the answer. Raises ValueError when it is no constraint either.
    """
    if wanted in {"", "latest"}:
        wanted = "*"
    elif wanted in versions:
        return wanted
    constraint = parse_constraint(wanted)
    for text in versions:
        try:
            version = parse_version(text)
        except ValueError:
            continue  # an import may have brought it; Helm passes it over
        if constraint.check(version):
            return text
    return None
