"""Every text and number that reaches a database: SQLite and Postgres take the same ones, and refuse the others alike.

Each case is one request and the status that both databases must give. What was taken is then read back, and the store's
ledger is replayed into the other kind of database: it shows the same.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from app.domain.oci import INDEX_TYPE, MANIFEST_TYPE
from tests.api.wire import Reply, ask, sign
from tests.charts import make_chart
from tests.house import open_house
from tests.oci.client import descriptor, digest_of, image, index
from tests.stories.shop import run_reindex

CONFIG = b"{}"
BASE = json.loads(image(CONFIG))


class Case(NamedTuple):
    """One request and the status it must get. `code` is OCI's, "" outside of /v2."""

    method: str
    target: str
    status: int
    body: bytes = b""
    code: str = ""
    kind: str = MANIFEST_TYPE


def image_with(**facts: Any) -> bytes:
    return json.dumps({**BASE, **facts}).encode()


GOOD_TYPES = [
    "application/vnd.oci.image.config.v1+json", "a/b", "text/plain; charset=utf-8", "X/Y.z-1_2#3!4&5$6^7+8",
    "application/vnd.dev.sigstore.bundle+json;version=0.3", 'a/b; title="two words"', f"{'a' * 127}/{'b' * 127}",
]  # fmt: skip
BAD_TYPES = [
    "a/b\0", "\0", "a\0/b", "noslash", "a/", "/b", "a/b/c", "a b/c", "a/b c", "a/b\n", "a/\u00e9", " a/b", "a/b;",
    "a/b;x",     "a/\ud7ff", "-a/b", "a/.b", f"{'a' * 128}/b", f"a/{'b' * 128}", "a/b;v=\"\0\"", "a/b;v=\u00e9",
    "a/b" + ";x=1" * 9,
]  # fmt: skip


def list_manifest_cases() -> list[Case]:
    """Return cases for each place of a manifest that has a media type, a digest, a size or free text."""
    cases = []
    for status, kinds in ((201, GOOD_TYPES), (400, BAD_TYPES)):
        code = "MANIFEST_INVALID" if status == 400 else ""
        for kind in kinds:
            bodies = (
                image_with(artifactType=kind),
                image_with(config=descriptor(CONFIG, kind)),
                image_with(layers=[descriptor(CONFIG, kind)]),
                image_with(subject=descriptor(CONFIG, kind)),
            )
            cases += [Case("PUT", "/v2/art/manifests/t", status, body, code) for body in bodies]
            listed = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [descriptor(CONFIG, kind)]}
            for body in (index(artifactType=kind), json.dumps(listed).encode()):
                cases.append(Case("PUT", "/v2/art/manifests/i", status, body, code, INDEX_TYPE))
    for text in ("a\0b", "\ud800", "a" * 100_000, "\u2028", "\U0010ffff"):
        # Free text: JSON's escape for NUL stays an escape in what is stored; half a character is no JSON here.
        fits = text != "\ud800"
        body = image_with(annotations={text: text})
        cases.append(Case("PUT", "/v2/art/manifests/a", 201 if fits else 400, body, "" if fits else "MANIFEST_INVALID"))
    for size, status in ((2**63 - 1, 201), (2**63, 400), (2**64, 400), (10**40, 400), (-1, 400), (1.5, 400)):
        body = image_with(layers=[{**descriptor(CONFIG), "size": size}])
        cases.append(Case("PUT", "/v2/art/manifests/s", status, body, "MANIFEST_INVALID" if status == 400 else ""))
    digest_faults = ("sha256:" + "a" * 63 + "\0", "sha256:" + "a" * 65, "md5:" + "a" * 32, "sha256:" + "A" * 64, "\0")
    for digest in digest_faults:
        body = image_with(subject={**descriptor(CONFIG), "digest": digest})
        cases.append(Case("PUT", "/v2/art/manifests/d", 400, body, "DIGEST_INVALID"))
    cases.append(Case("PUT", "/v2/art/manifests/x", 400, image(CONFIG)[:-1] + b',"x":"\xff"}', "MANIFEST_INVALID"))
    return cases


NUL, SURROGATE, BROKEN, LONG = "%00", "%ED%A0%80", "%FF", "a" * 5000


