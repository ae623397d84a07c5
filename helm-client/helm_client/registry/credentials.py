"""Passwords for registries, where helm keeps them: `registry/config.json`, in docker's form; docker's own is read, too.

Other keys of the file stay as they are. Programs that docker asks for passwords (`docker-credential-*`) are asked.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from helm_client.environment import Environment
from helm_client.errors import ConfigError
from helm_client.transfer import write_whole

_SECONDS = 30.0
_TOKEN_USER = "<token>"  # noqa: S105 - what docker's helpers answer instead of a user name


class Login(NamedTuple):
    """Who we are at a registry: user and password, or only an identity token."""

    username: str
    password: str
    token: str = ""


class Credentials:
    """The logins of one user. Writes go to `path`; `others` are only read."""

    def __init__(self, path: Path, *others: Path) -> None:
        self.path = path
        self._others = others

    @classmethod
    def of(cls, environment: Environment) -> Credentials:
        """Answer the logins that helm would use."""
        home = Path(environment.variables.get("HOME") or Path.home())
        docker = Path(environment.variables.get("DOCKER_CONFIG") or home / ".docker")
        return cls(environment.registry_config, docker / "config.json")

    def find(self, host: str) -> Login | None:
        """Answer the login for a registry (`host` or `host:port`). Raises ConfigError for files that are broken."""
        for path in (self.path, *self._others):
            document = _load(path)
            if (helper := _find_helper(document, host)) and (found := _ask_helper(helper, host)):
                return found
            for listed in _listed(document, host):
                if found := _decode(listed):
                    return found
        return None

    def store(self, host: str, login: Login) -> None:
        """Keep a login, readable for the user alone."""
        document = _load(self.path)
        pair = f"{login.username}:{login.password}".encode()
        document.setdefault("auths", {})[host] = {"auth": base64.b64encode(pair).decode()}
        self._save(document)

    def remove(self, host: str) -> bool:
        """Forget a login; answer whether there was one."""
        document = _load(self.path)
        if document.get("auths", {}).pop(host, None) is None:
            return False
        self._save(document)
        return True

    def _save(self, document: dict[str, Any]) -> None:
        write_whole(self.path, json.dumps(document, indent="\t").encode(), mode=0o600)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"the logins of registries in {path} cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
        raise ConfigError(f"the logins of registries in {path} cannot be read: it is no mapping")
    return document


def _listed(document: dict[str, Any], host: str) -> Iterator[dict[str, Any]]:
    """Answer what is listed for a host; docker writes addresses, too (`https://host/v1/`)."""
    for key, listed in document.get("auths", {}).items():
        plain = key.partition("://")[2] or key
        if plain.partition("/")[0] == host and isinstance(listed, dict):
            yield listed


def _decode(listed: dict[str, Any]) -> Login | None:
    token = str(listed.get("identitytoken") or "")
    try:
        user, _, password = base64.b64decode(listed.get("auth") or "").decode().partition(":")
    except ValueError:
        return None
    user, password = user or str(listed.get("username") or ""), password or str(listed.get("password") or "")
    return Login(user, password.rstrip("\0"), token) if (user and password) or token else None


def _find_helper(document: dict[str, Any], host: str) -> str:
    return str((document.get("credHelpers") or {}).get(host) or document.get("credsStore") or "")


def _ask_helper(name: str, host: str) -> Login | None:
    """Ask a credential helper; one that knows nothing, or is not there, has no login."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{name!r} is no name of a credential helper")
    try:
        done = subprocess.run(  # noqa: S603 - the user's own configuration names it
            [f"docker-credential-{name}", "get"], input=host.encode(), capture_output=True, timeout=_SECONDS, check=True
        )
        found = json.loads(done.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return None
    return Login("", "", secret) if user == _TOKEN_USER else Login(user, secret)
