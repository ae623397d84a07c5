"""A folder of archives, on disk or below a prefix of a bucket: ChartMuseum's layout, or a static repository's.

Each folder is a repository, as ChartMuseum's tenants are, with one exception: what an index lists below its own folder
(`packages/a-1.0.0.tgz`, the `charts/` of an export) belongs to the repository of that index.
"""

from __future__ import annotations

import asyncio
import posixpath
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from app.domain import times
from app.domain.foreign import Listed, list_foreign_index, url_filename
from app.errors import AppError, Kind
from app.upstream.protocol import Offer
from storage import Closeable, InlineReader, ObjectNotFound, ObjectStat, Storage, read_all

_OURS = ".chartroom"
_INDEXES = ("index.yaml", "index-cache.yaml")  # the last one that lists a file wins: ChartMuseum's own
_SIGNED = ".prov"
_MAX_PROVENANCE = 1024 * 1024  # bytes; real ones have two thousand


class Directory:
    """The folder or prefix at the root of a storage, which is closed with it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list_offers(self) -> list[Offer]:
        """Answer every archive with its repository and `created`: an index's word, the file's time otherwise."""
        found = _Found()
        async for stat in self._storage.scan():
            found.add(stat)
        for folder in sorted(found.indexes, key=lambda path: path.count("/")):  # a nearer index overrides
            for name in _INDEXES:
                if name in found.indexes[folder]:
                    found.claim(folder, await self._read_index(folder + name))
        return found.list_offers()

    async def read_archive(self, offer: Offer, limit: int) -> bytes:
        """Answer an archive's bytes. Raises AppError TOO_LARGE, NOT_FOUND when it vanished, StorageError."""
        return await self._read(offer.address, limit)

    async def read_provenance(self, offer: Offer) -> bytes | None:
        """Answer the bytes of the file beside it."""
        address = offer.address.removesuffix(_SIGNED) + _SIGNED
        return await self._read(address, _MAX_PROVENANCE) if offer.signed else None

    async def close(self) -> None:
        """Let go of the storage."""
        if isinstance(self._storage, Closeable):
            self._storage.close()

    async def _read(self, key: str, limit: int) -> bytes:
        try:
            if isinstance(self._storage, InlineReader) and (at_hand := self._storage.read_now(key, limit)) is not None:
                return at_hand
            content = b"".join([chunk async for chunk in await self._storage.open(key, 0, limit + 1)])
        except ObjectNotFound as error:
            raise AppError(Kind.NOT_FOUND, "it vanished during the import") from error
        if len(content) > limit:
            raise AppError(Kind.TOO_LARGE, f"it is larger than {limit} bytes, the limit of this server")
        return content

    async def _read_index(self, key: str) -> list[Listed]:
        content = await read_all(self._storage, key)
        try:
            return await asyncio.to_thread(list_foreign_index, content)
        except ValueError:
            return []  # then the files speak for themselves


@dataclass(slots=True)
class _Claim:
    folder: str
    created: int | None


@dataclass(slots=True)
class _Found:
    """What a look through the folder came to. Folders end in a slash; the top is ""."""

    archives: dict[str, ObjectStat] = field(default_factory=dict)
    signatures: set[str] = field(default_factory=set)
    indexes: dict[str, set[str]] = field(default_factory=dict)
    claims: dict[str, _Claim] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def add(self, stat: ObjectStat) -> None:
        """Note a file if it is one of ours to know."""
        folder, name = posixpath.split(stat.key)
        if _OURS in folder.split("/"):
            return
        if name.endswith(".tgz"):
            self.archives[stat.key] = stat
        elif name.endswith(".tgz" + _SIGNED):
            self.signatures.add(stat.key)
        elif name in _INDEXES:
            self.indexes.setdefault(_slashed(folder), set()).add(name)

    def claim(self, folder: str, listed: list[Listed]) -> None:
        """Note what the index of a folder lists: beside it, else below it."""
        for one in listed:
            key = folder + url_filename(one.url)
            if key not in self.archives:
                key = self._find_below(folder, one.url)
            if not key:
                continue
            self.claims[key] = _Claim(folder, one.created)
            home = _slashed(posixpath.dirname(key))
            if home != folder and home not in self.indexes:
                self.owners[home] = folder  # an archive there that no index lists goes with its neighbours

    def _find_below(self, folder: str, url: str) -> str:
        """Answer the archive that a URL's path ends in, by its longest end: the host's own folders may lead it."""
        try:
            path = posixpath.normpath(unquote(urlsplit(url).path))
        except ValueError:
            return ""
        parts = path.strip("/").split("/")
        ends = (folder + "/".join(parts[at:]) for at in range(len(parts)))
        return next((end for end in ends if end in self.archives), "")

    def list_offers(self) -> list[Offer]:
        """Answer the archives, then provenance files that have none beside them."""
        offers = [self._offer(stat) for _, stat in sorted(self.archives.items())]
        alone = (key for key in sorted(self.signatures) if key.removesuffix(_SIGNED) not in self.archives)
        for key in alone:
            name = posixpath.basename(key).removesuffix(_SIGNED)
            offers.append(Offer(self._repository(key), name, key, signed=True, archive=False))
        return offers

    def _offer(self, stat: ObjectStat) -> Offer:
        claim = self.claims.get(stat.key)
        created = claim.created if claim else None
        if created is None:
            created = times.from_datetime(stat.modified)
        signed = stat.key + _SIGNED in self.signatures
        return Offer(self._repository(stat.key), posixpath.basename(stat.key), stat.key, created, signed=signed)

    def _repository(self, key: str) -> str:
        claim = self.claims.get(key)
        home = _slashed(posixpath.dirname(key))
        folder = claim.folder if claim else self.owners.get(home, home)
        return folder.removesuffix("/")


def _slashed(folder: str) -> str:
    return f"{folder}/" if folder else ""
