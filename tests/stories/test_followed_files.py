"""Several files of one version, moved, changed, broken and removed: a version lives as long as any file brings it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.api.wire import push, sign
from tests.charts import make_chart
from tests.oci.client import chart_manifest, digest_of
from tests.stories.followed import Place, find_versions, open_place, wait_for_passes
from tests.stories.shop import run_import, run_reindex, run_verify

FIRST, SECOND = make_chart("app", "2.0.0", description="first"), make_chart("app", "2.0.0", description="second")
CANONICAL = "app-2.0.0.tgz"
FOLDERS = ["", "org/team"]
COPIES = pytest.mark.parametrize("copy", [FIRST, SECOND], ids=["equal", "different"])


@pytest.fixture(params=FOLDERS, ids=["root", "tenant"])
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def key(tenant: str, name: str) -> str:
    return f"{tenant}/{name}" if tenant else name


async def read_entries(client: httpx.AsyncClient, tenant: str = "") -> list[tuple[str, str]]:
    """Return the file names and contents of all that the index of a repository lists."""
    prefix = f"/{tenant}" if tenant else ""
    index = (await client.get(f"{prefix}/index.yaml")).json()["entries"]
    names = [entry["urls"][0].removeprefix("charts/") for entries in index.values() for entry in entries]
    found = []
    for name in names:
        response = await client.get(f"{prefix}/charts/{name}")
        assert response.status_code == 200
        found.append((name, describe(response.content)))
    return sorted(found)


def describe(content: bytes) -> str:
    return {FIRST: "first", SECOND: "second"}.get(content, "other")


async def read_signature(client: httpx.AsyncClient, name: str, tenant: str = "") -> bytes | None:
    response = await client.get(f"/{tenant}/charts/{name}.prov" if tenant else f"/charts/{name}.prov")
    assert response.status_code in (200, 404)
    return response.content if response.status_code == 200 else None


@asynccontextmanager
async def reopened(place: Place, how: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a place again after its database was lost, or made anew."""
    if how == "lost":
        await place.lose_database()
    elif how == "reindexed":
        assert (await run_reindex(place.address, **place.flags)).code == 0
    async with open_place(place) as client:
        await wait_for_passes(client, place)
        yield client


# -- moves and deletes, by one pass, by two, with a restart in between


@COPIES
async def test_the_canonical_name_stands_for_a_version(place: Place, tenant: str, copy: bytes) -> None:
    await place.put(key(tenant, CANONICAL), FIRST)
    await place.put(key(tenant, "aaa.tgz"), copy)
    await place.put(key(tenant, "zzz.tgz"), copy)
    for _ in range(2):
        async with open_place(place) as client:
            assert await read_entries(client, tenant) == [(CANONICAL, "first")]
            await wait_for_passes(client, place)
            assert await read_entries(client, tenant) == [(CANONICAL, "first")]


async def test_a_change_in_the_second_of_the_last_pass_is_seen(place: Place, tenant: str) -> None:
    """Both archives have the same size, and the time of a bucket's object is a whole second."""
    assert len(FIRST) == len(SECOND)
    contents = [FIRST, SECOND]
    async with open_place(place) as client:
        for number in range(6):
            await place.put(key(tenant, CANONICAL), contents[number % 2])
            await wait_for_passes(client, place)
            assert await read_entries(client, tenant) == [(CANONICAL, describe(contents[number % 2]))]


async def test_without_it_the_first_by_key_stands_for_a_version(place: Place, tenant: str) -> None:
    for name, content in (("ccc.tgz", SECOND), ("bbb.tgz", FIRST), ("ddd.tgz", SECOND)):
        await place.put(key(tenant, name), content)
    async with open_place(place) as client:
        assert await read_entries(client, tenant) == [("bbb.tgz", "first")]
        await place.put(key(tenant, "aaa.tgz"), SECOND)
        await wait_for_passes(client, place)
        assert await read_entries(client, tenant) == [("aaa.tgz", "second")]
        await place.put(key(tenant, CANONICAL), FIRST)
        await wait_for_passes(client, place)
        assert await read_entries(client, tenant) == [(CANONICAL, "first")]
        index = (await client.get("/index.yaml")).headers["etag"]
        await wait_for_passes(client, place)
        assert (await client.get("/index.yaml")).headers["etag"] == index


