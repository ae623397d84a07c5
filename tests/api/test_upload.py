"""Uploads of archives: raw bodies and forms, overwriting, and what each kind of bad input gets."""

from __future__ import annotations

import itertools

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign, stream
from tests.charts import make_chart

SAVED = (201, '{"saved":true}')
FORM = {"content-type": "multipart/form-data; boundary=b"}
NO_FILE = '{"error":"no package or provenance file found in form fields chart and prov"}'
OTHER = make_chart(description="other content")


def answer_of(response: httpx.Response) -> tuple[int, str]:
    """Answer status and body; every body of the API is JSON."""
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    return response.status_code, response.text


def part(field: str, content: bytes, filename: str | None = "x.tgz") -> bytes:
    """Answer one part of a form."""
    name = f'; filename="{filename}"' if filename is not None else ""
    return f'--b\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """Answer a whole form with the boundary b."""
    return b"".join(parts) + b"--b--\r\n"


# -- the two ways


@pytest.mark.parametrize(
    "kind", [None, "application/x-www-form-urlencoded", "application/gzip", "Multipart/Form-Data", "text/html"]
)
async def test_any_body_that_is_no_form_is_an_archive(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    archive = make_chart("a=b&c", top="top")
    assert answer_of(await client.post("/api/charts", content=archive, headers=headers)) == SAVED
    assert (await client.get("/charts/a=b&c-0.1.0.tgz")).content == archive


async def test_a_chunked_body_without_a_length_is_taken(client: httpx.AsyncClient) -> None:
    archive = make_chart()
    pieces = [archive[at : at + 50] for at in range(0, len(archive), 50)]
    assert answer_of(await client.post("/api/charts", content=stream(*pieces))) == SAVED
    assert (await client.get("/charts/mychart-0.1.0.tgz")).content == archive


async def test_a_chunked_form_is_taken_as_the_push_plugin_sends_it(client: httpx.AsyncClient) -> None:
    archive = make_chart()
    body = form(part("chart", archive, "/tmp/helm-push-123/mychart-0.1.0.tgz"))
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    assert answer_of(await client.post("/api/charts", content=stream(*pieces), headers=FORM)) == SAVED
    assert (await client.get("/charts/mychart-0.1.0.tgz")).content == archive


async def test_a_form_may_hold_an_archive_provenance_or_both(client: httpx.AsyncClient) -> None:
    both = {"chart": ("any.name", make_chart()), "prov": ("x", sign())}
    assert answer_of(await client.post("/api/charts", files=both)) == SAVED
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).content == sign()
    alone = {"prov": ("x", sign(version="9.0.0"))}
    assert answer_of(await client.post("/api/charts", files=alone)) == SAVED
    assert (await client.get("/charts/mychart-9.0.0.tgz.prov")).status_code == 200
    assert (await client.get("/charts/mychart-9.0.0.tgz")).status_code == 404
    large = {"chart": ("x", make_chart("large", files={"n": bytes(range(256)) * 8000}))}
    assert answer_of(await client.post("/api/charts", files=large)) == SAVED


async def test_the_file_is_named_by_chart_yaml_not_by_the_client(client: httpx.AsyncClient) -> None:
    files = {"chart": ("../../etc/evil-9.9.9.tgz", make_chart(top="elsewhere"))}
    assert answer_of(await client.post("/api/charts", files=files)) == SAVED
    [entry] = (await client.get("/api/charts/mychart")).json()
    assert entry["urls"] == ["charts/mychart-0.1.0.tgz"]


async def test_form_fields_may_have_other_names_and_the_usual_ones_work_too(rooms: Rooms) -> None:
    names = {"chart_post_form_field_name": "package", "prov_post_form_field_name": "signature"}
    async with rooms(**names) as (client, _house):
        custom = {"package": ("x", make_chart()), "signature": ("x", sign())}
        assert answer_of(await client.post("/api/charts", files=custom)) == SAVED
        assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).content == sign()
        assert list((await client.get("/index.yaml")).json()["entries"]) == ["mychart"]
        usual = {"chart": ("x", make_chart("usual")), "prov": ("x", sign("usual"))}
        assert answer_of(await client.post("/api/charts", files=usual)) == SAVED
        response = await client.post("/api/charts", files={"other": ("x", b"")})
        assert answer_of(response) == (400, NO_FILE.replace("chart and prov", "package and signature"))


async def test_the_first_file_of_a_field_counts(client: httpx.AsyncClient) -> None:
    body = form(part("chart", make_chart("first")), part("chart", make_chart("second")))
    assert answer_of(await client.post("/api/charts", content=body, headers=FORM)) == SAVED
    assert list((await client.get("/api/charts")).json()) == ["first"]


async def test_a_file_field_that_a_browser_left_empty_is_none(client: httpx.AsyncClient) -> None:
    body = form(part("chart", make_chart()), part("prov", b"", ""))
    assert answer_of(await client.post("/api/charts", content=body, headers=FORM)) == SAVED


