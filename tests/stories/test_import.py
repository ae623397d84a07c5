"""Importing: from a folder, a bucket, a repository over HTTP; twice; and what is refused."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
import yaml

from app.domain.times import parse_time
from app.errors import AppError
from storage import StorageError
from tests.charts import make_chart
from tests.house import open_house
from tests.needs import find_incubator
from tests.servers import moto_server
from tests.stories.shop import (
    Said,
    get_entries,
    make_provenance,
    run_import,
    settings_for,
    sha256,
    write_charts,
)
from tests.upstreams import Answer, FakeRepository, fake_repository

CREATED = "2017-04-28T00:18:30.071110236Z"


def render_index(*entries: dict[str, Any]) -> bytes:
    return yaml.safe_dump({"apiVersion": "v1", "entries": {"mychart": list(entries)}}).encode()


def entry(url: str, **facts: str) -> dict[str, Any]:
    return {"name": "mychart", "version": "0.1.0", "urls": [url], **facts}


async def test_a_folder_becomes_a_repository_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    written = write_charts(tmp_path / "old", "0.1.0", "0.2.0")
    assert await run_import(tmp_path / "new", tmp_path / "old") == Said(
        0, ["2 created, 0 unchanged, 0 refused, 0 provenance files"]
    )
    async with open_house(tmp_path / "new") as (client, _):
        first = (await client.get("/index.yaml")).content
        for filename, content in written.items():
            assert (await client.get(f"/charts/{filename}")).content == content
    assert await run_import(tmp_path / "new", tmp_path / "old") == Said(
        0, ["0 created, 2 unchanged, 0 refused, 0 provenance files"]
    )
    async with open_house(tmp_path / "new") as (client, _):
        assert (await client.get("/index.yaml")).content == first


async def test_created_comes_from_the_index_to_the_nanosecond_and_from_the_file_otherwise(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0", "0.2.0", "0.3.0")
    # Unquoted, as Helm 2 wrote it: YAML's own times have microseconds.
    listed = b"entries:\n  mychart:\n  - {urls: [mychart-0.1.0.tgz], created: %b}\n" % CREATED.encode()
    (tmp_path / "old" / "index.yaml").write_bytes(listed + b"  - {urls: [mychart-0.3.0.tgz], created: soon}\n")
    for version in ("0.2.0", "0.3.0"):
        os.utime(tmp_path / "old" / f"mychart-{version}.tgz", (1_500_000_000, 1_500_000_000))
    await run_import(tmp_path / "new", tmp_path / "old")
    async with open_house(tmp_path / "new") as (client, _):
        entries = await get_entries(client)
    assert {name: entry["created"] for name, entry in entries.items()} == {
        "mychart-0.1.0": CREATED,
        "mychart-0.2.0": "2017-07-14T02:40:00Z",
        "mychart-0.3.0": "2017-07-14T02:40:00Z",
    }


async def test_the_index_that_chartmuseum_keeps_wins_over_one_that_a_person_left(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    for name, created in (("index.yaml", "2001-01-01T00:00:00Z"), ("index-cache.yaml", CREATED)):
        listed = render_index(entry("charts/mychart-0.1.0.tgz", created=created))
        (tmp_path / "old" / name).write_bytes(listed)
    await run_import(tmp_path / "new", tmp_path / "old")
    async with open_house(tmp_path / "new") as (client, _):
        assert (await get_entries(client))["mychart-0.1.0"]["created"] == CREATED


async def test_sub_folders_become_repositories_below_the_given_one(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    write_charts(tmp_path / "old" / "org" / "team", "0.2.0")
    said = await run_import(tmp_path / "new", tmp_path / "old", "/mirror/")
    assert said.lines == ["2 created, 0 unchanged, 0 refused, 0 provenance files"]
    async with open_house(tmp_path / "new") as (client, _):
        assert list(await get_entries(client, "mirror")) == ["mychart-0.1.0"]
        assert list(await get_entries(client, "mirror/org/team")) == ["mychart-0.2.0"]


async def test_archives_that_an_index_lists_below_its_folder_belong_to_its_repository(tmp_path: Path) -> None:
    """The layout of a published static repository: absolute URLs, archives in packages/, one of them not listed."""
    write_charts(tmp_path / "old" / "packages", "0.1.0", "0.2.0")
    write_charts(tmp_path / "old" / "packages" / "other", "0.3.0")
    url = "https://charts.example/incubator/packages/mychart-0.1.0.tgz"
    (tmp_path / "old" / "index.yaml").write_bytes(render_index(entry(url, created=CREATED)))
    await run_import(tmp_path / "new", tmp_path / "old")
    async with open_house(tmp_path / "new") as (client, _):
        entries = await get_entries(client)
        assert sorted(entries) == ["mychart-0.1.0", "mychart-0.2.0"]
        assert entries["mychart-0.1.0"]["created"] == CREATED
        assert list(await get_entries(client, "packages/other")) == ["mychart-0.3.0"]


async def test_provenance_comes_along_also_without_its_chart(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    for version in ("0.1.0", "0.9.0"):
        (tmp_path / "old" / f"mychart-{version}.tgz.prov").write_bytes(make_provenance("mychart", version))
    said = await run_import(tmp_path / "new", tmp_path / "old")
    assert said.lines == ["1 created, 0 unchanged, 0 refused, 2 provenance files"]
    async with open_house(tmp_path / "new") as (client, _):
        response = await client.get("/charts/mychart-0.1.0.tgz.prov")
        assert response.content == make_provenance("mychart", "0.1.0")
    said = await run_import(tmp_path / "new", tmp_path / "old")
    assert said.lines == ["0 created, 1 unchanged, 0 refused, 0 provenance files"]


async def test_provenance_that_appears_later_is_added_to_the_chart_that_is_there(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    await run_import(tmp_path / "new", tmp_path / "old")
    (tmp_path / "old" / "mychart-0.1.0.tgz.prov").write_bytes(make_provenance("mychart", "0.1.0"))
    said = await run_import(tmp_path / "new", tmp_path / "old")
    assert said == Said(0, ["0 created, 1 unchanged, 0 refused, 1 provenance files"])


async def test_an_odd_file_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "copy of it.tgz").write_bytes(make_chart("mychart", "0.1.0"))
    await run_import(tmp_path / "new", tmp_path / "old")
    async with open_house(tmp_path / "new") as (client, _):
        assert (await get_entries(client))["mychart-0.1.0"]["urls"] == ["charts/copy of it.tgz"]
        assert (await client.get("/charts/copy of it.tgz")).content == make_chart("mychart", "0.1.0")


async def test_what_is_refused_is_named_and_everything_else_is_taken(tmp_path: Path) -> None:
    old = tmp_path / "old"
    write_charts(old, "0.1.0", "0.2.0")
    (old / "broken-1.0.0.tgz").write_bytes(b"no archive")
    (old / "large-1.0.0.tgz").write_bytes(bytes(2000))
    (old / "mychart-0.1.0.tgz.prov").write_bytes(b"-----BEGIN PGP SIGNED MESSAGE-----\nname: mychart\n")
    (old / "bad\tname").mkdir()
    (old / "bad\tname" / "mychart-0.1.0.tgz").write_bytes(make_chart())
    said = await run_import(tmp_path / "new", old, max_upload_size="1900")
    assert said.code == 3
    assert said.lines[0] == "2 created, 0 unchanged, 4 refused, 0 provenance files"
    assert said.lines[1:] == sorted(said.lines[1:])
    assert "refused: broken-1.0.0.tgz: " in said.find("broken")
    assert "larger than 1900 bytes" in said.find("large-1.0.0.tgz")
    assert "holds no PGP signature" in said.find("mychart-0.1.0.tgz.prov")
    assert "control character" in said.find("bad\tname")


async def test_other_content_under_a_version_is_refused_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    await run_import(tmp_path / "new", tmp_path / "old")
    changed = make_chart("mychart", "0.1.0", description="changed")
    (tmp_path / "old" / "mychart-0.1.0.tgz").write_bytes(changed)
    said = await run_import(tmp_path / "new", tmp_path / "old")
    assert said.code == 3
    assert "other content is stored as mychart 0.1.0" in said.find("refused: mychart-0.1.0.tgz")
    assert (await run_import(tmp_path / "new", tmp_path / "old", allow_overwrite="true")).lines == [
        "0 created, 1 replaced, 0 unchanged, 0 refused, 0 provenance files"
    ]
    assert (await run_import(tmp_path / "new", tmp_path / "old", allow_overwrite="true")).lines == [
        "0 created, 1 unchanged, 0 refused, 0 provenance files"
    ]


async def test_limits_of_uploads_do_not_bind_an_import(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0", "0.2.0", "0.3.0")
    said = await run_import(tmp_path / "new", tmp_path / "old", max_storage_objects="2", per_chart_limit="1")
    assert (said.code, said.lines) == (0, ["3 created, 0 unchanged, 0 refused, 0 provenance files"])


@pytest.mark.parametrize(
    ("repository", "flags", "reason"),
    [
        ("api/team", {}, "API"),
        ("v2", {}, "registry"),
        ("-/x", {}, "server's own"),
        ("org/~latest-3", {}, "slim view"),
        ("org/team", {"depth": "1"}, "depth 1"),
    ],
)
async def test_a_repository_that_the_servers_routes_hide_is_reported(
    tmp_path: Path, repository: str, flags: dict[str, str], reason: str
) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    said = await run_import(tmp_path / "new", tmp_path / "old", repository, **flags)
    assert said.code == 0
    assert reason in said.find(f"hidden: {repository}: ")


async def test_v2_is_not_hidden_below_a_context_path(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", "0.1.0")
    said = await run_import(tmp_path / "new", tmp_path / "old", "v2", context_path="/charts")
    assert said.lines == ["1 created, 0 unchanged, 0 refused, 0 provenance files"]


@pytest.mark.parametrize(
    ("source", "text"), [("/no/such/folder", "no folder"), ("ftp://host/x", "ftp://"), ("oci://host/x", "oci://")]
)
async def test_a_source_that_cannot_be_is_refused_in_one_line(tmp_path: Path, source: str, text: str) -> None:
    with pytest.raises(AppError, match=text):
        await run_import(tmp_path / "new", source)


async def test_charts_imported_beside_an_open_house_are_seen_there_at_once(tmp_path: Path) -> None:
    write_charts(tmp_path / "old", *(f"0.{number}.0" for number in range(30)))
    async with open_house(tmp_path / "new") as (client, _):
        uploads = [client.post("/api/charts", content=make_chart("other", f"1.{n}.0")) for n in range(20)]
        said, *posted = await asyncio.gather(run_import(tmp_path / "new", tmp_path / "old"), *uploads)
        assert said.lines == ["30 created, 0 unchanged, 0 refused, 0 provenance files"]
        assert {response.status_code for response in posted} == {201}
        assert len(await get_entries(client)) == 50


# -- over HTTP


@pytest.fixture
def upstream() -> Iterator[FakeRepository]:
    with fake_repository() as server:
        yield server


async def import_over_http(tmp_path: Path, url: str) -> tuple[Said, dict[str, Any]]:
    said = await run_import(tmp_path / "new", url)
    async with open_house(tmp_path / "new") as (client, _):
        return said, await get_entries(client)


async def test_urls_are_resolved_against_the_final_address_of_the_index(
    tmp_path: Path, upstream: FakeRepository
) -> None:
    with fake_repository() as elsewhere:
        wanted = {
            "charts/mychart-0.1.0.tgz": (upstream, "/moved/here/charts/mychart-0.1.0.tgz"),
            "../mychart-0.2.0.tgz": (upstream, "/moved/mychart-0.2.0.tgz"),
            "/mychart-0.3.0.tgz": (upstream, "/mychart-0.3.0.tgz"),
            f"//{elsewhere.host}/mychart-0.4.0.tgz": (elsewhere, "/mychart-0.4.0.tgz"),
            f"{elsewhere.url}/a%2Bb/mychart-0.5.0%2Bx.tgz?key=1": (elsewhere, "/a%2Bb/mychart-0.5.0%2Bx.tgz?key=1"),
        }
        for number, (server, path) in enumerate(wanted.values(), 1):
            version = f"0.{number}.0" + ("+x" if number == 5 else "")
            server.answers[path] = Answer(make_chart("mychart", version))
        listed = render_index(*(entry(url, created=CREATED) for url in wanted))
        upstream.answers["/old/index.yaml"] = Answer(status=302, headers={"Location": "/moved/here/index.yaml"})
        upstream.answers["/moved/here/index.yaml"] = Answer(listed)
        said, entries = await import_over_http(tmp_path, f"{upstream.url}/old/")
    assert said == Said(0, ["5 created, 0 unchanged, 0 refused, 0 provenance files"])
    assert {found["created"] for found in entries.values()} == {CREATED}
    assert entries["mychart-0.5.0+x"]["urls"] == ["charts/mychart-0.5.0+x.tgz"]


async def test_a_digest_that_the_index_promises_is_checked(tmp_path: Path, upstream: FakeRepository) -> None:
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        upstream.answers[f"/mychart-{version}.tgz"] = Answer(make_chart("mychart", version))
    upstream.answers["/index.yaml"] = Answer(
        render_index(
            entry("mychart-0.1.0.tgz", digest="sha256:" + sha256(make_chart("mychart", "0.1.0")).upper()),
            entry("mychart-0.2.0.tgz", digest="0" * 64),
            entry("mychart-0.3.0.tgz", digest="none of 64 hex digits"),
        )
    )
    said, entries = await import_over_http(tmp_path, upstream.url)
    assert said.code == 3
    assert f"the index says {'0' * 64}" in said.find("refused: ")
    assert sorted(entries) == ["mychart-0.1.0", "mychart-0.3.0"]


async def test_what_is_there_with_the_promised_digest_is_not_fetched_again(
    tmp_path: Path, upstream: FakeRepository
) -> None:
    content = make_chart()
    upstream.answers["/mychart-0.1.0.tgz"] = Answer(content)
    upstream.answers["/mychart-0.1.0.tgz.prov"] = Answer(make_provenance("mychart", "0.1.0"))
    upstream.answers["/index.yaml"] = Answer(render_index(entry("mychart-0.1.0.tgz", digest=sha256(content))))
    said, _ = await import_over_http(tmp_path, upstream.url)
    assert said.lines == ["1 created, 0 unchanged, 0 refused, 1 provenance files"]
    upstream.seen.clear()
    said, _ = await import_over_http(tmp_path, f"{upstream.url}/index.yaml")
    assert said.lines == ["0 created, 1 unchanged, 0 refused, 0 provenance files"]
    assert upstream.seen == ["/index.yaml"]


async def test_a_page_in_the_place_of_provenance_is_no_provenance(tmp_path: Path, upstream: FakeRepository) -> None:
    upstream.answers["/mychart-0.1.0.tgz"] = Answer(make_chart())
    upstream.answers["/mychart-0.1.0.tgz.prov"] = Answer(b"<html>no such page, sent with 200</html>")
    upstream.answers["/index.yaml"] = Answer(render_index(entry("mychart-0.1.0.tgz")))
    said, _ = await import_over_http(tmp_path, upstream.url)
    assert said == Said(0, ["1 created, 0 unchanged, 0 refused, 0 provenance files"])


async def test_an_archive_sent_with_a_content_encoding_is_stored_as_it_came(
    tmp_path: Path, upstream: FakeRepository
) -> None:
    """Some servers call a .tgz an encoded tar; decoding it would give other bytes than those that were signed."""
    content = make_chart()
    upstream.answers["/mychart-0.1.0.tgz"] = Answer(content, headers={"Content-Encoding": "gzip"})
    listed = render_index(entry("mychart-0.1.0.tgz", digest=sha256(content)))
    upstream.answers["/index.yaml"] = Answer(gzip.compress(listed), headers={"Content-Encoding": "gzip"})
    said, entries = await import_over_http(tmp_path, upstream.url)
    assert said.lines == ["1 created, 0 unchanged, 0 refused, 0 provenance files"]
    assert entries["mychart-0.1.0"]["digest"] == sha256(content)


async def test_failures_that_pass_are_tried_again_and_others_are_named(
    tmp_path: Path, upstream: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.upstream.helm_repo._WAITS", (0.01, 0.01))
    upstream.answers["/mychart-0.1.0.tgz"] = Answer(make_chart(), fails=2)
    upstream.answers["/mychart-0.2.0.tgz"] = Answer(make_chart("mychart", "0.2.0"), cut=100)
    upstream.answers["/mychart-0.3.0.tgz"] = Answer(make_chart("mychart", "0.3.0"), fails=9)
    urls = [f"mychart-0.{number}.0.tgz" for number in range(1, 5)]
    urls += ["oci://host/mychart", "http://host:port/mychart-0.6.0.tgz"]
    upstream.answers["/index.yaml"] = Answer(render_index(*map(entry, urls)))
    said, entries = await import_over_http(tmp_path, upstream.url)
    assert said.code == 3
    assert list(entries) == ["mychart-0.1.0"]
    assert said.lines[0] == "1 created, 0 unchanged, 5 refused, 0 provenance files"
    assert "503" in said.find("mychart-0.3.0.tgz")
    assert "404" in said.find("mychart-0.4.0.tgz")
    assert said.find("mychart-0.2.0.tgz")
    assert said.find("oci://host/mychart")
    assert said.find("http://host:port")


async def test_a_password_goes_to_its_own_host_only_and_into_no_message(tmp_path: Path) -> None:
    with fake_repository("user:secret") as guarded, fake_repository() as elsewhere:
        guarded.answers["/index.yaml"] = Answer(
            render_index(
                entry("mychart-0.1.0.tgz"), entry(f"{guarded.url}/mychart-0.2.0.tgz"),
                entry(f"{elsewhere.url}/mychart-0.3.0.tgz"), entry("mychart-0.4.0.tgz"),
            )
        )  # fmt: skip
        for server, number in ((guarded, 1), (guarded, 2), (elsewhere, 3)):
            server.answers[f"/mychart-0.{number}.0.tgz"] = Answer(make_chart("mychart", f"0.{number}.0"))
        said, entries = await import_over_http(tmp_path, f"http://user:secret@{guarded.host}")
        assert len(entries) == 3
        assert "404" in said.find("***@")
        assert "secret" not in "".join(said.lines)
        assert not any("Authorization" in headers for headers in elsewhere.headers)
        with pytest.raises(AppError, match=r"401.*user:password@"):
            await run_import(tmp_path / "new", guarded.url)


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"{}", b"entries: [", b"\xff\xfe"])
async def test_an_address_without_an_index_is_refused_in_one_line(
    tmp_path: Path, upstream: FakeRepository, body: bytes
) -> None:
    upstream.answers["/index.yaml"] = Answer(body)
    with pytest.raises(AppError, match=r"/index\.yaml: ") as caught:
        await run_import(tmp_path / "new", upstream.url)
    assert "\n" not in caught.value.message


# -- from a bucket


async def test_a_prefix_of_a_bucket_is_imported_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto_server() as endpoint:
        client = boto3.session.Session().client("s3", "us-east-1", endpoint_url=endpoint)
        client.create_bucket(Bucket="charts")
        listed = render_index(entry("charts/mychart-0.1.0.tgz", created=CREATED))
        objects = {
            "old/mychart-0.1.0.tgz": make_chart(), "old/index-cache.yaml": listed,
            "old/org/mychart-0.2.0.tgz": make_chart("mychart", "0.2.0"), "other/x-1.0.0.tgz": b"",
        }  # fmt: skip
        for key, content in objects.items():
            client.put_object(Bucket="charts", Key=key, Body=content)
        client.close()
        said = await run_import(tmp_path / "new", "s3://charts/old", storage_amazon_endpoint=endpoint)
        assert said == Said(0, ["2 created, 0 unchanged, 0 refused, 0 provenance files"])
        with pytest.raises(StorageError, match="nowhere"):
            await run_import(tmp_path / "new", "s3://nowhere", storage_amazon_endpoint=endpoint)
    async with open_house(tmp_path / "new") as (http, _):
        assert (await get_entries(http))["mychart-0.1.0"]["created"] == CREATED
        assert list(await get_entries(http, "org")) == ["mychart-0.2.0"]


# -- real input


async def test_incubator_comes_over_whole_with_the_times_of_its_index(tmp_path: Path) -> None:
    source = find_incubator()
    archives = {path.name: sha256(path.read_bytes()) for path in (source / "packages").glob("*.tgz")}
    said = await run_import(tmp_path / "new", source)
    assert said == Said(0, [f"{len(archives)} created, 0 unchanged, 0 refused, 0 provenance files"])
    index = yaml.load((source / "index.yaml").read_bytes(), Loader=yaml.CBaseLoader)
    listed = {
        entry["urls"][0].rpartition("/")[2]: (entry["digest"], parse_time(entry["created"]))
        for versions in index["entries"].values()
        for entry in versions
    }
    async with open_house(tmp_path / "new") as (client, _):
        content = (await client.get("/index.yaml")).content
    found = {
        entry["urls"][0].rpartition("/")[2]: (entry["digest"], parse_time(entry["created"]))
        for versions in orjson.loads(content)["entries"].values()
        for entry in versions
    }
    assert {name: facts[0] for name, facts in found.items()} == archives
    assert {name: found[name] for name in listed} == listed


def test_settings_of_these_stories_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTROOM_DEPTH", "3")
    assert settings_for("/tmp/x").depth is None


async def test_nothing_is_taken_in_while_another_catalogue_has_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two databases on one folder: the second one would fork the ledger."""
    monkeypatch.setattr("app.services.imports._TRIES", 1)
    write_charts(tmp_path / "old", "0.1.0")
    async with open_house(tmp_path / "new") as (client, _):
        with pytest.raises(AppError, match="only reads"):
            await run_import(tmp_path / "new", tmp_path / "old", database=f"sqlite:///{tmp_path / 'second.db'}")
        assert await get_entries(client) == {}