def list_registry_cases() -> list[Case]:
    """Return cases for each part of a path or query below /v2."""
    good, cases = digest_of(CONFIG), []
    for text, page in ((NUL, 400), (SURROGATE, 200), (BROKEN, 200), (LONG, 200), ("%C2%80", 200)):
        for method, target, status, code in (
            ("GET", f"art/tags/list?last={text}", page, "UNSUPPORTED"),
            ("GET", f"_catalog?last={text}", page, "UNSUPPORTED"),
            ("GET", f"art/tags/list?n={text}", 400, "UNSUPPORTED"),
            ("GET", f"_catalog?n={text}", 400, "UNSUPPORTED"),
            ("GET", f"art/referrers/{good}?artifactType={text}", 200, ""),
            ("GET", f"art/referrers/{text}", 400, "DIGEST_INVALID"),
            ("GET", f"art/manifests/{text}", 400, "MANIFEST_INVALID"),
            ("DELETE", f"art/manifests/{text}", 400, "MANIFEST_INVALID"),
            ("PUT", f"art/manifests/{text}", 400, "MANIFEST_INVALID"),
            ("PUT", f"art/manifests/v1?tag={text}", 400, "MANIFEST_INVALID"),
            ("GET", f"art/blobs/{text}", 400, "DIGEST_INVALID"),
            ("DELETE", f"art/blobs/{text}", 400, "DIGEST_INVALID"),
            ("GET", f"{text}/tags/list", 400, "NAME_INVALID"),
            ("GET", f"{text}/manifests/v1", 400, "NAME_INVALID"),
            ("PUT", f"{text}/manifests/v1", 400, "NAME_INVALID"),
            ("POST", f"{text}/blobs/uploads/", 400, "NAME_INVALID"),
            ("POST", f"art/blobs/uploads/?mount={good}&from={text}", 202, ""),
            ("POST", f"art/blobs/uploads/?mount={text}&from=art", 400, "DIGEST_INVALID"),
            ("POST", f"art/blobs/uploads/?digest={text}", 400, "DIGEST_INVALID"),
            ("POST", f"art/blobs/uploads/?digest-algorithm={text}", 400, "DIGEST_INVALID"),
            ("GET", f"art/blobs/uploads/{text}", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("PATCH", f"art/blobs/uploads/{text}", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("PUT", f"art/blobs/uploads/{text}?digest={good}", 404, "BLOB_UPLOAD_UNKNOWN"),
            ("DELETE", f"art/blobs/uploads/{text}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ):
            cases.append(Case(method, f"/v2/{target}", status, image(CONFIG), code if status >= 400 else ""))
    numbers, targets = ("9" * 18, "9" * 19, "9" * 40, "-1", "1e5"), ("art/tags/list", "_catalog")
    wrong = [f"/v2/{target}?n={number}" for target in targets for number in numbers]
    return cases + [Case("GET", target, 400, code="UNSUPPORTED") for target in wrong]


def list_classic_cases() -> list[Case]:
    """Return cases for each part of a path or query of the classic API, the index, the search and the page."""
    cases = []
    for text in (NUL, SURROGATE, BROKEN, LONG, "%C2%80"):
        absent = 400 if text == NUL else 404
        search = 400 if text == LONG else 200
        for method, target, status in (
            ("GET", f"/api/charts/{text}", absent),
            ("GET", f"/api/charts/{text}/1", absent),
            ("GET", f"/api/charts/mychart/{text}", absent),
            ("GET", f"/api/charts/mychart/{text}/values", absent),
            ("GET", f"/api/charts/mychart/{text}/templates", absent),
            ("DELETE", f"/api/charts/{text}/1", absent),
            ("DELETE", f"/api/charts/mychart/{text}", absent),
            ("GET", f"/charts/{text}.tgz", absent),
            ("GET", f"/charts/{text}.tgz.prov", absent),
            ("GET", f"/{text}/index.yaml", 400),
            ("GET", f"/{text}/charts/a-1.0.0.tgz", 400),
            ("POST", f"/api/{text}/charts", 400),
            ("POST", f"/api/{text}/prov", 400),
            ("GET", f"/api/search?q={text}", search),
            ("GET", f"/api/search?limit={text}", 400),
            ("GET", f"/api/search?offset={text}", 400),
            ("GET", f"/api/chartsvc/v1/charts/search?q={text}", search),
            ("GET", f"/api/charts?offset={text}", 400),
            ("GET", f"/api/charts?limit={text}", 400),
            ("GET", f"/?q={text}", 200),
        ):
            cases.append(Case(method, target, status))
    numbers, targets = (
        ("9" * 19, "9" * 40, "-1", "1e5"),
        ("charts?offset", "charts?limit", "search?limit", "search?offset"),
    )
    return cases + [Case("GET", f"/api/{target}={number}", 400) for target in targets for number in numbers]


def list_upload_cases() -> list[Case]:
    """Return cases for each field of Chart.yaml that lands in a column, and for the names in provenance files."""
    cases, number = [], 0

    def chart(**fields: str) -> bytes:
        lines = {"apiVersion": "v2", "name": "odd", "version": f"1.0.{number}", **fields}
        return make_chart("odd", files={"Chart.yaml": "".join(f"{name}: {text}\n" for name, text in lines.items())})

    texts = {
        "nul": '"a\\0b"',
        "half": '"a\\ud800b"',
        "long": '"' + "x" * 100_000 + '"',
        "int": "9" * 40,
        "c1": '"\\x80"',
    }
    for field in ("description", "appVersion", "home", "icon", "kubeVersion", "condition", "tags", "apiVersion"):
        for name, text in texts.items():
            number += 1
            cases.append(Case("POST", "/api/charts", 400 if name == "half" else 201, chart(**{field: text})))
    for field in ("keywords", "sources"):
        for name, text in texts.items():
            number += 1
            cases.append(Case("POST", "/api/charts", 400 if name == "half" else 201, chart(**{field: f"[{text}]"})))
    cases += [Case("POST", "/api/charts", 400, chart(version=text)) for text in texts.values()]
    cases += [Case("POST", "/api/charts", 400, chart(type=text)) for text in texts.values()]
    names = {'"o\\0d"': 201, '"o\\ud800d"': 400, '"' + "x" * 300 + '"': 400, '"\\0"': 400, "9" * 40: 201}
    cases += [Case("POST", "/api/charts", status, chart(name=text)) for text, status in names.items()]
    for name, version in (("a\0b", "1"), ("a", "1\0"), ("a" * 300, "1"), ("a/b", "1"), ("a", "1\r"), ("a", "\u2028")):
        cases.append(Case("POST", "/api/prov", 400, sign(name, version)))
    cases.append(Case("POST", "/api/prov", 500, sign().replace(b"mychart", b"\xff")))  # ChartMuseum's own answer
    return cases


def code_in(reply: Reply) -> str:
    """Return OCI's code of an answer, having checked the form; "" where there is no body."""
    return str(json.loads(reply.body)["errors"][0]["code"]) if reply.body else ""


async def run_cases(client: httpx.AsyncClient, cases: list[Case]) -> list[str]:
    """Send every request and return those that did not get what they must, each as one line."""
    wrong = []
    for case in cases:
        headers = {"content-type": case.kind} if case.target.startswith("/v2/") else {}
        reply = await ask(client, case.method, case.target, headers=headers, chunks=[case.body])
        code = code_in(reply) if case.target.startswith("/v2/") and reply.status >= 400 else ""
        if (reply.status, code) != (case.status, case.code):
            wrong.append(f"{case.method} {case.target[:80]} {case.body[:300]!r}: {reply.status} {code}")
    return wrong


async def look(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return what both protocols show."""
    names = (await client.get("/v2/_catalog")).json()["repositories"]
    referrers = (await client.get(f"/v2/art/referrers/{digest_of(CONFIG)}")).json()["manifests"]
    return {
        "entries": (await client.get("/index.yaml")).json()["entries"],
        "found": (await client.get("/api/search?q=odd&limit=250")).json(),
        "tags": {name: (await client.get(f"/v2/{quote(name)}/tags/list")).json()["tags"] for name in names},
        "referrers": sorted(referrers, key=lambda one: str(one["digest"])),
    }


@pytest.fixture
def other_url(catalogue_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of the other kind."""
    if catalogue_url.startswith("sqlite"):
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'other.db'}"


async def test_both_databases_take_and_refuse_the_same(catalogue_url: str, other_url: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_house(store, database=catalogue_url) as (client, _house):
        uploaded = await ask(client, "POST", f"/v2/art/blobs/uploads/?digest={digest_of(CONFIG)}", chunks=[CONFIG])
        assert uploaded.status == 201
        assert (await ask(client, "POST", "/api/charts", chunks=[make_chart()])).status == 201
        cases = [*list_manifest_cases(), *list_registry_cases(), *list_classic_cases(), *list_upload_cases()]
        assert await run_cases(client, cases) == []
        shown = await look(client)
    assert len(shown["entries"]["odd"]) > 30
    assert len(shown["referrers"]) == len(GOOD_TYPES)
    assert (await run_reindex(store, database=other_url)).code == 0
    async with open_house(store, database=other_url) as (client, _house):
        assert await look(client) == shown


@pytest.mark.parametrize("seconds", [2**34, -(2**31), 0, -1])
async def test_a_file_s_time_that_no_column_holds_stops_nobody(
    catalogue_url: str, tmp_path: Path, seconds: int
) -> None:
    """ChartMuseum's folder may hold a file of the year 2514: 64 bits of nanoseconds end in 2262."""
    store = tmp_path / "store"
    store.mkdir()
    for name in ("far", "near"):
        (store / f"{name}-1.0.0.tgz").write_bytes(make_chart(name, "1.0.0"))
    os.utime(store / "far-1.0.0.tgz", (seconds, seconds))
    async with open_house(store, database=catalogue_url) as (client, _house):
        entries = (await client.get("/index.yaml")).json()["entries"]
        assert sorted(entries) == ["far", "near"]
        year = {2**34: "2262", -(2**31): "1901", 0: "1970", -1: "1969"}[seconds]
        assert entries["far"][0]["created"].startswith(year)
        assert (await client.get("/charts/far-1.0.0.tgz")).status_code == 200