async def test_a_moved_file_takes_its_version_along(place: Place, tenant: str) -> None:
    await place.put(key(tenant, "upload-tmp.tgz"), FIRST)
    await place.put(key(tenant, "upload-tmp.tgz.prov"), sign("app", "2.0.0"))
    async with open_place(place) as client:
        assert await read_entries(client, tenant) == [("upload-tmp.tgz", "first")]
        for ending in ("", ".prov"):
            await place.move(key(tenant, f"upload-tmp.tgz{ending}"), key(tenant, CANONICAL + ending))
        await wait_for_passes(client, place)
        assert await read_entries(client, tenant) == [(CANONICAL, "first")]
        assert await read_signature(client, CANONICAL, tenant) == sign("app", "2.0.0")
        assert await read_signature(client, "upload-tmp.tgz", tenant) is None
    async with open_place(place) as client:
        await place.move(key(tenant, CANONICAL), key(tenant, "App-2.0.0.tgz"))
        await wait_for_passes(client, place)
        assert await read_entries(client, tenant) == [("App-2.0.0.tgz", "first")]
        await place.delete(key(tenant, "App-2.0.0.tgz"))
        await wait_for_passes(client, place)
        assert await read_entries(client, tenant) == []


@COPIES
@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "restart between"])
async def test_a_version_lives_until_its_last_file_goes(place: Place, copy: bytes, restarts: bool) -> None:
    await place.put(CANONICAL, FIRST)
    async with open_place(place) as client:
        await place.put("copy.tgz", copy)
        await wait_for_passes(client, place)
        if not restarts:
            await place.delete(CANONICAL)
            await wait_for_passes(client, place)
            assert await read_entries(client) == [("copy.tgz", describe(copy))]
    if restarts:
        await place.delete(CANONICAL)
    async with open_place(place) as client:
        await wait_for_passes(client, place)
        assert await read_entries(client) == [("copy.tgz", describe(copy))]
        await place.put(CANONICAL, FIRST)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        await place.delete("copy.tgz")
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == []


async def test_its_time_is_that_of_the_file_that_stands_for_it(place: Place) -> None:
    times = {"copy.tgz": "2019-01-01T00:00:00Z", CANONICAL: "2020-02-02T00:00:00.000000001Z"}
    entries = "".join(f"  - {{created: '{time}', urls: [charts/{name}]}}\n" for name, time in times.items())
    await place.put("index-cache.yaml", f"apiVersion: v1\nentries:\n  app:\n{entries}".encode())
    await place.put("copy.tgz", FIRST)
    async with open_place(place) as client:
        assert await find_created(client) == times["copy.tgz"]
        await place.put(CANONICAL, FIRST)
        await wait_for_passes(client, place)
        assert await find_created(client) == times[CANONICAL]
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await find_created(client) == times["copy.tgz"]


async def find_created(client: httpx.AsyncClient) -> Any:
    (entry,) = (await client.get("/index.yaml")).json()["entries"]["app"]
    return entry["created"]


@COPIES
@pytest.mark.parametrize("how", ["lost", "reindexed"])
async def test_moves_are_seen_where_the_database_is_new(place: Place, copy: bytes, how: str) -> None:
    await place.put("orig.tgz", FIRST)
    await place.put("org/app.tgz", FIRST)
    async with open_place(place) as client:
        assert await read_entries(client) == [("orig.tgz", "first")]
    await place.move("org/app.tgz", f"org/{CANONICAL}")
    await place.put(CANONICAL, copy)
    async with reopened(place, how) as client:
        assert await read_entries(client) == [(CANONICAL, describe(copy))]
        assert await read_entries(client, "org") == [(CANONICAL, "first")]
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [("orig.tgz", "first")]
    assert (await run_verify(place.address, **place.flags)).lines[-1] == "clean"


# -- provenance


@COPIES
async def test_provenance_lives_with_the_content_it_signs(place: Place, copy: bytes) -> None:
    mine, other = sign("app", "2.0.0"), sign("app", "2.0.0") + b"\nanother\n"
    await place.put(CANONICAL, FIRST)
    await place.put("copy.tgz", copy)
    await place.put("copy.tgz.prov", other)
    is_equal = copy == FIRST
    async with open_place(place) as client:
        assert await read_signature(client, CANONICAL) == (other if is_equal else None)
        await place.put(f"{CANONICAL}.prov", mine)
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) == mine  # the one next to it comes first
        await place.delete(f"{CANONICAL}.prov")
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) == (other if is_equal else None)
        await place.put(f"{CANONICAL}.prov", mine)
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [("copy.tgz", describe(copy))]
        assert await read_signature(client, "copy.tgz") == other
        await place.delete("copy.tgz.prov", f"{CANONICAL}.prov")
        await wait_for_passes(client, place)
        assert await read_signature(client, "copy.tgz") is None
        assert await read_entries(client) == [("copy.tgz", describe(copy))]


