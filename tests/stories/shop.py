"""What the stories of the command line share: running a command in this process, and looking at what is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson

from app.commands import export_charts, import_charts, reindex, verify
from app.settings import Settings, load_settings
from tests.charts import make_chart

Write = Callable[[str], None]


class Said(NamedTuple):
    """A command's exit code and its lines."""

    code: int
    lines: list[str]

    def find(self, word: str) -> str:
        """Answer the one line that holds a word."""
        found = [line for line in self.lines if word in line]
        assert len(found) == 1, (word, self.lines)
        return found[0]


def settings_for(store: Path | str, **flags: str) -> Settings:
    """Answer settings as a flag --storage gives them, whatever the environment says."""
    return load_settings({**flags, "storage": str(store)}, {})


async def run_import(store: Path | str, source: Path | str, repository: str = "", **flags: str) -> Said:
    """Run `chartroom import`."""
    return await _run(lambda write: import_charts(settings_for(store, **flags), str(source), repository, write))


async def run_export(store: Path | str, folder: Path, repository: str = "", **flags: str) -> Said:
    """Run `chartroom export`."""
    return await _run(lambda write: export_charts(settings_for(store, **flags), str(folder), repository, write))


async def run_verify(store: Path | str, *, repair: bool = False, **flags: str) -> Said:
    """Run `chartroom verify`."""
    return await _run(lambda write: verify(settings_for(store, **flags), write, repair=repair))


async def run_reindex(store: Path | str, **flags: str) -> Said:
    """Run `chartroom reindex`."""
    return await _run(lambda write: reindex(settings_for(store, **flags), write))


async def _run(command: Callable[[Write], Awaitable[int]]) -> Said:
    lines: list[str] = []
    return Said(await command(lines.append), lines)


async def get_entries(client: httpx.AsyncClient, repository: str = "") -> dict[str, Any]:
    """Answer the index's entries as `name-version` -> entry."""
    response = await client.get(f"/{repository}/index.yaml" if repository else "/index.yaml")
    response.raise_for_status()
    return entries_of(response.content)


def entries_of(content: bytes) -> dict[str, Any]:
    """Answer the entries of an index as `name-version` -> entry."""
    charts = orjson.loads(content)["entries"].values()
    return {f"{entry['name']}-{entry['version']}": entry for versions in charts for entry in versions}


def write_charts(folder: Path, *versions: str, name: str = "mychart") -> dict[str, bytes]:
    """Write archives of these versions into a folder; answer them by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {f"{name}-{version}.tgz": make_chart(name, version) for version in versions}
    for filename, content in written.items():
        (folder / filename).write_bytes(content)
    return written


def sha256(content: bytes) -> str:
    """Answer the digest as an index has it."""
    return hashlib.sha256(content).hexdigest()


def make_provenance(name: str, version: str, *, note: str = "") -> bytes:
    """Answer a file of a provenance file's form; no key has signed it."""
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: {name}\nversion: {version}\n\n...\nfiles: {{}}\n"
        f"-----BEGIN PGP SIGNATURE-----\n\n{note or 'wsBcBAEBCgAQ'}\n-----END PGP SIGNATURE-----\n"
    ).encode()
