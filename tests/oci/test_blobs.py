"""Blobs, as the conformance suite of the distribution specification asks: every way in, ranges, mounts, deletes."""

from __future__ import annotations

import pytest

from tests.oci.client import Registry, code_of, digest_of

CHUNKS = [bytes([65 + number]) * 1024 for number in range(3)]
ALGORITHMS = ["sha256", "sha512"]


def check_blob(registry: Registry, digest: str, content: bytes) -> None:
    for method in ("HEAD", "GET"):
        found = registry.blob(digest, method)
        assert found.status_code == 200
        assert found.headers["content-length"] == str(len(content))
        assert found.headers["docker-content-digest"] == digest
        assert found.content == (content if method == "GET" else b"")
    assert registry.http.delete(registry.url(f"blobs/{digest}")).status_code == 202
    assert registry.blob(digest, "HEAD").status_code == 404
    gone = registry.http.delete(registry.url(f"blobs/{digest}"))
    assert (gone.status_code, code_of(gone)) == (404, "BLOB_UNKNOWN")


def test_a_blob_that_is_not_there(registry: Registry) -> None:
    found = registry.blob(digest_of(b"nowhere"))
    assert (found.status_code, code_of(found)) == (404, "BLOB_UNKNOWN")
    assert registry.blob(digest_of(b"nowhere"), "HEAD").status_code == 404


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_post_alone(registry: Registry, algorithm: str) -> None:
    content = b"post alone"
    digest = digest_of(content, algorithm)
    response = registry.http.post(registry.url("blobs/uploads/"), params={"digest": digest}, content=content)
    assert (response.status_code, response.headers["docker-content-digest"]) == (201, digest)
    assert registry.follow(response).content == content
    check_blob(registry, digest, content)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_post_then_put(registry: Registry, algorithm: str) -> None:
    content = b"post then put"
    digest = digest_of(content, algorithm)
    response = registry.finish(registry.session(), digest, content)
    assert (response.status_code, response.headers["docker-content-digest"]) == (201, digest)
    assert registry.follow(response).content == content
    check_blob(registry, digest, content)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("last_in_put", [False, True])
@pytest.mark.parametrize("strays", [False, True])
def test_chunks(registry: Registry, algorithm: str, last_in_put: bool, strays: bool) -> None:
    """Also with a chunk out of order before each good one: 416, the state is asked for, and the upload goes on."""
    digest = digest_of(b"".join(CHUNKS), algorithm)
    location, offset, ending = registry.session(), 0, {}
    for number, chunk in enumerate(CHUNKS):
        span = f"{offset}-{offset + len(chunk) - 1}"
        method = "PUT" if last_in_put and number == 2 else "PATCH"
        target = f"{location}?digest={digest}" if method == "PUT" else location
        if strays:
            stray = f"{offset + 50}-{offset + 50 + len(chunk) - 1}"
            refused = registry.http.request(method, target, content=chunk, headers={"content-range": stray})
            assert refused.status_code == 416
            assert refused.headers["range"] == f"0-{max(0, offset - 1)}"
            state = registry.http.get(target)
            assert (state.status_code, state.headers["range"]) == (204, f"0-{max(0, offset - 1)}")
        sent = registry.http.request(method, target, content=chunk, headers={"content-range": span})
        offset += len(chunk)
        if method == "PUT":
            assert sent.status_code == 201
            ending = dict(sent.headers)
        else:
            assert (sent.status_code, sent.headers["range"]) == (202, f"0-{offset - 1}")
            location = sent.headers["location"]
    if not last_in_put:
        ending = dict(registry.finish(location, digest).headers)
    assert ending["docker-content-digest"] == digest
    check_blob(registry, digest, b"".join(CHUNKS))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stream(registry: Registry, algorithm: str) -> None:
    digest, location = digest_of(b"".join(CHUNKS), algorithm), registry.session()
    sent = registry.http.patch(location, content=iter(CHUNKS))
    assert (sent.status_code, sent.headers["range"]) == (202, "0-3071")
    assert registry.finish(sent.headers["location"], digest).status_code == 201
    check_blob(registry, digest, b"".join(CHUNKS))


def test_a_patch_with_a_length_and_no_range_as_skopeo_sends(registry: Registry) -> None:
    location = registry.session()
    sent = registry.http.patch(location, content=CHUNKS[0])
    assert sent.status_code == 202
    assert registry.finish(sent.headers["location"], digest_of(CHUNKS[0])).status_code == 201


def test_a_chunk_that_came_already_is_refused_and_the_upload_lives(registry: Registry) -> None:
    location = registry.session()
    assert registry.http.patch(location, content=CHUNKS[0], headers={"content-range": "0-1023"}).status_code == 202
    again = registry.http.patch(location, content=CHUNKS[0], headers={"content-range": "0-1023"})
    assert again.status_code == 416
    assert again.headers["location"].startswith("/v2/")
    assert registry.finish(location, digest_of(CHUNKS[0])).status_code == 201


