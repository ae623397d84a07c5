"""Helm's `repositories.yaml`: which repositories a user knows, and by which credentials. Shared with helm.

Keys that this file does not know are kept as they are. Writers take the lock that helm takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from helm_client.errors import ConfigError
from helm_client.transfer import Access, write_whole

if sys.platform == "win32":
    import msvcrt

    def _take_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_LOCK_SECONDS = 30.0
_KEYS = {
    "name": "name", "url": "url", "username": "username", "password": "password", "certFile": "cert_file",
    "keyFile": "key_file", "caFile": "ca_file", "insecure_skip_tls_verify": "insecure_skip_tls_verify",
    "pass_credentials_all": "pass_credentials_all",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One repository: its name here, its URL, and how to reach it. `replaces` are dead addresses it stands in for."""

    name: str
    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    insecure_skip_tls_verify: bool = False
    pass_credentials_all: bool = False
    replaces: tuple[str, ...] = ()

    def access(self, *, timeout: float = 120.0) -> Access:
        """Answer how to reach it; `timeout` in seconds."""
        return Access(
            self.username, self.password, self.ca_file, self.cert_file, self.key_file, self.insecure_skip_tls_verify,
            self.pass_credentials_all, timeout,
        )  # fmt: skip

    def complete(self, access: Access) -> Access:
        """Answer how to reach it: what the caller says, and the entry's word for the rest."""
        known = self.access(timeout=access.timeout)
        return replace(
            known,
            username=access.username or known.username,
            password=access.password or known.password,
            ca_file=access.ca_file or known.ca_file,
            cert_file=access.cert_file or known.cert_file,
            key_file=access.key_file or known.key_file,
            insecure_skip_tls_verify=access.insecure_skip_tls_verify or known.insecure_skip_tls_verify,
            pass_credentials=access.pass_credentials or known.pass_credentials,
        )


class Repositories:
    """The file at `path`. It need not exist; changes are written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> list[Entry]:
        """Answer the repositories in the order of the file. Raises ConfigError."""
        return [_to_entry(listed) for listed in _entries(self._load())]

    def find(self, name: str) -> Entry | None:
        """Answer a repository by its name."""
        return next((entry for entry in self.list() if entry.name == name), None)

    def find_by_url(self, url: str) -> Entry | None:
        """Answer the repository that has a URL or replaces it; slashes at the end do not count."""
        wanted = url.rstrip("/")
        for entry in self.list():
            if wanted in (entry.url.rstrip("/"), *(old.rstrip("/") for old in entry.replaces)):
                return entry
        return None

    def put(self, entry: Entry) -> None:
        """Add a repository, or replace the one of its name. Raises ConfigError."""
        with self._changing() as document:
            listed = _entries(document)
            old = next((one for one in listed if one.get("name") == entry.name), None)
            new = {key: getattr(entry, name) for key, name in _KEYS.items()}
            if entry.replaces:
                new["replaces"] = list(entry.replaces)
            if old is None:
                listed.append(new)
            else:
                old.update(new)
            document["repositories"] = listed

    def remove(self, name: str) -> bool:
        """Remove a repository; answer whether it was there."""
        with self._changing() as document:
            listed = _entries(document)
            document["repositories"] = [one for one in listed if one.get("name") != name]
            return len(document["repositories"]) < len(listed)

    def _load(self) -> dict[str, Any]:
        try:
            document = yaml.safe_load(self.path.read_bytes()) or {}
        except FileNotFoundError:
            return {}
        except (OSError, yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"couldn't load repositories file ({self.path}): {error}") from error
        if not isinstance(document, dict):
            raise ConfigError(f"couldn't load repositories file ({self.path}): it is no mapping")
        return document

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.with_suffix(".lock")):
            document = self._load()
            yield document
            document.setdefault("apiVersion", "")
            document["generated"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            text = yaml.safe_dump(document, sort_keys=True, allow_unicode=True, width=float("inf"))
            write_whole(self.path, text.encode(), mode=0o600)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold helm's lock (gofrs/flock): on a file beside the other, or on Windows on its first byte."""
    end = time.monotonic() + _LOCK_SECONDS
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # Python's descriptors are not inherited
    try:
        while True:
            try:
                _take_lock(descriptor)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise ConfigError(f"another program has held {path} for {_LOCK_SECONDS:g} s") from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    listed = document.get("repositories") or []
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _to_entry(listed: dict[str, Any]) -> Entry:
    texts = {name: str(listed.get(key) or "") for key, name in _KEYS.items() if not key.endswith(("verify", "_all"))}
    replaces = listed.get("replaces") or []
    return Entry(
        **texts,
        insecure_skip_tls_verify=listed.get("insecure_skip_tls_verify") is True,
        pass_credentials_all=listed.get("pass_credentials_all") is True,
        replaces=tuple(map(str, replaces)) if isinstance(replaces, list) else (),
    )
