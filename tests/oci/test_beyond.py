"""What the conformance suite leaves out: paging, order, limits, names, hostile input, clients that vanish."""

from __future__ import annotations

import asyncio
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from app.domain.oci import MAX_MANIFEST
from tests.live import LiveServer
from tests.oci.client import Registry, code_of, digest_of, image

CONFIG = b"{}"


def push_tags(registry: Registry, tags: list[str]) -> None:
    registry.push_blob(CONFIG)
    for at in range(0, len(tags), 30):
        assert registry.put(digest_of(image(CONFIG)), image(CONFIG), tag=tags[at : at + 30]).status_code == 201


def test_tags_are_sorted_by_code_point(registry: Registry) -> None:
    push_tags(registry, ["b", "B", "a", "_", "10", "9", "a-b", "a.b", "aB"])
    assert registry.tags().json()["tags"] == ["10", "9", "B", "_", "a", "a-b", "a.b", "aB", "b"]


def test_tags_come_in_pages(registry: Registry) -> None:
    wanted = sorted(f"tag-{number:02}" for number in range(25))
    push_tags(registry, wanted)
    found, response = [], registry.tags(n=10)
    while True:
        found.append(response.json()["tags"])
        if "link" not in response.headers:
            break
        assert response.headers["link"].startswith(f"</v2/{registry.name}/tags/list?n=10&last=")
        response = registry.follow(response)
    assert [len(page) for page in found] == [10, 10, 5]
    assert [tag for page in found for tag in page] == wanted
    assert registry.tags(last="tag-20").json()["tags"] == wanted[21:]
    assert registry.tags(last="tag-20-which-is-not-there", n=2).json()["tags"] == wanted[21:23]
    assert registry.tags(last="zzz").json()["tags"] == []
    whole = registry.tags(n=25)
    assert (whole.json()["tags"], "link" in whole.headers) == (wanted, False)
    none = registry.tags(n=0)
    assert (none.status_code, none.json()["tags"], "link" in none.headers) == (200, [], False)


@pytest.mark.parametrize("number", ["-1", "x", "", "1.5", "９", "99999999999999999999"])
def test_a_page_of_nonsense(registry: Registry, number: str) -> None:
    push_tags(registry, ["a"])
    refused = registry.tags(n=number)
    assert refused.status_code == 400
    assert code_of(refused)


def test_ten_thousand_tags_can_be_listed(registry: Registry) -> None:
    wanted = sorted(f"v{number}" for number in range(10_000))
    push_tags(registry, wanted)
    started = time.perf_counter()
    page = registry.tags(n=100, last=wanted[5000])
    assert time.perf_counter() - started < 2
    assert page.json()["tags"] == wanted[5001:5101]
    assert registry.tags().json()["tags"] == wanted


def test_the_catalogue_of_names_comes_in_pages(registry: Registry) -> None:
    names = [f"{registry.name}/{letter}" for letter in "cab"]
    for name in names:
        registry.at(name).push("x", image(CONFIG), [CONFIG])
    found = registry.http.get("/v2/_catalog").json()["repositories"]
    assert found == sorted(found)
    assert [name for name in found if name.startswith(registry.name)] == sorted(names)
    page = registry.http.get("/v2/_catalog", params={"n": 2, "last": registry.name})
    assert page.json()["repositories"] == sorted(names)[:2]
    assert registry.follow(page).json()["repositories"][0] == sorted(names)[2]


def test_every_reply_names_the_protocol(registry: Registry) -> None:
    for path in ("/v2", "/v2/", "/v2/_catalog", registry.url("tags/list"), registry.url("manifests/x"), "/v2/nothing"):
        for method in ("GET", "HEAD", "PUT"):
            found = registry.http.request(method, path)
            versions = found.headers.get_list("docker-distribution-api-version")
            assert versions == ["registry/2.0"], (method, path)
    refused = registry.http.patch(registry.session(), content=b"x", headers={"content-range": "5-5"})
    assert refused.status_code == 416
    assert refused.headers.get_list("docker-distribution-api-version") == ["registry/2.0"]
    assert registry.http.get("/v2/").json() == {}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_methods_that_are_not_there(registry: Registry, method: str) -> None:
    refused = registry.http.request(method, registry.url("tags/list"))
    assert (refused.status_code, code_of(refused)) == (405, "UNSUPPORTED")


@pytest.mark.parametrize(
    "name", ["UPPER", "a..b", "-a", "a//b", "ä", "a%20b", "a%00b", "..%2f..%2fetc", "a" * 256, "~latest-3/a"]
)
def test_names_that_cannot_be(registry: Registry, name: str) -> None:
    for method, path in (
        ("GET", "manifests/x"), ("GET", f"blobs/{digest_of(b'x')}"), ("POST", "blobs/uploads/"), ("GET", "tags/list"),
        ("PUT", "manifests/x"), ("DELETE", "manifests/x"), ("GET", f"referrers/{digest_of(b'x')}"),
    ):  # fmt: skip
        refused = registry.http.request(method, f"/v2/{name}/{path}")
        assert refused.status_code in (400, 404), (method, path, refused.text)
        assert code_of(refused) in ("NAME_INVALID", "NAME_UNKNOWN")


