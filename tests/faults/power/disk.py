"""The disk under a recorded log: files and names, and the states in which a power loss may leave them.

What POSIX promises and nothing more. A sync of a file makes its bytes and its size durable, not its name. A name that
is made, moved or taken away is durable when the folder is synced in which it is made or taken away (for a rename, the
folder of the new name); `syncfs` makes everything durable. Of names that were not synced any may survive a crash
without those before it. A rename is atomic: the file has its old name or its new one.
What is below a folder whose own name is lost, is lost.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from tests.faults.power.pages import Change, File

_RECORD = struct.Struct("=IHHHHI5Q")
_MAGIC = 0x504F5752
_KEEP_SIZE, _PUNCH, _ZERO = 1, 2, 16  # modes of fallocate(2)


class Kind(IntEnum):
    """What a record says, as in `recorder.c`."""

    CREATE = 1
    MKDIR = 2
    WRITE = 3
    TRUNCATE = 4
    ALLOCATE = 5
    RENAME = 6
    LINK = 7
    REMOVE = 8
    SYNC = 9
    SYNC_ALL = 10
    MAP = 11
    UNKNOWN = 12
    ANSWER = 13  # the server acknowledged the request `name`


@dataclass(frozen=True, slots=True)
class Record:
    """One operation: where it begins and ends in the log; what `a` to `d` are depends on its kind."""

    place: int
    end: int
    kind: Kind
    a: int
    b: int
    c: int
    d: int
    name: str
    other: str
    content: bytes


def read_log(path: Path) -> list[Record]:
    """Read a log. Raises ValueError where it is damaged."""
    return list(_parse(path.read_bytes()))


def _parse(log: bytes) -> Iterator[Record]:
    at = 0
    while at < len(log):
        magic, kind, length, other_length, _, _process, a, b, c, d, size = _RECORD.unpack_from(log, at)
        names = at + _RECORD.size
        content = names + length + other_length
        end = content + size
        if magic != _MAGIC or end > len(log):
            raise ValueError(f"the log is damaged at byte {at}")
        name, other = log[names : names + length].decode(), log[names + length : content].decode()
        yield Record(at, end, Kind(kind), a, b, c, d, name, other, log[content:end])
        at = end


Names = dict[str, "File | Folder"]


@dataclass(slots=True, eq=False)
class Folder:
    """A folder: the names in it that are durable."""

    names: Names = field(default_factory=dict)


@dataclass(slots=True)
class _Naming:
    """A change of names that is not durable yet: (folder, name, what it names then or had named).

    An entry is taken away only while it names what it named.
    """

    place: int
    anchor: Folder  # syncing it makes this durable
    added: tuple[Folder, str, File | Folder] | None = None
    removed: tuple[Folder, str, File | Folder] | None = None


class Disk:
    """Follows a log. `inodes` says which number each file of `base`, the folder before the log, had there."""

    def __init__(self, root: int, base: Path, inodes: dict[str, int]) -> None:
        self.root = Folder()
        self.end = 0  # of the last record, in the log
        self._inodes: dict[int, File | Folder] = {root: self.root}
        self._pending: list[_Naming] = []
        for name, inode in sorted(inodes.items()):
            path = base / name
            node: File | Folder = Folder() if path.is_dir() else File(bytearray(path.read_bytes()))
            parent = self.root
            for part in Path(name).parent.parts:
                below = parent.names[part]
                assert isinstance(below, Folder)
                parent = below
            parent.names[path.name] = self._inodes[inode] = node

    def apply(self, record: Record) -> None:
        """Take the next record. Raises ValueError for what the model does not know."""
        self.end = record.end
        if record.kind is Kind.ANSWER:
            return
        if record.kind is Kind.UNKNOWN:
            raise ValueError(f"an operation that is not modelled: {record.name}")
        if record.kind in (Kind.CREATE, Kind.MKDIR, Kind.RENAME, Kind.LINK, Kind.REMOVE):
            self._rename(record)
        elif record.kind is Kind.SYNC_ALL:
            for node in list(self._inodes.values()):
                self._sync(node, record.b)
        elif record.kind is Kind.SYNC:
            self._sync(self._inodes[record.a], record.b)
        else:
            self._write(record)

    def _write(self, record: Record) -> None:
        file = self._inodes[record.a]
        assert isinstance(file, File)
        if record.kind is Kind.MAP:
            file.mapped = True
        elif record.kind is Kind.WRITE:
            file.pending.append(Change(record.place, record.b, record.content))
        elif record.kind is Kind.TRUNCATE:
            file.pending.append(Change(record.place, record.b, cut=True))
        elif record.d == 0:  # room for later: zeros where the file was shorter
            size = len(file.latest())
            start = max(size, record.b)
            file.pending.append(Change(record.place, start, size=max(record.b + record.c - start, 0)))
        else:
            raise ValueError(f"an operation that is not modelled: fallocate with mode {record.d}")

    def _rename(self, record: Record) -> None:
        folder = self._inodes[record.a]
        assert isinstance(folder, Folder)
        if record.kind in (Kind.CREATE, Kind.MKDIR):  # a number that another file had before may come again
            self._inodes[record.b] = Folder() if record.kind is Kind.MKDIR else File()
        if not record.name:
            return
        naming = _Naming(record.place, folder)
        if record.kind is Kind.RENAME:
            target = self._inodes[record.b]
            assert isinstance(target, Folder)
            node = self._inodes[record.c]
            naming = _Naming(record.place, target, (target, record.other, node), (folder, record.name, node))
        elif record.kind is Kind.REMOVE:
            naming.removed = (folder, record.name, self._inodes[record.b])
        else:
            naming.added = (folder, record.name, self._inodes[record.b])
        self._pending.append(naming)

    def _sync(self, node: File | Folder, place: int) -> None:
        if isinstance(node, File):
            node.sync(place)
            return
        for naming in list(self._pending):
            if naming.anchor is node and naming.place < place:
                self._settle(naming)

    def _settle(self, naming: _Naming) -> None:
        """Make a change of names durable; what was before it at the same names has no chance any more."""
        self._pending.remove(naming)
        entries = {(id(entry[0]), entry[1]) for entry in (naming.added, naming.removed) if entry}
        for earlier in self._pending:
            if earlier.place < naming.place:
                if earlier.added and (id(earlier.added[0]), earlier.added[1]) in entries:
                    earlier.added = None
                if earlier.removed and (id(earlier.removed[0]), earlier.removed[1]) in entries:
                    earlier.removed = None
        _apply_naming(naming, None)

    def crash(self, seed: int, survival: float) -> Tree:
        """Return what a power loss at this moment leaves; `survival` is the chance of what was not synced, 0 to 1."""
        draw = random.Random(seed)
        names: dict[int, Names] = {}
        for naming in self._pending:
            if draw.random() < survival:
                _apply_naming(naming, names)
        return _Crash(draw, survival, names).read(self.root)

    def latest(self) -> Tree:
        """Return the folder as every process sees it now; None for files that were written through memory."""
        names: dict[int, Names] = {}
        for naming in self._pending:
            _apply_naming(naming, names)
        return _Crash(random.Random(0), 1.0, names, hide_mapped=True).read(self.root)


Tree = dict[str, bytes | None]
"""Path below the root to content; a folder's path ends in a slash."""


