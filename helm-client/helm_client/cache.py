"""Helm's cache of indexes, `NAME-index.yaml` and `NAME-charts.txt`, and beside it what we read from them.

An index is parsed once: its versions lie in `helm-client/NAME.json`, with the size and time of the file they are from,
and with the ETag by which the repository can be asked whether it has changed. Whoever changes the index, helm included,
makes that file out of date, no more.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple
from pathlib import Path
from typing import Any

from helm_client.errors import ConfigError, InvalidIndex
from helm_client.index import ChartVersion, Index, read_index
from helm_client.repository import Repository
from helm_client.transfer import write_whole

_FORMAT = 2


class Cache:
    """The indexes below `folder`, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def index_path(self, name: str) -> Path:
        """Answer where the index of a repository lies."""
        return self.folder / f"{name}-index.yaml"

    def refresh(self, name: str, repository: Repository) -> bool:
        """Bring the index of a repository up to date; answer whether it had changed.

        Raises RepositoryUnavailable, InvalidIndex: the old one stays then.
        """
        kept = self._load(name)
        etag = kept.get("etag", "") if kept.get("url") == repository.url else ""
        content, found = repository.fetch_index(etag)
        if content is None:
            return False
        index = read_index(content)
        write_whole(self.index_path(name), content)
        write_whole(
            self.folder / f"{name}-charts.txt", "".join(f"{chart}\n" for chart in sorted(index.charts)).encode()
        )
        self._keep(name, index, {"etag": found, "url": repository.url})
        return True

    def load(self, name: str) -> Index:
        """Answer the cached index of a repository. Raises ConfigError when there is none, InvalidIndex."""
        kept = self._load(name)
        if kept:
            return Index({chart: tuple(map(_to_version, listed)) for chart, listed in kept["charts"].items()})
        try:
            index = read_index(self.index_path(name).read_bytes())
        except FileNotFoundError as error:
            raise ConfigError(f"no cached repo found. (try 'helm-client repo update'): {error}") from error
        except InvalidIndex as error:
            raise InvalidIndex(f"{self.index_path(name)}: {error}") from error
        self._keep(name, index, {})
        return index

    def list_charts(self, name: str) -> list[str]:
        """Answer the names of a repository's charts as completion wants them: at once, without its index."""
        try:
            return (self.folder / f"{name}-charts.txt").read_text().split()
        except OSError:
            return []

    def remove(self, name: str) -> None:
        """Remove everything that is kept of a repository."""
        for path in (self.index_path(name), self.folder / f"{name}-charts.txt", self._place(name)):
            path.unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return self.folder / "helm-client" / f"{name}.json"

    def _stamp(self, name: str) -> list[int]:
        info = os.stat(self.index_path(name))
        return [info.st_size, info.st_mtime_ns, info.st_ino]

    def _load(self, name: str) -> dict[str, Any]:
        try:
            kept = json.loads(self._place(name).read_bytes())
            return kept if kept["stamp"] == [_FORMAT, *self._stamp(name)] else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _keep(self, name: str, index: Index, more: dict[str, str]) -> None:
        charts = {chart: [astuple(version) for version in versions] for chart, versions in index.charts.items()}
        document = {"stamp": [_FORMAT, *self._stamp(name)], "charts": charts, **more}
        try:
            write_whole(self._place(name), json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        except OSError:  # a cache that cannot be written is slower, not wrong
            return


def _to_version(values: list[Any]) -> ChartVersion:
    """Answer a version from its fields in JSON, where tuples have become lists."""
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    return ChartVersion(*fields)
