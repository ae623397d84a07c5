"""`helm-client search`: in the repositories that are known here, or in a hub."""

from __future__ import annotations

from typing import Any

import click

from helm_client.cli.flags import Command, get_environment, join, output_flag
from helm_client.cli.output import render_json, render_table, render_yaml, show, tell
from helm_client.errors import HelmClientError

_table_flags = join(
    click.option("--fail-on-no-result", is_flag=True, help="search fails if no results are found"),
    click.option("--max-col-width", type=int, default=50, show_default=True, help="maximum column width; 0 for none"),
    output_flag,
)


@click.command("repo", cls=Command, short_help="search repositories for a keyword in charts")
@click.argument("keyword", nargs=-1)
@click.option("--devel", is_flag=True, help="use development versions, too; the same as --version '>0.0.0-0'")
@click.option("-r", "--regexp", is_flag=True, help="take the keyword for a regular expression")
@click.option("--version", default="", help="search for versions in a range")
@click.option("-l", "--versions", is_flag=True, help="show each version of each chart on its own line")
@_table_flags
@click.pass_context
def repo(
    ctx: click.Context, keyword: tuple[str, ...], devel: bool, regexp: bool, version: str, versions: bool,
    fail_on_no_result: bool, max_col_width: int, output: str,
) -> None:  # fmt: skip
    """Search the repositories that were added with `repo add`, as their last `repo update` left them."""
    from helm_client.client import Client

    client = Client(get_environment(ctx))
    for entry in client.repositories.list():
        if not client.cache.index_path(entry.name).exists():
            tell(f"WARNING: Repo {entry.name!r} is corrupt or missing. Try 'helm repo update'.")
    found = client.search(" ".join(keyword), regexp=regexp, version=version, devel=devel, all_versions=versions)
    rows = [
        {
            "name": match.name, "version": match.chart.version, "app_version": match.chart.app_version,
            "description": match.chart.description,
        }
        for match in found
    ]  # fmt: skip
    _show("NAME", rows, output, max_col_width, fail_on_no_result)


@click.command("hub", cls=Command, short_help="search for charts in a hub")
@click.argument("keyword", nargs=-1)
@click.option("--endpoint", default="https://hub.helm.sh", show_default=True, help="hub instance to ask")
@click.option("--list-repo-url", is_flag=True, help="print charts repository URL")
@_table_flags
@click.pass_context
def hub(
    ctx: click.Context, keyword: tuple[str, ...], endpoint: str, list_repo_url: bool, fail_on_no_result: bool,
    max_col_width: int, output: str,
) -> None:  # fmt: skip
    """Search for charts in Artifact Hub or in another hub, such as a Chartroom."""
    from helm_client.hub import search_hub

    rows: list[dict[str, Any]] = [
        {
            "url": chart.url, "version": chart.version, "app_version": chart.app_version,
            "description": chart.description,
            "repository": {"url": chart.repository_url, "name": chart.repository_name},
        }
        for chart in search_hub(" ".join(keyword), endpoint)
    ]  # fmt: skip
    _show("URL", rows, output, max_col_width, fail_on_no_result, with_repository=list_repo_url)


def _show(
    first: str, rows: list[dict[str, Any]], output: str, width: int, fails: bool, *, with_repository: bool = False
) -> None:
    if not rows and fails:
        raise HelmClientError("no results found")
    if output == "json":
        show(render_json(rows))
    elif output == "yaml":
        show(render_yaml(rows))
    elif not rows:
        show("No results found\n")
    else:
        headers = [first, "CHART VERSION", "APP VERSION", "DESCRIPTION", *(["REPO URL"] if with_repository else [])]
        cells = [[str(value) for name, value in row.items() if name != "repository"] for row in rows]
        if with_repository:
            cells = [[*line, row["repository"]["url"]] for line, row in zip(cells, rows, strict=True)]
        show(render_table(headers, cells, max_width=width))
