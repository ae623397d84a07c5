"""Manifests, tags and referrers, as the conformance suite of the distribution specification asks."""

from __future__ import annotations

import json

import pytest

from app.domain.oci import INDEX_TYPE, MANIFEST_TYPE
from tests.oci.client import Registry, code_of, descriptor, digest_of, image, index

CONFIG, LAYERS = b"{}", (b"layer one", b"layer two")
LARGE = {f"key-{number}": "x" * 10_000 for number in range(390)}
FIRST = image(CONFIG, *LAYERS)
SUBJECT = {"mediaType": MANIFEST_TYPE, "digest": digest_of(FIRST), "size": len(FIRST)}
ABSENT = {"mediaType": MANIFEST_TYPE, "digest": digest_of(b"absent"), "size": 6}
ELSEWHERE = [descriptor(b"far away", "application/vnd.oci.image.layer.nondistributable.v1.tar", urls=["https://x"])]
SETS = {
    "image": (FIRST, MANIFEST_TYPE),
    "large": (image(CONFIG, *LAYERS, annotations=LARGE), MANIFEST_TYPE),
    "without layers": (image(CONFIG, layers=[]), MANIFEST_TYPE),
    "index": (index(FIRST), INDEX_TYPE),
    "nested index": (index(FIRST, annotations={"nested": "yes"}), INDEX_TYPE),
    "empty index": (index(), INDEX_TYPE),
    "sparse index": (index(image(b"{}", b"never pushed")), INDEX_TYPE),
    "artifact": (image(CONFIG, *LAYERS, artifactType="application/x.test"), MANIFEST_TYPE),
    "artifact index": (index(FIRST, artifactType="application/x.test"), INDEX_TYPE),
    "with subject": (image(CONFIG, *LAYERS, subject=SUBJECT), MANIFEST_TYPE),
    "index with subject": (index(FIRST, subject=SUBJECT), INDEX_TYPE),
    "missing subject": (image(CONFIG, *LAYERS, subject=ABSENT), MANIFEST_TYPE),
    "data fields": (image(CONFIG, layers=[{**descriptor(LAYERS[0]), "data": "bGF5ZXIgb25l"}]), MANIFEST_TYPE),
    "not distributable": (image(CONFIG, layers=ELSEWHERE), MANIFEST_TYPE),
    "custom fields": (image(CONFIG, *LAYERS, custom={"a": [1, None]}, other="ü"), MANIFEST_TYPE),
    "odd spacing": (json.dumps(json.loads(FIRST), indent="\t").encode() + b"\n\n", MANIFEST_TYPE),
}


@pytest.mark.parametrize("name", SETS)
def test_a_manifest_is_kept_byte_for_byte(registry: Registry, name: str) -> None:
    content, kind = SETS[name]
    for blob in (CONFIG, *LAYERS):
        registry.push_blob(blob)
    registry.push("first", FIRST)
    digest = digest_of(content)
    for reference in (digest, "tagged"):
        stored = registry.put(reference, iter([content]), kind)  # type: ignore[arg-type]
        assert (stored.status_code, stored.headers["docker-content-digest"]) == (201, digest)
        assert stored.headers["location"] == f"/v2/{registry.name}/manifests/{digest}"
        subject = json.loads(content).get("subject")
        assert stored.headers.get("oci-subject") == (subject and subject["digest"])
        assert registry.follow(stored).content == content
    for reference in (digest, "tagged"):
        for method in ("HEAD", "GET"):
            found = registry.manifest(reference, method)
            assert (found.status_code, found.headers["content-type"]) == (200, kind)
            assert found.headers["content-length"] == str(len(content))
            assert found.headers["docker-content-digest"] == digest
            assert found.content == (content if method == "GET" else b"")
    assert "tagged" in registry.tags().json()["tags"]
    assert registry.http.delete(registry.url("manifests/tagged")).status_code == 202
    assert registry.manifest("tagged", "HEAD").status_code == 404
    assert registry.manifest(digest, "HEAD").status_code == 200
    assert registry.http.delete(registry.url(f"manifests/{digest}")).status_code == 202
    assert registry.manifest(digest, "HEAD").status_code == 404
    again = registry.http.delete(registry.url(f"manifests/{digest}"))
    assert (again.status_code, code_of(again)) == (404, "MANIFEST_UNKNOWN")


def test_sha512(registry: Registry) -> None:
    for blob in (CONFIG, *LAYERS):
        registry.push_blob(blob)
    digest = digest_of(FIRST, "sha512")
    assert registry.put(digest, FIRST).headers["docker-content-digest"] == digest
    found = registry.manifest(digest)
    assert (found.content, found.headers["docker-content-digest"]) == (FIRST, digest)
    assert registry.put("by-tag", FIRST).headers["docker-content-digest"] == digest_of(FIRST)
    tagged = registry.put(digest, FIRST, tag=["one", "two"])
    assert tagged.headers["oci-tag"] == "one, two"
    assert registry.manifest("one").headers["docker-content-digest"] == digest


def test_a_digest_delete_takes_its_tags_along_and_a_tag_delete_does_not(registry: Registry) -> None:
    digest = registry.push("a", FIRST, [CONFIG, *LAYERS])
    registry.push("b", FIRST)
    other = registry.push("c", SETS["artifact"][0])
    registry.http.delete(registry.url("manifests/a"))
    assert registry.tags().json()["tags"] == ["b", "c"]
    registry.http.delete(registry.url(f"manifests/{digest}"))
    assert registry.tags().json()["tags"] == ["c"]
    assert registry.manifest(other).status_code == 200


