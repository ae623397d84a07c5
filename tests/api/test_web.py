"""The page for people, and an operator's own page in its place."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Rooms
from tests.api.wire import ask, push
from tests.charts import make_chart


async def test_an_empty_repository_has_a_page_with_the_commands_to_use_it(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for line in (
        "helm repo add chartroom http://charts.test<", "helm search repo chartroom<",
        "curl --data-binary @mychart-0.1.0.tgz http://charts.test/api/charts<", "0 charts", "Nothing here yet.",
    ):  # fmt: skip
        assert line in response.text
    head = await client.head("/")
    assert (head.status_code, head.headers["content-length"], head.text) == (200, str(len(response.content)), "")


@pytest.mark.parametrize(
    ("flags", "address", "upload", "oci"),
    [
        ({"context_path": "/x"}, "http://charts.test/x", "http://charts.test/x/api/charts", "charts.test/"),
        ({"public_url": "https://c.test"}, "https://c.test", "https://c.test/api/charts", "c.test/"),
        (
            {"public_url": "https://c.test", "context_path": "x"},
            "https://c.test/x", "https://c.test/x/api/charts", "c.test/",
        ),
        ({"depth": "1"}, "http://charts.test/TENANT", "http://charts.test/api/TENANT/charts", "charts.test/TENANT/"),
        (
            {"depth": "2"}, "http://charts.test/TENANT/TENANT1",
            "http://charts.test/api/TENANT/TENANT1/charts", "charts.test/TENANT/TENANT1/",
        ),
    ],
)  # fmt: skip
async def test_the_commands_name_the_address_that_works(
    rooms: Rooms, flags: dict[str, str], address: str, upload: str, oci: str
) -> None:
    async with rooms(**flags) as (client, _house):
        text = (await client.get("/x/" if "context_path" in flags else "/")).text
    assert f"helm repo add chartroom {address}<" in text
    assert f"@mychart-0.1.0.tgz {upload}<" in text
    plain = "" if address.startswith("https:") else " --plain-http"
    assert f"helm pull oci://{oci}CHART{plain}<" in text


async def test_the_commands_name_the_account_where_one_is_needed(rooms: Rooms) -> None:
    async with rooms(basic_auth_user="a", basic_auth_pass="b") as (client, _house):
        text = (await client.get("/", auth=("a", "b"))).text
    assert "helm repo add chartroom http://charts.test --username USER<" in text
    assert "curl --user USER --data-binary" in text


async def test_the_page_lists_charts_and_searches(client: httpx.AsyncClient) -> None:
    await push(
        client, make_chart("redis", description="in memory", appVersion="7", deprecated=True), make_chart("mysql")
    )
    await push(client, make_chart("team-chart"), to="/api/org/charts")
    text = (await client.get("/")).text
    assert "3 charts" in text
    assert re.findall(r"<h3>(.*?)</h3>", text) == [
        "mysql", 'redis <span class="badge">deprecated</span>', '<span class="soft">org/</span>team-chart',
    ]  # fmt: skip
    found = (await client.get("/?q=%20memory%20")).text
    assert "1 chart for “memory”" in found
    assert 'value="memory"' in found
    nothing = (await client.get("/?q=zzz")).text
    assert "0 charts for “zzz”" in nothing
    assert "Nothing matches." in nothing


async def test_a_long_list_has_pages(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routes.web._PAGE", 2)
    async with rooms() as (client, _house):
        await push(client, *(make_chart(f"chart-{number}") for number in range(5)))
        for page, expected in (("1", ["0", "1"]), ("2", ["2", "3"]), ("3", ["4"])):
            text = (await client.get(f"/?q=chart&page={page}")).text
            assert re.findall(r"<h3>chart-(\d)</h3>", text) == expected
            assert f"page {page} of 3" in text
            assert ('rel="prev"' in text, 'rel="next"' in text) == (page != "1", page != "3")
        assert 'href="?q=chart&amp;page=2"' in (await client.get("/?q=chart")).text
        assert "Nothing on this page." in (await client.get("/?page=9")).text
        for odd in ("0", "-1", "x", "", "9" * 50, "1.5"):
            assert (await client.get(f"/?page={odd}")).status_code == 200


async def test_everything_that_came_from_outside_is_escaped(rooms: Rooms) -> None:
    evil = "<script>alert(1)</script>\"'&"
    async with rooms() as (client, _house):
        name = "<img src=x onerror=alert(1)>"
        chart_yaml = f"name: '{name}'\nversion: 1.0.0\ndescription: |-\n  {evil}\nappVersion: |-\n  {evil}\n"
        await push(client, make_chart(files={"Chart.yaml": chart_yaml}), to="/api/%3Cb%3Etenant/charts")
        text = (await client.get("/", params={"q": ""})).text
        text += (await client.get("/", params={"q": evil})).text
        text += (await ask(client, "GET", "/", headers={"host": 'x"><script>alert(2)</script>'})).body.decode()
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


async def test_the_page_loads_nothing_from_anywhere_and_no_script_may_run(client: httpx.AsyncClient) -> None:
    await push(client, make_chart(icon="https://elsewhere.test/icon.png", home="https://elsewhere.test"))
    response = await client.get("/")
    assert not re.search(r"<(script|img|link|iframe)|@import|url\(|elsewhere", response.text)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.content) < 10_000


# -- an operator's own page


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Answer a folder with a page and files of its own, and something beside it that nobody may read."""
    folder = tmp_path / "web"
    (folder / "static" / "css").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Ours</h1>")
    (folder / "static" / "css" / "main.css").write_text("body {}")
    (folder / "staticfoo").write_text("foo")
    (folder / "secret.txt").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "static" / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.mark.parametrize("context_path", ["", "/x"])
