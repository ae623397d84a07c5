"""Who may come in at the OCI door: private servers, open reading, ChartMuseum's tokens. One challenge for each 401."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from app.domain import tokens
from tests.charts import make_chart
from tests.live import LiveServer, serve
from tests.oci.client import Registry, code_of, digest_of

USER = ("tester", "sec:ret")
ARCHIVE = make_chart("mychart", "1.0.0")
NAME = "team/mychart"
EMPTY = {"authorization": "Basic Og=="}


def fill(server: LiveServer, **options: object) -> None:
    with Registry(server.url, NAME, **options) as registry:
        assert registry.http.post("/api/team/charts", content=ARCHIVE).status_code == 201


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    flags = {"CHARTROOM_BASIC_AUTH_USER": USER[0], "CHARTROOM_BASIC_AUTH_PASS": USER[1]}
    with serve(tmp_path_factory.mktemp("private") / "data", **flags) as server:
        fill(server, auth=USER)
        yield server


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    flags = {
        "CHARTROOM_BASIC_AUTH_USER": USER[0], "CHARTROOM_BASIC_AUTH_PASS": USER[1],
        "CHARTROOM_AUTH_ANONYMOUS_GET": "true",
    }  # fmt: skip
    with serve(tmp_path_factory.mktemp("readable") / "data", **flags) as server:
        fill(server, auth=USER)
        yield server


def refused(response: httpx.Response) -> str:
    """Answer the one challenge of a 401."""
    assert (response.status_code, code_of(response)) == (401, "UNAUTHORIZED")
    assert response.headers["docker-distribution-api-version"] == "registry/2.0"
    challenges = response.headers.get_list("www-authenticate")
    assert len(challenges) == 1
    return challenges[0]


def ask_everything(registry: Registry) -> list[httpx.Response]:
    return [
        registry.manifest("1.0.0"), registry.blob(digest_of(ARCHIVE)), registry.tags(), registry.http.get("/v2/"),
        registry.referrers(digest_of(ARCHIVE)), registry.http.get("/v2/_catalog"),
        registry.at("no/where").manifest("1.0.0"), registry.at("no/where").tags(),
    ]  # fmt: skip


def change_everything(registry: Registry) -> list[httpx.Response]:
    return [
        registry.start(), registry.put("x", b"{}"), registry.http.delete(registry.url("manifests/1.0.0")),
        registry.http.delete(registry.url(f"blobs/{digest_of(ARCHIVE)}")), registry.at("no/where").start(),
        registry.http.get(registry.url("blobs/uploads/x")),
    ]  # fmt: skip


def test_a_private_server_asks_for_basic_credentials_everywhere(private: LiveServer) -> None:
    for headers in ({}, EMPTY, {"authorization": "Basic eDp5"}, {"authorization": "Bearer x.y"}):
        with Registry(private.url, NAME) as registry:
            registry.http.headers.update(headers)
            for response in (*ask_everything(registry), *change_everything(registry)):
                assert refused(response) == 'Basic realm="ChartMuseum"'
    with Registry(private.url, NAME, auth=USER) as registry:
        assert [response.status_code for response in ask_everything(registry)] == [
            200,
            200,
            200,
            200,
            200,
            200,
            404,
            404,
        ]
        assert registry.start().status_code == 202
    token = httpx.get(f"{private.url}/v2/token", auth=USER)
    assert token.status_code == 404
    with Registry(private.url, NAME) as registry:
        assert registry.manifest("1.0.0").status_code == 401  # also after it was read, with nothing kept


def test_a_proxy_on_this_machine_names_the_scheme_of_the_realm(readable: LiveServer) -> None:
    with Registry(readable.url, NAME, headers={"x-forwarded-proto": "https"}) as registry:
        place = readable.url.removeprefix("http://")
        wrong = {"authorization": "Basic d3Jvbmc6d3Jvbmc="}
        answers = [registry.http.get("/v2/"), registry.http.get(f"/v2/{NAME}/manifests/1.0.0", headers=wrong)]
        for response in answers:
            assert refused(response).startswith(f'Bearer realm="https://{place}/v2/token",service="{place}"')


def get_token(server: LiveServer, **options: object) -> httpx.Response:
    scope = f"repository:{NAME}:pull,push"
    return httpx.get(f"{server.url}/v2/token", params={"service": "x", "scope": scope}, **options)  # type: ignore[arg-type]


def test_open_reading_and_pushing_with_a_token(readable: LiveServer) -> None:
    place = readable.url.removeprefix("http://")
    challenge = f'Bearer realm="http://{place}/v2/token",service="{place}"'
    for headers in ({}, EMPTY):
        with Registry(readable.url, NAME) as registry:
            registry.http.headers.update(headers)
            assert refused(registry.http.get("/v2/")) == challenge
            read = [registry.manifest("1.0.0"), registry.blob(digest_of(ARCHIVE)), registry.tags()]
            assert [response.status_code for response in read] == [200, 200, 200]
            assert refused(registry.start()) == f'{challenge},scope="repository:{NAME}:pull,push"'
            for response in change_everything(registry):
                assert refused(response).startswith(challenge)
    found = get_token(readable, auth=USER).json()
    assert found["token"] == found["access_token"]
    assert (found["expires_in"], found["issued_at"][-1]) == (tokens.SECONDS, "Z")
    with Registry(readable.url, NAME, headers={"authorization": f"Bearer {found['token']}"}) as registry:
        assert registry.http.get("/v2/").status_code == 200
        assert registry.start().status_code == 202
    with Registry(readable.url, NAME, auth=USER) as registry:  # Basic will do as well
        assert registry.http.get("/v2/").status_code == 200
        assert registry.start().status_code == 202


def test_a_token_for_anybody_reads_and_does_not_push(readable: LiveServer) -> None:
    for headers in ({}, EMPTY):
        token = get_token(readable, headers=headers).json()["token"]
        with Registry(readable.url, NAME, headers={"authorization": f"Bearer {token}"}) as registry:
            assert registry.http.get("/v2/").status_code == 200
            assert registry.manifest("1.0.0").status_code == 200
            assert refused(registry.start()).startswith("Bearer ")


def test_wrong_credentials_get_no_token(readable: LiveServer) -> None:
    for auth in (("tester", "wrong"), ("", "sec:ret"), ("other", "sec:ret")):
        assert refused(get_token(readable, auth=auth)).startswith("Basic ")
    form = {"grant_type": "password", "username": USER[0], "password": USER[1], "service": "x", "client_id": "t"}
    address = f"{readable.url}/v2/token"
    assert httpx.post(address, data=form).json()["token"]
    assert refused(httpx.post(address, data={**form, "password": "wrong"}))


def test_tokens_that_are_not_ours_or_over_are_refused(readable: LiveServer) -> None:
    now = int(time.time())
    good = get_token(readable, auth=USER).json()["token"]
    payload, _, signature = good.partition(".")
    for token in (
        "x", ".", f"{payload}.", f".{signature}", f"{payload[:-2]}.{signature}", f"{good}x", "ä.ö",
        tokens.make_token(bytes(32), USER[0], now), payload,
    ):  # fmt: skip
        with Registry(readable.url, NAME) as registry:
            header = {"authorization": f"Bearer {token}".encode()}
            response = registry.http.post(registry.url("blobs/uploads/"), headers=header)  # type: ignore[arg-type]
            assert refused(response).startswith("Bearer ")


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, str]]:
    """Answer a server that takes another server's tokens, and the key that signs them."""
    folder = tmp_path_factory.mktemp("museum")
    pair = rsa.generate_private_key(65537, 2048)
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(public)
    private_key = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    flags = {
        "CHARTROOM_BEARER_AUTH": "true", "CHARTROOM_AUTH_REALM": "https://auth.test/token",
        "CHARTROOM_AUTH_SERVICE": "charts.test", "CHARTROOM_AUTH_CERT_PATH": str(folder / "key.pem"),
    }  # fmt: skip
    with serve(folder / "data", **flags) as server:
        yield server, private_key