@pytest.mark.parametrize("names_digest", [True, False])
async def test_provenance_that_comes_before_the_new_archive_it_signs(place: Place, names_digest: bool) -> None:
    text = f"files:\n  {CANONICAL}: {digest_of(SECOND)}\n" if names_digest else ""
    signature = sign("app", "2.0.0") + text.encode()
    await place.put(CANONICAL, FIRST)
    async with open_place(place) as client:
        await place.put(f"{CANONICAL}.prov", signature)
        await wait_for_passes(client, place)
        await place.put(CANONICAL, SECOND)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "second")]
        assert await read_signature(client, CANONICAL) == (signature if names_digest else None)


async def test_provenance_before_its_chart_and_from_a_client(place: Place) -> None:
    async with open_place(place) as client:
        await place.put(f"{CANONICAL}.prov", sign("app", "2.0.0"))
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) == sign("app", "2.0.0")
        await place.put(CANONICAL, FIRST)
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) == sign("app", "2.0.0")
        await place.delete(f"{CANONICAL}.prov")
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) is None
        await push(client, sign("app", "2.0.0"), to="/api/prov")
        await place.put(f"{CANONICAL}.prov", sign("app", "2.0.0"))
        await wait_for_passes(client, place)
        await place.delete(f"{CANONICAL}.prov")
        await wait_for_passes(client, place)
        assert await read_signature(client, CANONICAL) == sign("app", "2.0.0")  # a client stored it, too


# -- what clients did to the version


@COPIES
@pytest.mark.parametrize("how", ["kept", "lost", "reindexed"])
@pytest.mark.parametrize("deed", ["deleted", "replaced"])
async def test_what_a_client_did_stays_done(place: Place, copy: bytes, how: str, deed: str) -> None:
    """Its files lie there still: moved, copied and removed they do not bring it back."""
    await place.put(CANONICAL, FIRST)
    await place.put("copy.tgz", copy)
    async with open_place(place) as client:
        await wait_for_passes(client, place)
        if deed == "deleted":
            assert (await client.delete("/api/charts/app/2.0.0")).status_code == 200
        else:
            await push(client, make_chart("app", "2.0.0", description="mine"), to="/api/charts?force")
        expected = await read_entries(client)
        assert len(expected) == (deed == "replaced")
        await wait_for_passes(client, place)
        assert await read_entries(client) == expected
    await place.move(CANONICAL, "moved.tgz")
    async with reopened(place, how) as client:
        assert await read_entries(client) == expected
        await place.delete("moved.tgz")
        await wait_for_passes(client, place)
        await place.move("copy.tgz", "again.tgz")
        await wait_for_passes(client, place)
        assert await read_entries(client) == expected
    if deed == "deleted":
        await place.put(CANONICAL, make_chart("app", "2.0.0", description="new"))
        async with open_place(place) as client:
            await wait_for_passes(client, place)
            assert await read_entries(client) == [(CANONICAL, "other")]  # new content is a new version
            await place.delete(CANONICAL)
            await wait_for_passes(client, place)
            assert await read_entries(client) == []


@pytest.mark.parametrize("deed", ["force", "delete and upload", "helm push", "import"])
async def test_a_version_that_a_client_stored_as_well_stays_when_its_file_goes(place: Place, deed: str) -> None:
    signature = sign("app", "2.0.0")
    await place.put(CANONICAL, FIRST)
    await place.put(f"{CANONICAL}.prov", signature)
    async with open_place(place) as client:
        await wait_for_passes(client, place)
        if deed == "force":
            await push(client, FIRST, to="/api/charts?force")
        elif deed == "delete and upload":
            assert (await client.delete("/api/charts/app/2.0.0")).status_code == 200
            await push(client, FIRST)
        elif deed == "helm push":
            await push_manifest(client, FIRST)
    if deed == "import":
        said = await run_import(place.address, place.address, **place.flags, max_storage_objects="1")
        assert said.find("unchanged")
    async with open_place(place) as client:
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        if deed == "import":
            await place.delete(f"{CANONICAL}.prov")
            await wait_for_passes(client, place)
            assert await read_signature(client, CANONICAL) == signature


async def push_manifest(client: httpx.AsyncClient, archive: bytes) -> None:
    for blob in (b"{}", archive):
        answer = await client.post(f"/v2/app/blobs/uploads/?digest={digest_of(blob)}", content=blob)
        assert answer.status_code == 201, answer.text
    manifest = chart_manifest(b"{}", archive)
    kind = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
    answer = await client.put("/v2/app/manifests/2.0.0", content=manifest, headers=kind)
    assert answer.status_code == 201, answer.text


async def test_a_refused_upload_does_not_keep_a_version(place: Place) -> None:
    await place.put(CANONICAL, FIRST)
    async with open_place(place) as client:
        assert (await client.post("/api/charts", content=FIRST)).status_code == 409
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == []


