"""The grammar of OCI names, tags and digests, and what is read out of manifests."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from app.domain import oci
from app.domain.artifact import (
    HELM_CHART,
    HELM_CONFIG,
    HELM_PROVENANCE,
    ChartLayers,
    explain_classic_only,
    find_chart,
)
from app.domain.oci import INDEX_TYPE, MANIFEST_TYPE, RegistryError, read_manifest
from app.errors import Kind

A, B = "a" * 64, "b" * 64


def descriptor(kind: str = "text/plain", digest: str = f"sha256:{A}", size: int = 3, **more: object) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": size, **more}


def image(**fields: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": descriptor(), "layers": [], **fields}).encode()


@pytest.mark.parametrize(
    "name", ["a", "a/b", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1/2", "org/team/redis", "a" * 255]
)
def test_names_that_are_taken(name: str) -> None:
    assert oci.parse_name(name) == name
    assert oci.join_name(*oci.split_name(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a/",
        "/a",
        "a//b",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "a_",
        ".a",
        "a.",
        "a/../b",
        "ä",
        "a b",
        "a\n",
        "a" * 256,
    ],
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(RegistryError) as caught:
        oci.parse_name(name)
    assert (caught.value.code, caught.value.kind) == ("NAME_INVALID", Kind.INVALID)


@pytest.mark.parametrize(("text", "fine"), [
    ("1.2.3", True), ("1.2.3_b.1", True), ("_", True), ("A" * 128, True), ("latest", True),
    ("", False), ("-a", False), (".a", False), ("a+b", False), ("A" * 129, False), ("a/b", False), ("a\n", False),
])  # fmt: skip
def test_tags(text: str, fine: bool) -> None:
    assert oci.is_tag(text) is fine


def test_digests_are_hex_inside_the_house() -> None:
    for algorithm, length in (("sha256", 64), ("sha512", 128)):
        text = f"{algorithm}:{'0f' * (length // 2)}"
        assert oci.render_digest(oci.parse_digest(text)) == text
        assert oci.hash_name(oci.parse_digest(text)) == algorithm
    assert oci.render_digest(oci.digest_of(b"", "sha256")).startswith("sha256:e3b0c442")
    assert len(oci.digest_of(b"", "sha512")) == 128


@pytest.mark.parametrize("text", [
    "", "sha256", "sha256:", f"sha256:{A}0", f"sha256:{A[1:]}", f"sha256:{A.upper()}", f"sha512:{A}", f"md5:{A}",
    f"SHA256:{A}", "sha256:baddigeststring", f"sha256:{A}\n", f"sha256+b64:{A}",
])  # fmt: skip
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        oci.parse_digest(text)
    assert caught.value.code == "DIGEST_INVALID"


def test_a_reference_with_a_colon_is_a_digest() -> None:
    assert oci.parse_reference(f"sha256:{A}") == ("", A)
    assert oci.parse_reference("1.0.0") == ("1.0.0", "")
    with pytest.raises(RegistryError, match="no digest"):
        oci.parse_reference("sha256:baddigeststring")
    with pytest.raises(RegistryError, match="tag"):
        oci.parse_reference("-")


def test_versions_and_tags_stand_for_each_other() -> None:
    assert oci.tag_of("1.2.3-rc.1+build.5") == "1.2.3-rc.1_build.5"
    assert oci.version_of("1.2.3-rc.1_build.5") == "1.2.3-rc.1+build.5"


def test_an_image_manifest_is_read() -> None:
    layers = [
        descriptor(digest=f"sha256:{B}"),
        descriptor("application/a.nondistributable.b", urls=["x"]),
        descriptor(urls=["x"]),
    ]
    found = read_manifest(
        image(layers=layers, subject=descriptor(digest=f"sha512:{A}{B}"), annotations={"b": "2", "a": "1"}, other=[1]),
        MANIFEST_TYPE,
    )
    assert (found.artifact_type, found.subject) == ("text/plain", A + B)
    assert found.needed == [A, B]
    assert found.annotations == b'{"b":"2","a":"1"}'
    assert read_manifest(image(artifactType="application/mine"), MANIFEST_TYPE).artifact_type == "application/mine"


def test_an_index_is_read() -> None:
    content = orjson.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [descriptor(MANIFEST_TYPE)]})
    found = read_manifest(content, INDEX_TYPE)
    assert ([child.digest for child in found.children], found.artifact_type, found.needed) == ([A], "", [])
    assert read_manifest(b'{"schemaVersion":2,"manifests":[]}', INDEX_TYPE).children == ()


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"a":' * 5000, b"{}", image(schemaVersion=1), image(config=None),
    image(layers=None), image(layers={}), image(layers=[1]), image(layers=[{}]), image(config=descriptor(size=-1)),
    image(config=descriptor(size=1.5)), image(config=descriptor(size=True)), image(config=descriptor(size=10**30)),
    image(config=descriptor("")), image(config=descriptor(digest="x")), image(config={"mediaType": 1}),
    image(annotations=[]), image(annotations={"a": 1}), image(subject="x"), image(artifactType=1),
    image(mediaType=INDEX_TYPE),
])  # fmt: skip
def test_what_is_no_manifest_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        read_manifest(content, MANIFEST_TYPE)
    assert caught.value.kind is Kind.INVALID
    assert caught.value.code in ("MANIFEST_INVALID", "DIGEST_INVALID")
    assert len(caught.value.message) > 20


def test_other_types_of_manifests_are_refused() -> None:
    with pytest.raises(RegistryError, match="not taken"):
        read_manifest(image(), "application/json")


def test_referrers_are_an_index() -> None:
    one = oci.render_descriptor(MANIFEST_TYPE, A, 5, "application/mine", b'{"a":"1"}')
    assert orjson.loads(one) == descriptor(
        MANIFEST_TYPE, size=5, artifactType="application/mine", annotations={"a": "1"}
    )
    assert orjson.loads(oci.render_descriptor(INDEX_TYPE, A, 5, "", b"")) == descriptor(INDEX_TYPE, size=5)
    assert orjson.loads(oci.render_referrers([one]))["manifests"] == [orjson.loads(one)]
    empty = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    assert orjson.loads(oci.render_referrers([])) == empty


def test_a_chart_is_told_by_its_media_types_in_any_order() -> None:
    layers = [descriptor(HELM_PROVENANCE, f"sha256:{B}"), descriptor(HELM_CHART)]
    manifest = read_manifest(image(config=descriptor(HELM_CONFIG), layers=layers), MANIFEST_TYPE)
    found = find_chart(manifest)
    assert isinstance(found, ChartLayers)
    assert found.provenance is not None
    assert (found.archive.digest, found.provenance.digest) == (A, B)


SIGNED = [descriptor(HELM_PROVENANCE)] * 2


@pytest.mark.parametrize(("fields", "why"), [
    ({}, "config"),
    ({"config": descriptor(HELM_CONFIG)}, "0 layers"),
    ({"config": descriptor(HELM_CONFIG), "layers": [descriptor(HELM_CHART)] * 2}, "2 layers"),
    ({"config": descriptor(HELM_CONFIG), "layers": [descriptor(HELM_CHART), *SIGNED]}, "2 prov"),
])  # fmt: skip
def test_what_is_no_chart_says_why(fields: dict[str, Any], why: str) -> None:
    found = find_chart(read_manifest(image(**fields), MANIFEST_TYPE))
    assert isinstance(found, str)
    assert why in found


def test_names_that_oci_forbids_stay_classic_only() -> None:
    assert explain_classic_only("org/team", "redis", "1.2.3+b") == ""
    assert "path" in explain_classic_only("Org", "redis", "1.2.3")
    assert "path" in explain_classic_only("", "a..b", "1.2.3")
    assert "255" in explain_classic_only("a" * 250, "redis", "1.2.3")
    assert "version" in explain_classic_only("", "redis", "1" * 129)
    assert explain_classic_only("", "ä", "1").isascii()