def sign_token(key: str, kind: str, name: str, *actions: str) -> dict[str, str]:
    claims = {"exp": int(time.time()) + 60, "access": [{"type": kind, "name": name, "actions": list(actions)}]}
    return {"authorization": f"Bearer {jwt.encode(claims, key, 'RS256')}"}


def test_tokens_of_another_server(museum: tuple[LiveServer, str]) -> None:
    server, key = museum
    with Registry(server.url, NAME) as registry:
        expected = f'Bearer realm="https://auth.test/token",service="charts.test",scope="repository:{NAME}:pull,push"'
        assert refused(registry.start()) == expected
        assert refused(registry.http.get("/v2/")).startswith("Bearer ")
    for kind, name in (("artifact-repository", "team"), ("repository", NAME)):
        with Registry(server.url, NAME, headers=sign_token(key, kind, name, "pull", "push")) as registry:
            assert registry.http.get("/v2/").status_code == 200
            assert registry.push_chart("1.0.0", ARCHIVE).status_code == 201
            assert registry.manifest("1.0.0").status_code == 200
        with Registry(server.url, NAME, headers=sign_token(key, kind, name, "pull")) as registry:
            assert registry.manifest("1.0.0").status_code == 200
            refused(registry.start())
        with Registry(server.url, "other/mychart", headers=sign_token(key, kind, name, "pull", "push")) as registry:
            refused(registry.manifest("1.0.0"))
            refused(registry.start())
