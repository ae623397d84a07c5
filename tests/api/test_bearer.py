"""Bearer tokens: what grants, what does not, and which token a refusal asks for."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jmespath
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from app.domain.access import ENTRY_TYPE, SEARCH_PATH, Action, token_allows
from app.errors import AppError
from app.routes.gate import read_public_key
from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart

ACCOUNT = {"basic_auth_user": "me", "basic_auth_pass": "secret"}
DENIED = b'{"error":"unauthorized"}'
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer the file of the token server's public key."""
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    path.write_bytes(
        KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return path


@pytest.fixture(scope="module")
def certificate_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer the file of a certificate with that key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    path = tmp_path_factory.mktemp("keys") / "certificate.pem"
    path.write_bytes(builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def grant(name: str, *actions: str, **claims: Any) -> dict[str, Any]:
    """Answer the claims that grant actions on one repository."""
    return {"access": [{"type": ENTRY_TYPE, "name": name, "actions": list(actions)}], **claims}


def sign_token(claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256") -> str:
    """Answer a token."""
    return jwt.encode(claims, key, algorithm)


def bearer_flags(key_file: Path, **more: str) -> dict[str, str]:
    """Answer the settings for bearer tokens."""
    realm = {"auth_realm": "https://auth.test/token", "auth_service": "charts.test"}
    return {"bearer_auth": "true", "auth_cert_path": str(key_file), **realm, **more}


def challenge(scope: str) -> str:
    """Answer the header that a refused caller gets."""
    return f'Bearer realm="https://auth.test/token",service="charts.test",scope="artifact-repository:{scope}"'


@pytest.fixture
async def guarded(rooms: Rooms, key_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Answer a client of a house that wants tokens; a token wins over the account that is set too."""
    async with rooms(**bearer_flags(key_file, **ACCOUNT)) as (client, _house):
        yield client


async def get_status(client: httpx.AsyncClient, token: str, path: str = "/index.yaml", prefix: str = "Bearer ") -> int:
    """Answer the status that a token gets."""
    return (await ask(client, "GET", path, headers={"authorization": f"{prefix}{token}"})).status


SCOPES = [
    *(
        ("GET", "/index.yaml", "repo:pull"),
        ("GET", "/org/team/index.yaml", "org/team:pull"),
        ("GET", "/", "repo:pull"),
    ),
    *(
        ("GET", "/org/charts/x.tgz", "org:pull"),
        ("POST", "/api/org/charts", "org:push"),
        ("POST", "/api/prov", "repo:push"),
    ),
    *(("DELETE", "/api/a/b/charts/c/1.0.0", "a/b:push"), ("GET", "/api/search", "repo:pull")),
    *(("GET", "/org/~latest-3/index.yaml", "org:pull"), ("HEAD", "/api/org/charts/x", "org:pull")),
    ("GET", '/a"b%5C/index.yaml', r"a\"b\\:pull"),
]


async def test_a_refusal_says_which_token_would_do(guarded: httpx.AsyncClient) -> None:
    account = base64.b64encode(b"me:secret").decode()
    for method, path, scope in SCOPES:
        for value in ("", f"Basic {account}", "Bearer nonsense"):
            reply = await ask(guarded, method, path, headers={"authorization": value} if value else {})
            assert (reply.status, reply.headers["www-authenticate"]) == (401, challenge(scope)), path
            assert reply.body in (DENIED, b"")


async def test_a_token_grants_what_its_claims_say(guarded: httpx.AsyncClient) -> None:
    pull, push_only = sign_token(grant("org", "pull")), sign_token(grant("org", "push"))
    assert await get_status(guarded, pull, "/org/index.yaml") == 200
    assert await get_status(guarded, pull, "/org/~latest-1/index.yaml") == 200
    for path in ("/index.yaml", "/org/team/index.yaml", "/orga/index.yaml", "/repo/index.yaml"):
        assert await get_status(guarded, pull, path) == 401
    assert await get_status(guarded, push_only, "/org/index.yaml") == 401
    archive = make_chart()
    refused = await guarded.post("/api/org/charts", content=archive, headers={"authorization": f"Bearer {pull}"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, challenge("org:push"))
    guarded.headers["authorization"] = f"Bearer {push_only}"
    await push(guarded, archive, to="/api/org/charts")
    assert await get_status(guarded, sign_token(grant("repo", "pull"))) == 200


async def test_the_scheme_is_read_in_any_case_and_may_be_missing(guarded: httpx.AsyncClient) -> None:
    for prefix in ("Bearer ", "bearer ", "BEARER ", ""):
        assert await get_status(guarded, sign_token(grant("repo", "pull")), prefix=prefix) == 200


async def test_every_rsa_algorithm_will_do(guarded: httpx.AsyncClient) -> None:
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        assert await get_status(guarded, sign_token(grant("repo", "pull"), algorithm=algorithm)) == 200


def make_times() -> list[tuple[dict[str, Any], int]]:
    now = time.time()
    return [
        ({"exp": now + 600}, 200),
        ({"exp": now - 600}, 401),
        ({"nbf": now - 600}, 200),
        ({"nbf": now + 600}, 401),
        ({"iat": now - 600}, 200),
        ({"aud": "someone else"}, 200),
        ({"iss": "anyone"}, 200),
        ({"aud": ["a", "b"]}, 200),
        ({"sub": 7, "jti": 8}, 200),
        ({"exp": "soon"}, 401),
    ]


async def test_times_count_where_they_are_given_and_nothing_else(guarded: httpx.AsyncClient) -> None:
    for claims, status in make_times():
        assert await get_status(guarded, sign_token(grant("repo", "pull", **claims))) == status, claims


SHAPES: list[Any] = [
    *(None, [], {}, "pull", 7, [None], ["pull"], [[]], [{}], [{"name": "repo", "actions": ["pull"]}]),
    [{"type": "other", "name": "repo", "actions": ["pull"]}],
    [{"type": ENTRY_TYPE, "name": "*", "actions": ["pull"]}],
    [{"type": ENTRY_TYPE, "name": "repo", "actions": ["*"]}],
    [{"type": ENTRY_TYPE, "name": "repo", "actions": ["Pull", "pull,push"]}],
    [{"type": ENTRY_TYPE, "name": "repo", "actions": None}],
    [{"type": ENTRY_TYPE, "name": ["repo"], "actions": ["pull"]}],
]


async def test_claims_of_any_other_shape_grant_nothing(guarded: httpx.AsyncClient) -> None:
    for access in SHAPES:
        claims = {} if access is None else {"access": access}
        assert await get_status(guarded, sign_token(claims)) == 401, access


async def test_a_token_that_others_signed_or_nobody_is_refused(guarded: httpx.AsyncClient, key_file: Path) -> None:
    claims = grant("repo", "pull")
    header, body, signature = sign_token(claims).split(".")
    # The public key is no secret: it must not do as one (HS256).
    symmetric = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    mac = hmac.digest(key_file.read_bytes(), f"{symmetric}.{body}".encode(), "sha256")
    forged = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    other_body = base64.urlsafe_b64encode(b'{"access":[]}').rstrip(b"=").decode()
    for token in (
        sign_token(claims, OTHER_KEY), jwt.encode(claims, "", "none"), f"{header}.{other_body}.{signature}",
        f"{symmetric}.{body}.{forged}", f"{header}.{body}.", "a.b.c", "", "....",
    ):  # fmt: skip
        assert await get_status(guarded, token) == 401, token


async def test_a_certificate_is_as_good_as_a_key(rooms: Rooms, certificate_file: Path) -> None:
    async with rooms(**bearer_flags(certificate_file)) as (client, _house):
        assert await get_status(client, sign_token(grant("repo", "pull"))) == 200
        assert await get_status(client, sign_token(grant("repo", "pull"), OTHER_KEY)) == 401


async def test_reading_may_be_open_while_writing_wants_a_token(rooms: Rooms, key_file: Path) -> None:
    async with rooms(**bearer_flags(key_file, auth_anonymous_get="true")) as (client, _house):
        for method, path in (("GET", "/index.yaml"), ("HEAD", "/api/charts"), ("GET", "/api/search"), ("GET", "/")):
            assert (await ask(client, method, path)).status == 200
        reply = await ask(client, "POST", "/api/charts")
        assert (reply.status, reply.headers["www-authenticate"]) == (401, challenge("repo:push"))


async def test_the_actions_may_lie_elsewhere_in_the_token(rooms: Rooms, key_file: Path) -> None:
    path = "claims.grants[?ns=='$NAMESPACE'&&kind=='$ACCESS_ENTRY_TYPE'].can[]"
    async with rooms(**bearer_flags(key_file, auth_actions_search_path=path)) as (client, _house):
        granted = {"claims": {"grants": [{"ns": "org", "kind": ENTRY_TYPE, "can": ["pull"]}]}}
        assert await get_status(client, sign_token(granted), "/org/index.yaml") == 200
        assert await get_status(client, sign_token(granted), "/index.yaml") == 401
        assert await get_status(client, sign_token(grant("org", "pull")), "/org/index.yaml") == 401
        # A quote in a tenant's name does not end the string in the path.
        assert await get_status(client, sign_token(granted), "/x'||ns=='org/index.yaml") == 401


async def test_search_shows_only_repositories_that_the_token_grants(rooms: Rooms, key_file: Path) -> None:
    names = ("repo", "open", "shut")
    everything = {"access": [{"type": ENTRY_TYPE, "name": name, "actions": ["pull", "push"]} for name in names]}
    async with rooms(**bearer_flags(key_file)) as (client, _house):
        client.headers["authorization"] = f"Bearer {sign_token(everything)}"
        await push(client, make_chart("root"))
        await push(client, make_chart("seen"), to="/api/open/charts")
        await push(client, make_chart("hidden"), to="/api/shut/charts")
        assert (await client.get("/api/search")).json()["total"] == 3
        some = {"access": [entry for entry in everything["access"] if entry["name"] != "shut"]}
        client.headers["authorization"] = f"Bearer {sign_token(some)}"
        for query in ("", "?q=e", "?q=hidden"):
            found = (await client.get(f"/api/search{query}")).json()
            assert found["total"] == len(found["items"])
            assert "hidden" not in {item["name"] for item in found["items"]}
        page = (await client.get("/")).text
        assert "seen" in page
        assert "hidden" not in page
        assert "hidden" not in (await client.get("/api/chartsvc/v1/charts/search?q=")).text


def test_a_file_without_an_rsa_key_is_refused_at_the_start(tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = curve.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content, words in ((b"nonsense", "holds no public key"), (pem, "holds no RSA key")):
        (tmp_path / "key.pem").write_bytes(content)
        with pytest.raises(AppError, match=words):
            read_public_key(tmp_path / "key.pem")
    with pytest.raises(AppError, match="holds no public key"):
        read_public_key(tmp_path / "missing.pem")


async def test_a_search_path_that_is_none_is_refused_at_the_start(rooms: Rooms, key_file: Path) -> None:
    with pytest.raises(AppError, match="auth_actions_search_path is no JMESPath"):
        async with rooms(**bearer_flags(key_file, auth_actions_search_path="access[?")):
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["pull", "push", "repo", ENTRY_TYPE, "org"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["access", "name", "type", "actions"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.lists(st.fixed_dictionaries({"type": JSON | st.just(ENTRY_TYPE), "name": JSON, "actions": JSON}) | JSON) | JSON
)
def test_the_default_search_path_in_python_grants_what_jmespath_grants(access: Any) -> None:
    for repository in ("", "org"):
        path = SEARCH_PATH.replace("$NAMESPACE", repository or "repo").replace("$ACCESS_ENTRY_TYPE", ENTRY_TYPE)
        found = jmespath.search(path, {"access": access})
        expected = isinstance(found, list) and "pull" in found
        assert token_allows({"access": access}, repository, Action.PULL) == expected