async def test_a_clients_version_is_not_replaced_by_a_new_file(place: Place) -> None:
    async with open_place(place) as client:
        await push(client, FIRST)
        await place.put("other.tgz", SECOND)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        await place.put(CANONICAL, SECOND)
        await place.delete("other.tgz")
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        assert (await client.delete("/api/charts/app/2.0.0")).status_code == 200
        await wait_for_passes(client, place)
        assert await read_entries(client) == []


# -- what else happens to files


async def test_a_file_that_holds_another_version_by_now(place: Place) -> None:
    await place.put("app-1.0.0.tgz", make_chart("app", "1.0.0"))
    await place.put("other-1.0.0.tgz", make_chart("other", "1.0.0"))
    async with open_place(place) as client:
        await place.put("app-1.0.0.tgz", FIRST)  # version 2.0.0
        await wait_for_passes(client, place)
        assert await find_versions(client, "app") == ["2.0.0"]
        assert await read_entries(client) == [("app-1.0.0.tgz", "first"), ("other-1.0.0.tgz", "other")]
        await place.put("app-1.0.0.tgz", make_chart("other", "1.0.0"))
        await wait_for_passes(client, place)
        assert await read_entries(client) == [("other-1.0.0.tgz", "other")]
        await place.delete("other-1.0.0.tgz")
        await wait_for_passes(client, place)
        assert await find_versions(client, "other") == ["1.0.0"]
        assert await find_versions(client, "app") == []


async def test_files_that_change_their_names(place: Place) -> None:
    one, two = make_chart("one", "1.0.0"), make_chart("two", "1.0.0")
    await place.put("a.tgz", one)
    await place.put("b.tgz", two)
    async with open_place(place) as client:
        assert (await client.get("/charts/a.tgz")).content == one
        await place.put("c.tgz", one)
        await place.put("a.tgz", two)
        await place.put("b.tgz", one)
        await place.delete("c.tgz")
        await wait_for_passes(client, place)
        assert (await client.get("/charts/a.tgz")).content == two
        assert (await client.get("/charts/b.tgz")).content == one
        assert await find_versions(client, "one") == await find_versions(client, "two") == ["1.0.0"]


@COPIES
async def test_a_canonical_file_that_breaks_gives_way_to_a_whole_copy(place: Place, copy: bytes) -> None:
    await place.put(CANONICAL, FIRST)
    async with open_place(place) as client:
        await place.put(CANONICAL, FIRST[:100])
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]  # it may be half written
        await place.put("copy.tgz", copy)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [("copy.tgz", describe(copy))]
        await place.put(CANONICAL, FIRST)
        await wait_for_passes(client, place)
        assert await read_entries(client) == [(CANONICAL, "first")]
        await place.put(CANONICAL, b"")
        await place.delete("copy.tgz")
        await wait_for_passes(client, place)
        assert len(await read_entries(client)) == 1
        await place.delete(CANONICAL)
        await wait_for_passes(client, place)
        assert await read_entries(client) == []


async def test_tenants_do_not_share_files(place: Place) -> None:
    await place.put(f"one/{CANONICAL}", FIRST)
    await place.put(f"two/{CANONICAL}", FIRST)
    async with open_place(place) as client:
        assert (await client.delete("/api/one/charts/app/2.0.0")).status_code == 200
        await place.move(f"two/{CANONICAL}", f"three-{CANONICAL}")
        await wait_for_passes(client, place)
        assert await read_entries(client, "one") == await read_entries(client, "two") == []
        assert await read_entries(client) == [(f"three-{CANONICAL}", "first")]


async def test_two_charts_of_one_file_name(place: Place) -> None:
    """`app-1-2.0.0.tgz` is chart `app-1`, or version `1-2.0.0` of `app`: the second shows when the first has gone."""
    first, second = make_chart("app-1", "2.0.0"), make_chart("app", "1-2.0.0")
    async with open_place(place) as client:
        await push(client, first)
        await place.put("app-1-2.0.0.tgz", second)
        await wait_for_passes(client, place)
        assert await find_versions(client, "app") == []
        assert (await client.delete("/api/charts/app-1/2.0.0")).status_code == 200
        await wait_for_passes(client, place)
        assert await find_versions(client, "app") == ["1-2.0.0"]


async def test_files_that_move_all_the_time_never_take_the_version_away(place: Place) -> None:
    names = ["a.tgz", CANONICAL]
    await place.put(names[0], FIRST)
    async with open_place(place, interval="1ms") as client:
        for number in range(40):
            await place.move(names[number % 2], names[1 - number % 2])
            await asyncio.sleep(0.02)
            assert await find_versions(client, "app") == ["2.0.0"]