def _apply_naming(naming: _Naming, copies: dict[int, Names] | None) -> None:
    """Change the names of folders: the durable ones, or copies of them by the folder's id."""

    def names_of(folder: Folder) -> Names:
        return folder.names if copies is None else copies.setdefault(id(folder), dict(folder.names))

    if naming.removed is not None:
        folder, name, node = naming.removed
        if names_of(folder).get(name) is node:
            del names_of(folder)[name]
    if naming.added is not None:
        folder, name, node = naming.added
        names_of(folder)[name] = node


@dataclass(slots=True)
class _Crash:
    draw: random.Random
    survival: float
    names: dict[int, Names]
    hide_mapped: bool = False

    def read(self, folder: Folder, path: str = "") -> Tree:
        tree: Tree = {}
        for name, node in self.names.get(id(folder), folder.names).items():
            if isinstance(node, Folder):
                tree[f"{path}{name}/"] = b""
                tree |= self.read(node, f"{path}{name}/")
            elif node.mapped and self.hide_mapped:
                tree[f"{path}{name}"] = None
            else:
                tree[f"{path}{name}"] = node.crash(self.draw, self.survival)
        return tree


def write_tree(tree: Tree, folder: Path) -> None:
    """Lay a tree down in a new folder."""
    folder.mkdir()
    for path, content in tree.items():
        if path.endswith("/"):
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content or b"")


def read_tree(folder: Path) -> Tree:
    """Return what lies in a folder."""
    tree: Tree = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        tree |= {f"{name}/": b""} if path.is_dir() else {name: path.read_bytes()}
    return tree