def test_a_tag_moves(registry: Registry) -> None:
    first = registry.push("latest", FIRST, [CONFIG, *LAYERS])
    second = registry.push("latest", SETS["custom fields"][0])
    assert registry.manifest("latest").headers["docker-content-digest"] == second != first
    assert registry.manifest(first).status_code == 200


def test_tags_by_query(registry: Registry) -> None:
    for blob in (CONFIG, *LAYERS):
        registry.push_blob(blob)
    wanted = [f"tag-{number}" for number in range(12)]
    stored = registry.put(digest_of(FIRST), FIRST, tag=wanted)
    assert (stored.status_code, stored.headers["oci-tag"]) == (201, ", ".join(wanted))
    assert registry.tags().json()["tags"] == sorted(wanted)
    assert registry.put(digest_of(FIRST), FIRST, tag=["-bad"]).status_code == 400
    assert registry.put(digest_of(FIRST), FIRST, tag=[f"t{number}" for number in range(40)]).status_code in (400, 414)


def test_what_was_never_pushed(registry: Registry) -> None:
    assert (registry.tags().status_code, code_of(registry.tags())) == (404, "NAME_UNKNOWN")
    for reference in ("none", digest_of(b"none")):
        assert registry.manifest(reference).status_code == 404
        assert registry.manifest(reference, "HEAD").status_code == 404
    found = registry.referrers(digest_of(b"none"))
    assert (found.status_code, found.headers["content-type"]) == (200, INDEX_TYPE)
    assert found.json() == {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}


def test_a_manifest_whose_blobs_are_missing_is_refused_with_each_of_them(registry: Registry) -> None:
    registry.push_blob(CONFIG)
    refused = registry.put("x", FIRST)
    assert (refused.status_code, code_of(refused)) == (404, "MANIFEST_BLOB_UNKNOWN")
    missing = [one["digest"] for one in refused.json()["errors"][0]["detail"]]
    assert missing == [digest_of(layer) for layer in LAYERS]


def test_a_manifest_under_another_digest_is_refused(registry: Registry) -> None:
    for blob in (CONFIG, *LAYERS):
        registry.push_blob(blob)
    for digest in (digest_of(b"x"), "sha256:baddigeststring"):
        refused = registry.put(digest, FIRST)
        assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")
    assert registry.manifest("sha256:baddigeststring").status_code in (400, 404)


def test_a_manifest_that_is_called_something_else_is_refused(registry: Registry) -> None:
    registry.push_blob(CONFIG)
    refused = registry.put("x", image(CONFIG), INDEX_TYPE)
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_INVALID")
    plain = json.loads(image(CONFIG))
    del plain["mediaType"]
    fine = registry.put("x", json.dumps(plain).encode(), f"{MANIFEST_TYPE}; charset=utf-8")
    assert fine.status_code == 201
    assert registry.manifest("x").headers["content-type"] == MANIFEST_TYPE


def test_referrers_are_listed_with_filters(registry: Registry) -> None:
    subject = registry.push("first", FIRST, [CONFIG, *LAYERS])
    kinds = ["application/x.a", "application/x.b", "application/x.a"]
    pushed = [
        image(CONFIG, LAYERS[0], artifactType=kind, subject=SUBJECT, annotations={"number": str(number)})
        for number, kind in enumerate(kinds)
    ]
    pushed.append(image(CONFIG, LAYERS[1], kind="application/x.config", subject=SUBJECT))
    for content in pushed:
        registry.push(digest_of(content), content)
    plain = index(FIRST, subject=SUBJECT)
    registry.push(digest_of(plain), plain, kind=INDEX_TYPE)
    found = registry.referrers(subject)
    assert found.headers["content-type"] == INDEX_TYPE
    listed = found.json()["manifests"]
    assert [one["digest"] for one in listed] == [digest_of(content) for content in (*pushed, plain)]
    assert [one.get("artifactType") for one in listed] == [*kinds, "application/x.config", None]
    assert [one.get("annotations") for one in listed[:3]] == [{"number": str(number)} for number in range(3)]
    assert [one["size"] for one in listed[:4]] == [len(content) for content in pushed]
    filtered = registry.referrers(subject, artifactType="application/x.a")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert [one["digest"] for one in filtered.json()["manifests"]] == [digest_of(pushed[0]), digest_of(pushed[2])]
    assert registry.referrers(subject, artifactType="application/x.none").json()["manifests"] == []
    registry.http.delete(registry.url(f"manifests/{digest_of(pushed[0])}"))
    assert digest_of(pushed[0]) not in registry.referrers(subject).text
    assert registry.referrers("sha256:bad").status_code == 400


def test_a_blob_that_a_manifest_needs_cannot_be_deleted(registry: Registry) -> None:
    digest = registry.push("x", FIRST, [CONFIG, *LAYERS])
    refused = registry.http.delete(registry.url(f"blobs/{digest_of(LAYERS[0])}"))
    assert (refused.status_code, code_of(refused)) == (405, "UNSUPPORTED")
    assert registry.blob(digest_of(LAYERS[0])).status_code == 200
    registry.http.delete(registry.url(f"manifests/{digest}"))
    assert registry.http.delete(registry.url(f"blobs/{digest_of(LAYERS[0])}")).status_code == 202