async def test_an_operators_own_page_and_its_files_are_served(rooms: Rooms, own: Path, context_path: str) -> None:
    async with rooms(web_template_path=str(own), context_path=context_path) as (client, _house):
        page = await client.get(f"{context_path}/")
        assert (page.status_code, page.text) == (200, "<h1>Ours</h1>")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        style = await client.get(f"{context_path}/static/css/main.css")
        assert (style.status_code, style.text, style.headers["content-type"]) == (
            200,
            "body {}",
            "text/css; charset=utf-8",
        )
        assert (await client.head(f"{context_path}/static/css/main.css")).headers["content-length"] == "7"
        assert (await client.get(f"{context_path}/staticfoo")).text == "foo"
        for missing in ("/static", "/static/", "/static/css", "/static/none.css", "/static/link.txt"):
            reply = await ask(client, "GET", context_path + missing)
            assert (reply.status, reply.headers["content-type"]) == (404, "text/plain; charset=utf-8")
            assert reply.body == b"404 page not found"


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/static/../secret.txt",
            "/static/../../secret.txt",
            "/static/%2e%2e/%2e%2e/secret.txt",
            "/static/..%2f..%2fsecret.txt",
        ),
        *(
            "/static/css/../../../secret.txt",
            "/static/..%5c..%5csecret.txt",
            "/static/%00",
            "/static/css/main.css%00.txt",
        ),
    ],
)
async def test_nothing_outside_the_folder_is_served(rooms: Rooms, own: Path, target: str) -> None:
    async with rooms(web_template_path=str(own)) as (client, _house):
        reply = await ask(client, "GET", target)
    assert (reply.status, b"secret" in reply.body) == (400, False)


async def test_an_own_page_needs_credentials_like_ours(rooms: Rooms, own: Path) -> None:
    async with rooms(web_template_path=str(own), basic_auth_user="a", basic_auth_pass="b") as (client, _house):
        for path in ("/", "/static/css/main.css"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, auth=("a", "b"))).status_code == 200


async def test_without_html_or_without_the_folder_our_page_stays(rooms: Rooms, own: Path) -> None:
    (own / "index.html").unlink()
    async with rooms(web_template_path=str(own)) as (client, _house):
        assert "helm repo add" in (await client.get("/")).text
        assert (await client.get("/static/css/main.css")).status_code == 200
    async with rooms(web_template_path=str(own / "none")) as (client, _house):
        assert "helm repo add" in (await client.get("/")).text
        assert (await client.get("/static/css/main.css")).json() == {"error": "not found"}