NO_FORM = [
    (form(part("wrong", b"x")), "multipart/form-data; boundary=b"),
    (form(part("chart", b"x", None)), "multipart/form-data; boundary=b"),  # a value, not a file
    (form(part("chart", b"x")), "multipart/form-data; boundary=other"),
    (form(part("chart", b"x")), "multipart/form-data"),
    (form(part("chart", b"x")), "multipart/form-data; boundary="),
    (part("chart", b"x"), "multipart/form-data; boundary=b"),  # never closed
    (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    (b"--b\r\nno header at all\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    (form(*(part(f"f{number}", b"x") for number in range(40))), "multipart/form-data; boundary=b"),
    (form(part("chart", b"v" * 2_000_000, None)), "multipart/form-data; boundary=b"),
    (b"--b--\r\n", "multipart/form-data; boundary=b"),
    (b"garbage", "multipart/form-data; boundary=b"),
    (b"", "multipart/form-data; boundary=b"),
]


async def test_a_form_without_a_usable_file_is_refused(client: httpx.AsyncClient) -> None:
    for body, kind in NO_FORM:
        response = await client.post("/api/charts", content=body, headers={"content-type": kind})
        assert answer_of(response) == (400, NO_FILE), (body[:100], kind)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"chart": ("x", b"no archive at all")}, "gzip: invalid header"),
        ({"prov": ("x", b"no provenance")}, "invalid provenance file"),
        ({"chart": ("x", make_chart()), "prov": ("x", b"no provenance")}, "invalid provenance file"),
        ({"chart": ("x", b""), "prov": ("x", sign())}, "EOF"),
        ({"prov": ("x", sign("../../x"))}, "../../x-0.1.0.tgz.prov is improperly formatted"),
    ],
)
async def test_a_form_is_stored_whole_or_not_at_all(
    client: httpx.AsyncClient, files: dict[str, tuple[str, bytes]], message: str
) -> None:
    response = await client.post("/api/charts", files=files)
    assert answer_of(response) == (400, f'{{"error":"{message}"}}')
    assert (await client.get("/api/charts")).text == "{}"
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 404


# -- overwriting

RULES = list(itertools.product([False, True], [False, True], ["", "?force", "?force=false", "?force=", "?x=force"]))


@pytest.mark.parametrize(("allow", "never", "query"), RULES)
async def test_overwriting_needs_the_setting_or_force(rooms: Rooms, allow: bool, never: bool, query: str) -> None:
    expected = allow or (query.startswith("?force") and not never)
    flags = {"allow_overwrite": str(allow), "disable_force_overwrite": str(never)}
    async with rooms(**flags) as (client, _house):
        await push(client, original := make_chart())
        await push(client, sign(), to="/api/prov")
        raw = await client.post(f"/api/charts{query}", content=OTHER)
        assert answer_of(raw) == (SAVED if expected else (409, '{"error":"file already exists"}'))
        assert (await client.get("/charts/mychart-0.1.0.tgz")).content == (OTHER if expected else original)
        # Provenance falls with the bytes it was for.
        assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == (404 if expected else 200)
        files = {"chart": ("x", make_chart(description="third")), "prov": ("x", sign(note="new"))}
        formed = await client.post(f"/api/charts{query}", files=files)
        assert answer_of(formed) == (SAVED if expected else (409, '{"error":"chart already exists"}'))
        prov = await client.post(f"/api/prov{query}", content=sign(note="newer"))
        assert answer_of(prov) == (SAVED if expected else (409, '{"error":"file already exists"}'))


async def test_the_same_bytes_again_are_a_conflict_too(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    again = await client.post("/api/charts", content=make_chart())
    assert answer_of(again) == (409, '{"error":"file already exists"}')
    again = await client.post("/api/charts", files={"chart": ("x", make_chart())})
    assert answer_of(again) == (409, '{"error":"chart already exists"}')


async def test_a_form_whose_provenance_is_taken_stores_nothing(client: httpx.AsyncClient) -> None:
    await push(client, sign(), to="/api/prov")
    files = {"chart": ("x", make_chart()), "prov": ("x", sign(note="another"))}
    response = await client.post("/api/charts", files=files)
    assert answer_of(response) == (409, '{"error":"chart already exists"}')
    assert (await client.get("/api/charts")).text == "{}"


async def test_two_charts_cannot_have_one_file_name(client: httpx.AsyncClient) -> None:
    await push(client, make_chart("a-1", "2.0.0"))
    response = await client.post("/api/charts", content=make_chart("a", "1-2.0.0"))
    text = "a-1-2.0.0.tgz is the file of chart a-1 version 2.0.0; choose another name or version"
    assert answer_of(response) == (409, f'{{"error":"{text}"}}')


async def test_tenants_do_not_see_each_others_charts(client: httpx.AsyncClient) -> None:
    await push(client, make_chart())
    await push(client, OTHER, to="/api/org/charts")
    await push(client, make_chart("third"), to="/api/org/team/charts")
    assert list((await client.get("/org/index.yaml")).json()["entries"]) == ["mychart"]
    assert list((await client.get("/org/team/index.yaml")).json()["entries"]) == ["third"]
    assert (await client.get("/org/charts/mychart-0.1.0.tgz")).content == OTHER


async def test_a_body_that_ends_half_way_stores_nothing(client: httpx.AsyncClient) -> None:
    message = b'{"error":"the body ended before it was complete; nothing was stored"}'
    archive = make_chart()
    for path, headers, body in (
        ("/api/charts", {}, archive),  # whole, but the sender never said so
        ("/api/charts", {}, archive[:50]),
        ("/api/charts", FORM, form(part("chart", archive))),
        ("/api/charts", FORM, part("chart", archive)[:-20]),
        ("/api/prov", {}, sign()),
    ):
        reply = await ask(client, "POST", path, headers=headers, chunks=[body], cut=True)
        assert (reply.status, reply.body) == (400, message)
    assert (await client.get("/api/charts")).text == "{}"
    assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 404