def test_an_upload_can_be_cancelled(registry: Registry) -> None:
    location = registry.session()
    registry.http.patch(location, content=CHUNKS[0])
    assert registry.http.delete(location).status_code == 204
    for response in (registry.http.get(location), registry.http.delete(location), registry.finish(location, "x")):
        assert response.status_code == 404
    assert code_of(registry.http.patch(location, content=b"x")) == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("anonymous", [False, True])
def test_mount(registry: Registry, algorithm: str, anonymous: bool) -> None:
    content = f"mounted {algorithm} {anonymous}".encode()
    digest = registry.push_blob(content, algorithm)
    other = registry.at(f"{registry.name}/other")
    query = {"mount": digest} if anonymous else {"mount": digest, "from": registry.name}
    response = other.start(**query)
    assert response.status_code == 201
    assert response.headers["location"] == f"/v2/{other.name}/blobs/{digest}"
    check_blob(other, digest, content)
    assert registry.blob(digest).content == content


@pytest.mark.parametrize("source", ["tests/nowhere", "NO NAME", None])
def test_what_cannot_be_mounted_becomes_an_upload(registry: Registry, source: str | None) -> None:
    content = b"never pushed before " + str(source).encode()
    query = {"mount": digest_of(content)} | ({"from": source} if source else {})
    response = registry.start(**query)
    assert response.status_code == 202
    assert registry.finish(response.headers["location"], digest_of(content), content).status_code == 201


def test_a_blob_of_another_name_cannot_be_read(registry: Registry) -> None:
    digest = registry.push_blob(b"of one name only")
    assert registry.at(f"{registry.name}/other").blob(digest).status_code == 404
    assert registry.at("elsewhere").start(mount=digest, **{"from": f"{registry.name}/other"}).status_code == 202


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-499", 206, slice(0, 500)), ("bytes=500-1499", 206, slice(500, 1500)),
        ("bytes=500-", 206, slice(500, 2048)), ("bytes=-500", 206, slice(1548, 2048)),
        ("bytes=2000-5000", 206, slice(2000, 2048)), ("bytes=500-0", 416, slice(0, 0)),
        ("bytes=5000-10000", 416, slice(0, 0)),
    ],
)  # fmt: skip
def test_ranges(registry: Registry, wanted: str, status: int, part: slice) -> None:
    content = bytes(range(256)) * 8
    found = registry.blob(registry.push_blob(content), range=wanted)
    assert (found.status_code, found.content) == (status, content[part])
    if status == 206:
        assert found.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/2048"
    else:
        assert found.headers["content-range"] == "bytes */2048"


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_small_blobs(registry: Registry, content: bytes) -> None:
    check_blob(registry, registry.push_blob(content), content)


def test_an_empty_blob_by_a_stream_without_a_length(registry: Registry) -> None:
    response = registry.http.put(f"{registry.session()}?digest={digest_of(b'')}", content=iter([]))
    assert response.status_code == 201
    check_blob(registry, digest_of(b""), b"")


@pytest.mark.parametrize("digest", [digest_of(b"other"), digest_of(b"other", "sha512"), "sha256:bad", "md5:0", ""])
@pytest.mark.parametrize("way", ["post", "put", "stream", "chunk", "last"])
def test_a_wrong_digest_stores_nothing(registry: Registry, digest: str, way: str) -> None:
    content = b"not what the digest says"
    if way == "post":
        response = registry.http.post(f"{registry.url('blobs/uploads/')}?digest={digest}", content=content)
    else:
        location, body = registry.session(), content
        if way != "put":
            headers = {"content-range": f"0-{len(content) - 1}"} if way != "stream" else {}
            location = registry.http.patch(location, content=content, headers=headers).headers["location"]
            body = b"more" if way == "last" else b""
        response = registry.finish(location, digest, body)
    assert (response.status_code, code_of(response)) == (400, "DIGEST_INVALID")
    assert registry.blob(digest_of(b"other")).status_code == 404
    assert registry.blob(digest_of(content)).status_code == 404


def test_the_algorithm_may_be_told_at_the_beginning(registry: Registry) -> None:
    response = registry.start(**{"digest-algorithm": "sha512"})
    assert response.status_code == 202
    assert registry.finish(response.headers["location"], digest_of(b"x", "sha512"), b"x").status_code == 201
    refused = registry.start(**{"digest-algorithm": "md5"})
    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")


def test_the_address_of_an_upload_is_relative_and_below_the_name(registry: Registry) -> None:
    response = registry.start()
    assert response.headers["location"].startswith(f"/v2/{registry.name}/blobs/uploads/")
    assert response.headers["range"] == "0-0"
    assert registry.http.post(registry.url("blobs/uploads")).status_code == 202
