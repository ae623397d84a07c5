"""Limits on uploads: size and time of a body, objects in a repository, versions of a chart."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from app.errors import Kind
from app.routes.bodies import Limits, SlowBody, read_body, read_form
from app.routes.errors import render_error
from tests.api.conftest import Rooms
from tests.api.wire import ask, push, sign, stream
from tests.charts import make_chart

ARCHIVE = make_chart()
FULL = (507, '{"error":"repo has reached storage limit"}')


async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(rooms: Rooms) -> None:
    async with rooms(max_upload_size=str(len(ARCHIVE))) as (client, _house):
        message = f"request too large: the limit is {len(ARCHIVE)} bytes (MAX_UPLOAD_SIZE)"
        form = {"chart": ("x", ARCHIVE)}  # boundaries count
        for path in ("/api/charts", "/api/prov"):
            for body in ({"content": ARCHIVE + b"\0"}, {"content": stream(ARCHIVE, b"\0")}, {"files": form}):
                response = await client.post(path, **body)
                assert (response.status_code, response.json()) == (413, {"error": message})
                assert response.headers["connection"] == "close"
        assert (await client.get("/api/charts")).text == "{}"
        await push(client, ARCHIVE)


async def test_a_body_that_is_announced_too_large_is_not_even_read(rooms: Rooms) -> None:
    async with rooms(max_upload_size="10") as (client, _house):
        reply = await ask(client, "POST", "/api/charts", headers={"content-length": "11"}, chunks=[], cut=True)
        assert reply.status == 413
        reply = await ask(client, "POST", "/api/charts", headers={"content-length": "x"}, chunks=[b"y" * 11])
        assert reply.status == 413


async def test_the_number_of_objects_is_limited_both_ways(rooms: Rooms) -> None:
    async with rooms(max_storage_objects="2") as (client, _house):
        await push(client, make_chart("a"))
        response = await client.post("/api/charts", files={"chart": ("x", make_chart("b")), "prov": ("x", sign("c"))})
        assert (response.status_code, response.text) == FULL  # the chart would fit, both do not: neither is stored
        await push(client, sign("a"), to="/api/prov")
        for response in (
            await client.post("/api/charts", content=make_chart("b")),
            await client.post("/api/charts", files={"chart": ("x", make_chart("b"))}),
            await client.post("/api/prov", content=sign("b")),
            await client.post("/api/charts?force", content=make_chart("b")),
        ):
            assert (response.status_code, response.text) == FULL
        assert list((await client.get("/api/charts")).json()) == ["a"]
        await push(client, make_chart("b"), to="/api/org/charts")  # each repository has its own


async def test_overwriting_needs_no_room_and_a_conflict_is_told_first(rooms: Rooms) -> None:
    async with rooms(max_storage_objects="1") as (client, _house):
        await push(client, ARCHIVE)
        assert (await client.post("/api/charts", content=ARCHIVE)).status_code == 409
        await push(client, make_chart(description="new"), to="/api/charts?force")
        await client.delete("/api/charts/mychart/0.1.0")
        await push(client, make_chart("b"))


@pytest.mark.parametrize("formed", [False, True])
async def test_the_oldest_versions_of_a_chart_make_room_for_new_ones(rooms: Rooms, formed: bool) -> None:
    async with rooms(per_chart_limit="2") as (client, _house):
        for version in ("0.3.0", "0.1.0", "0.2.0"):
            files = {"chart": ("x", make_chart(version=version)), "prov": ("x", sign(version=version))}
            if formed:
                assert (await client.post("/api/charts", files=files)).status_code == 201
            else:
                await push(client, make_chart(version=version))
                await push(client, sign(version=version), to="/api/prov")
        versions = [entry["version"] for entry in (await client.get("/api/charts/mychart")).json()]
        assert versions == ["0.3.0", "0.2.0"]  # 0.3.0 came first, but is the newest stable one
        assert (await client.get("/charts/mychart-0.1.0.tgz.prov")).status_code == 404
        assert (await client.get("/charts/mychart-0.2.0.tgz.prov")).status_code == 200
        await push(client, make_chart(version="0.2.0", description="again"), to="/api/charts?force")
        assert len((await client.get("/api/charts/mychart")).json()) == 2  # overwriting removes nothing
        await push(client, make_chart("other"))


# -- time


def make_slow(seconds: float, kind: str = "") -> Request:
    """Answer a request whose body ends after so many seconds."""
    messages: list[Any] = [{"type": "http.request", "body": b"--b\r\n", "more_body": True}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


async def test_a_body_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(SlowBody) as caught:
        await read_body(make_slow(30), Limits(100, 0.05))
    assert caught.value.message == "the body did not arrive within 0.05 s (READ_TIMEOUT); nothing was stored"
    slow = make_slow(30, "multipart/form-data; boundary=b")
    with pytest.raises(SlowBody):
        await read_form(slow, Limits(100, 0.05), chart_field="chart", provenance_field="prov")
    status, headers, _body = render_error(caught.value)
    assert (status, caught.value.kind) == (408, Kind.INVALID)
    assert (b"connection", b"close") in headers


async def test_a_body_may_take_its_time_where_the_setting_says_so() -> None:
    assert await read_body(make_slow(0.02), Limits(100, 0)) == b"--b\r\n"


async def test_the_setting_reaches_the_doors(rooms: Rooms) -> None:
    async with rooms(read_timeout="7", max_upload_size="9") as (_client, house):
        assert house.parts.upload.limits == Limits(9, 7)


async def test_a_full_disk_is_told_and_nothing_is_stored(client: httpx.AsyncClient) -> None:
    import errno

    status, _headers, body = render_error(OSError(errno.ENOSPC, "No space left on device"))
    assert (status, body) == (507, b'{"error":"storage is full; nothing was stored; make room and try again"}')
    assert (await client.get("/health")).status_code == 200