@pytest.mark.parametrize("uuid", ["x", "..", "%2e%2e%2f%2e%2e", "0" * 36, "a" * 5000, "%00"])
def test_uploads_that_never_were(registry: Registry, uuid: str) -> None:
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        refused = registry.http.request(method, f"{registry.url('blobs/uploads')}/{uuid}?digest={digest_of(b'')}")
        assert refused.status_code == 404, (method, refused.text)
        assert method == "HEAD" or code_of(refused) in ("BLOB_UPLOAD_UNKNOWN", "NAME_UNKNOWN")


def test_an_upload_of_one_name_is_not_another_ones(registry: Registry) -> None:
    location = registry.session().replace(registry.name, "elsewhere")
    assert code_of(registry.http.get(location)) == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("span", ["x", "5", "-5", "5-", "9-3", "bytes 0-3/4", "0-3/4", "99999999999999999999-3"])
def test_content_ranges_that_are_none(registry: Registry, span: str) -> None:
    location = registry.session()
    refused = registry.http.patch(location, content=b"abcd", headers={"content-range": span})
    assert (refused.status_code, code_of(refused)) == (400, "BLOB_UPLOAD_INVALID")
    assert registry.finish(location, digest_of(b"abcd"), b"abcd").status_code == 201


def test_a_chunk_that_is_not_as_long_as_it_says_is_refused(registry: Registry) -> None:
    refused = registry.http.patch(registry.session(), content=b"abcd", headers={"content-range": "0-9"})
    assert (refused.status_code, code_of(refused)) == (400, "SIZE_INVALID")


def test_manifests_have_a_largest_size(registry: Registry) -> None:
    registry.push_blob(CONFIG)
    empty = len(image(CONFIG, note=""))
    largest = image(CONFIG, note="x" * (MAX_MANIFEST - empty))
    assert len(largest) == MAX_MANIFEST
    assert registry.put("largest", largest).status_code == 201
    assert registry.manifest("largest").content == largest
    refused = registry.put("larger", largest + b" ")
    assert (refused.status_code, code_of(refused)) == (413, "SIZE_INVALID")
    assert registry.manifest("larger").status_code == 404


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"a":' * 9999, b'{"schemaVersion":2}'])
def test_manifests_that_are_none(registry: Registry, content: bytes) -> None:
    refused = registry.put("x", content)
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["-x", ".x", "x" * 129, "a+b", "ä", "a b"])
def test_tags_that_cannot_be(registry: Registry, tag: str) -> None:
    registry.push_blob(CONFIG)
    refused = registry.put(tag, image(CONFIG))
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "digest", ["sha256:abc", f"sha256:{'a' * 65}", f"sha256:{'A' * 64}", "sha1:" + "a" * 40, "x:y"]
)
def test_digests_that_are_none(registry: Registry, digest: str) -> None:
    found = registry.blob(digest)
    assert (found.status_code, code_of(found)) == (400, "DIGEST_INVALID")
    assert registry.start(mount=digest).status_code == 400
    assert registry.manifest(digest).status_code in (400, 404)


def test_what_the_client_has_is_not_sent_again(registry: Registry) -> None:
    digest = registry.push("x", image(CONFIG), [CONFIG])
    for path in ("manifests/x", f"manifests/{digest}", f"blobs/{digest_of(CONFIG)}"):
        for _ in range(3):
            found = registry.http.get(registry.url(path))
            unchanged = registry.http.get(registry.url(path), headers={"if-none-match": found.headers["etag"]})
            assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_a_read_after_a_change_is_never_old(registry: Registry) -> None:
    contents = [image(CONFIG, note=number) for number in range(20)]
    registry.push_blob(CONFIG)
    for content in contents:
        registry.push("moving", content)
        assert [registry.manifest("moving").content for _ in range(3)] == [content] * 3


def test_bodies_are_not_compressed(registry: Registry) -> None:
    registry.push("x", image(CONFIG, note="x" * 5000), [CONFIG])
    found = registry.http.get(registry.url("manifests/x"), headers={"accept-encoding": "gzip, zstd"})
    assert "content-encoding" not in found.headers
    assert found.headers["content-length"] == str(len(image(CONFIG, note="x" * 5000)))


def test_a_client_that_vanishes_in_a_chunk_can_go_on_where_it_stood(registry: Registry, oci_server: LiveServer) -> None:
    content = bytes(range(256)) * 400
    location = registry.session()
    registry.http.patch(location, content=content[:1000], headers={"content-range": "0-999"})
    place = urlsplit(oci_server.url)
    with socket.create_connection((place.hostname, place.port), timeout=5) as line:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 101400\r\nContent-Range: 1000-102399\r\n\r\n"
        line.sendall(head.encode() + content[1000:50_000])
    state = registry.http.get(location)
    assert (state.status_code, state.headers["range"]) == (204, "0-999")
    rest = registry.http.patch(location, content=content[1000:], headers={"content-range": "1000-102399"})
    assert rest.status_code == 202
    assert registry.finish(location, digest_of(content)).status_code == 201
    assert registry.blob(digest_of(content)).content == content


def test_two_chunks_at_once_do_not_both_count(registry: Registry) -> None:
    location = registry.session()
    pool = [httpx.AsyncClient(base_url=registry.http.base_url) for _ in range(8)]

    async def race() -> list[int]:
        sent = [
            client.patch(location, content=bytes([number]) * 1000, headers={"content-range": "0-999"})
            for number, client in enumerate(pool)
        ]
        answers = await asyncio.gather(*sent)
        for client in pool:
            await client.aclose()
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(race()) == [202] + [416] * 7
    assert registry.http.get(location).headers["range"] == "0-999"
