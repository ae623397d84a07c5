"""Who is it? Reads the Authorization header, for every door: open, one Basic account, or bearer tokens."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.access import (
    ENTRY_TYPE,
    Action,
    check_search_path,
    grants,
    namespace_of,
    registry_token_allows,
    token_allows,
)
from app.errors import AppError, Kind


class Unauthorized(AppError):
    """The caller must say who they are; `challenge` is the WWW-Authenticate header."""

    def __init__(self, challenge: str) -> None:
        super().__init__(Kind.UNAUTHORIZED, "unauthorized")
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets everybody do everything; the other gates refuse. `anonymous_pull` opens reading to all."""

    anonymous_pull: bool = True

    @property
    def reads_are_private(self) -> bool:
        """Whether a read needs credentials, so that shared caches must not keep it."""
        return not self.anonymous_pull

    def admit(self, authorization: str | None, repository: str, action: Action) -> str:
        """Answer the caller's name ("" for anonymous). Raises Unauthorized."""
        if action is Action.PULL and self.anonymous_pull:
            return ""
        return self._identify(authorization, repository, action)

    def readable(self, authorization: str | None) -> Callable[[str], bool] | None:
        """Answer which repositories a caller that `admit` let in may read: a question, or None for all."""
        return None

    def _identify(self, authorization: str | None, repository: str, action: Action) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class BasicGate(Gate):
    """One account that may pull and push, as in ChartMuseum."""

    user: str = ""
    password: str = ""

    def _identify(self, authorization: str | None, repository: str, action: Action) -> str:
        user = self.find_user(authorization or "")
        if user is None:
            raise Unauthorized('Basic realm="ChartMuseum"')
        return user

    def find_user(self, authorization: str) -> str | None:
        """Answer whose Basic credentials these are; None if they are wrong."""
        scheme, _, value = authorization.partition(" ")
        given = _decode_basic(value) if scheme.lower() == "basic" else b""
        return self.user if self._matches(given) else None

    def knows(self, user: str, password: str) -> bool:
        """Answer whether this is the account."""
        return self._matches(f"{user}:{password}".encode())

    def _matches(self, given: bytes) -> bool:
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


def _decode_basic(value: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


@dataclass(frozen=True, slots=True)
class BearerGate(Gate):
    """Tokens of another server (JWT, RSA), as in ChartMuseum: github.com/chartmuseum/auth."""

    realm: str = ""
    service: str = ""
    public_key: Any = None
    search_path: str = ""

    def __post_init__(self) -> None:
        try:
            check_search_path(self.search_path)
        except ValueError as error:
            text = f"auth_actions_search_path is no JMESPath, so nobody could enter: {error}"
            raise AppError(Kind.INVALID, text) from error

    def readable(self, authorization: str | None) -> Callable[[str], bool] | None:
        """Answer which repositories the token grants."""
        if self.anonymous_pull:
            return None
        return grants(self._read_claims(authorization or "") or {}, Action.PULL, self.search_path)

    def _identify(self, authorization: str | None, repository: str, action: Action) -> str:
        claims = self._read_claims(authorization or "")
        if claims is None or not token_allows(claims, repository, action, self.search_path):
            namespace = namespace_of(repository).replace("\\", "\\\\").replace('"', '\\"')
            scope = f"{ENTRY_TYPE}:{namespace}:{action.value}"
            raise Unauthorized(f'Bearer realm="{self.realm}",service="{self.service}",scope="{scope}"')
        return str(claims.get("sub", ""))

    def admit_registry(self, authorization: str, repository: str, name: str, action: Action) -> str:
        """Answer the caller's name at the OCI door; a token may grant the repository or the OCI name alone.

        Raises Unauthorized. Without a `name` any token that is ours will do: clients look for the challenge there.
        """
        claims = self._read_claims(authorization) if authorization else None
        if claims is not None and (
            not name or registry_token_allows(claims, repository, name, action, self.search_path)
        ):
            return str(claims.get("sub", ""))
        if name and action is Action.PULL and self.anonymous_pull:
            return ""
        raise Unauthorized(f'Bearer realm="{self.realm}",service="{self.service}"{render_scope(name, action)}')

    def _read_claims(self, authorization: str) -> dict[str, Any] | None:
        import jwt  # only servers with bearer tokens pay for it

        token = authorization[7:] if authorization[:7].lower() == "bearer " else authorization
        algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
        # As ChartMuseum: times count where present, audience and issuer do not.
        options: Any = {"verify_aud": False, "verify_iss": False, "verify_sub": False, "verify_jti": False}
        try:
            claims: dict[str, Any] = jwt.decode(token.strip(), self.public_key, algorithms, options)
        except jwt.PyJWTError:
            return None
        return claims


def render_scope(name: str, action: Action) -> str:
    """Answer the end of a challenge at the OCI door: what is wanted of an OCI name ("": nothing yet)."""
    return f',scope="repository:{name}:{"pull" if action is Action.PULL else "pull,push"}"' if name else ""


def read_public_key(path: Path) -> Any:
    """Read an RSA public key, or a certificate's, from a PEM file. Raises AppError INVALID."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        content = path.read_bytes()
        if b"BEGIN CERTIFICATE" in content:
            key: Any = load_pem_x509_certificate(content).public_key()
        else:
            key = load_pem_public_key(content)
    except (OSError, ValueError) as error:
        raise AppError(Kind.INVALID, f"{path} holds no public key or certificate in PEM: {error}") from error
    if not isinstance(key, RSAPublicKey):
        raise AppError(Kind.INVALID, f"{path} holds no RSA key, which bearer tokens are signed with here (RS256)")
    return key
