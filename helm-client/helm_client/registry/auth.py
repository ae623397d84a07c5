"""How a registry is told who we are: Basic, or a token from where its challenge points (distribution's token flow).

A password goes to the registry's own host, and to the realm it names; never over http when the registry has https.
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx

from helm_client.errors import RegistryError
from helm_client.registry.credentials import Login

_CLIENT_ID = "helm-client"
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


class Challenge(NamedTuple):
    """What a 401 asks for: `basic` or `bearer`, and for the latter where a token comes from and what for."""

    scheme: str
    realm: str
    service: str
    scope: str


def parse_challenge(header: str) -> Challenge | None:
    """Read a WWW-Authenticate header; None for what is neither Basic nor Bearer."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() not in ("basic", "bearer"):
        return None
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    return Challenge(scheme.lower(), found.get("realm", ""), found.get("service", ""), found.get("scope", ""))


class Authenticator:
    """Answers challenges of one registry (`origin` is its scheme and host); tokens are kept by scope."""

    def __init__(self, http: httpx.Client, origin: str, login: Login | None) -> None:
        self._http = http
        self._origin = origin
        self.login = login
        self._tokens: dict[str, str] = {}
        self._is_basic = False

    def header(self, scope: str) -> str | None:
        """Answer what to send for a scope as far as the registry has asked before."""
        if self._is_basic and self.login:
            return _basic(self.login)
        token = self._tokens.get(scope)
        return f"Bearer {token}" if token else None

    def answer(self, challenge: str, scope: str) -> str:
        """Answer a 401: what to send now. Raises RegistryError when there is nothing to say."""
        asked = parse_challenge(challenge)
        if asked is None:
            raise RegistryError("the registry refuses and does not say which credentials it wants")
        if asked.scheme == "basic":
            if self.login is None or not self.login.username:
                raise RegistryError(f"{self._origin} asks for credentials: helm-client registry login")
            self._is_basic = True
            return _basic(self.login)
        self._tokens[scope] = self._fetch_token(asked, asked.scope or scope)
        return f"Bearer {self._tokens[scope]}"

    def _fetch_token(self, asked: Challenge, scope: str) -> str:
        self._check_realm(asked.realm)
        if self.login and self.login.token:
            return self._post_token(asked, scope, {"grant_type": "refresh_token", "refresh_token": self.login.token})
        query = urlencode({"service": asked.service, "scope": scope} if scope else {"service": asked.service})
        headers = {"Authorization": _basic(self.login)} if self.login else {}
        separator = "&" if urlsplit(asked.realm).query else "?"
        response = self._http.get(f"{asked.realm}{separator}{query}", headers=headers)
        return self._read_token(response)

    def _post_token(self, asked: Challenge, scope: str, grant: dict[str, str]) -> str:
        form = {**grant, "service": asked.service, "client_id": _CLIENT_ID, "scope": scope}
        return self._read_token(self._http.post(asked.realm, data=form))

    def _check_realm(self, realm: str) -> None:
        """Refuse to tell a password to a place that nobody could have meant."""
        registry, place = urlsplit(self._origin), urlsplit(realm)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise RegistryError(f"{self._origin} asks for a token from {realm!r}, which is no address")
        if registry.scheme == "https" and place.scheme != "https":
            raise RegistryError(f"{self._origin} asks for a token over plain http from {place.netloc}")

    def _read_token(self, response: httpx.Response) -> str:
        if response.status_code != 200:
            error = RegistryError(f"{urlsplit(str(response.url)).netloc} gives no token: status {response.status_code}")
            error.status = response.status_code
            raise error
        try:
            found = json.loads(response.content)
            return str(found.get("access_token") or found["token"])
        except (ValueError, LookupError, AttributeError) as error:
            raise RegistryError("what should be a token is none") from error


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
