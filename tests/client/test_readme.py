"""The README of the client: its tour is typed and its Python runs, against a live server."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import helm_client
import httpx
import pytest
from helm_client import AsyncClient, Entry, Environment, HelmClientError, Wanted, errors
from helm_client.cli.app import cli

from tests.charts import make_chart
from tests.client.cluster import fake_cluster
from tests.client.conftest import FILES
from tests.client.releases import RELEASES
from tests.client.shell import Shell
from tests.kube.api import KubeApi
from tests.live import LiveServer, serve
from tests.needs import missing

README = (Path(helm_client.__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serve(tmp_path_factory.mktemp("readme") / "data") as running:
        for version in ("10.5.0", "10.5.7", "11.0.0"):
            chart = make_chart("redis", version, description="A store of keys", files=FILES)
            assert httpx.post(f"{running.url}/api/charts", content=chart).status_code == 201
        yield running


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_tour_can_be_typed(server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path)
    monkeypatch.chdir(tmp_path)
    known = {"$REPOSITORY": server.url, "$REGISTRY": server.url.removeprefix("http://")}
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("helm-client ")]
    assert len(lines) > 5
    if find_spec("helm_python") is None:
        missing("helm-sdk")
    with KubeApi() as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        for line in lines:
            for name, value in known.items():
                line = line.replace(name, value)
            shell.say(*shlex.split(line)[1:])
    assert (tmp_path / "redis-10.5.7.tgz").exists()
    assert (tmp_path / "redis-11.0.0.tgz").exists()


def test_the_python_runs(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HELM_REPOSITORY_CONFIG", "HELM_REPOSITORY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {"repository": server.url})
    assert capsys.readouterr().out == "stable/redis 11.0.0 A store of keys\n"
    assert (tmp_path / "redis-10.5.7.tgz").exists()


def test_every_command_is_in_the_table_and_explains_itself(tmp_path: Path) -> None:
    import click

    shell, context = Shell(tmp_path), click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if not getattr(command, "hidden", False):
            assert f"`{name}" in README, name
        children = command.list_commands(context) if isinstance(command, click.Group) else [""]
        for child in children:
            words = [word for word in (name, child) if word]
            assert "Usage:" in shell.say(*words, "--help"), words


def test_the_same_can_be_awaited(server: LiveServer, tmp_path: Path) -> None:
    async def use() -> None:
        heard: list[tuple[str, int, int]] = []
        environment = Environment.read({"HOME": str(tmp_path)})
        client = AsyncClient(environment, progress=lambda *seen: heard.append(seen))
        assert await client.add_repository(Entry("stable", server.url))
        assert [update.error for update in await client.update_repositories()] == [None]
        repo = client.repo("stable")
        await repo.update()
        assert [match.name for match in await repo.search("keys")] == ["stable/redis"]
        assert [match.chart.version for match in await client.search("redis", version="<11")] == ["10.5.7"]
        assert len(await repo.versions("redis")) == 3
        paths = await asyncio.gather(
            repo.fetch("redis", "10.5.0", tmp_path), client.fetch(Wanted("stable/redis", "10.5.7"), tmp_path)
        )
        assert heard[-1][1] == heard[-1][2] > 0
        assert (await client.read(Wanted(str(paths[0])))).version == "10.5.0"
        await client.push(paths[1], "stable", force=True)
        await client.remove_repository("stable")
        with pytest.raises(HelmClientError, match="repo stable not found"):
            await repo.search()

    asyncio.run(use())


def test_releases_can_be_awaited(tmp_path: Path) -> None:
    async def use() -> None:
        environment = Environment.read({"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")})
        releases = AsyncClient(environment).releases()
        assert [release.name for release in await releases.select()] == ["bad", "cache", "web", "zoned"]
        assert [release.revision for release in await releases.history("web")] == [1, 2, 3]
        assert (await releases.get("web", 2)).chart == "mychart-0.2.0"

    with fake_cluster() as cluster:
        for release in RELEASES:
            cluster.keep(release)
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        asyncio.run(use())


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)", (errors.__doc__ or "").partition("\n")[2], re.MULTILINE)
    there = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(drawn) == there
    assert there <= set(helm_client.__all__)
    for name in helm_client.__all__:
        assert getattr(helm_client, name).__name__ == name
