"""`helm-client repo`: add, list, update, remove, index."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from helm_client.cli.completion import complete_repository
from helm_client.cli.flags import Command, Duration, get_environment, output_flag
from helm_client.cli.output import render_json, render_table, render_yaml, show, tell
from helm_client.errors import ConfigError, HelmClientError

timeout_flag = click.option(
    "--timeout", type=Duration(), default="2m0s", show_default=True, help="time to wait for the index file"
)


@click.command("add", cls=Command, short_help="add a chart repository")
@click.argument("name")
@click.argument("url")
@click.option("--allow-deprecated-repos", is_flag=True, help="take addresses of official repos that are gone for good")
@click.option("--ca-file", default="", help="verify certificates of HTTPS-enabled servers using this CA bundle")
@click.option("--cert-file", default="", help="identify HTTPS client using this SSL certificate file")
@click.option("--force-update", is_flag=True, help="replace (overwrite) the repo if it already exists")
@click.option("--insecure-skip-tls-verify", is_flag=True, help="skip tls certificate checks for the repository")
@click.option("--key-file", default="", help="identify HTTPS client using this SSL key file")
@click.option("--no-update", is_flag=True, hidden=True, help="ignored, as helm does")
@click.option("--pass-credentials", is_flag=True, help="pass credentials to all domains")
@click.option("--password", default="", help="chart repository password")
@click.option("--password-stdin", is_flag=True, help="read chart repository password from stdin")
@click.option("--replaces", multiple=True, metavar="URL", help="an old address this repository stands in for")
@click.option("--username", default="", help="chart repository username")
@timeout_flag
@click.pass_context
def add(
    ctx: click.Context, name: str, url: str, allow_deprecated_repos: bool, ca_file: str, cert_file: str,
    force_update: bool, insecure_skip_tls_verify: bool, key_file: str, no_update: bool, pass_credentials: bool,
    password: str, password_stdin: bool, replaces: tuple[str, ...], username: str, timeout: float,
) -> None:  # fmt: skip
    """Add a chart repository by a name of your own.

    With --replaces, dependencies that name the old address are fetched from this repository.
    """
    from helm_client.client import Client
    from helm_client.repositories import Entry

    if not allow_deprecated_repos:
        _refuse_dead(url)
    if username and not password:
        password = _ask_password(password_stdin)
    entry = Entry(
        name, url, username, password, _absolute(cert_file), _absolute(key_file), _absolute(ca_file),
        insecure_skip_tls_verify, pass_credentials, replaces,
    )  # fmt: skip
    client = Client(get_environment(ctx))
    if client.add_repository(entry, force_update=force_update, timeout=timeout):
        show(f'"{name}" has been added to your repositories\n')
    else:
        show(f'"{name}" already exists with the same configuration, skipping\n')


_DEAD = {
    "//kubernetes-charts.storage.googleapis.com": "https://charts.helm.sh/stable",
    "//kubernetes-charts-incubator.storage.googleapis.com": "https://charts.helm.sh/incubator",
}


def _refuse_dead(url: str) -> None:
    for dead, alive in _DEAD.items():
        if dead in url:
            raise ConfigError(f'repo "{url}" is no longer available; try "{alive}" instead')


def _ask_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read().rstrip("\r\n")
    answer: str = click.prompt("Password", hide_input=True, err=True)
    return answer


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


@click.command("list", cls=Command, short_help="list chart repositories")
@click.option("--no-headers", is_flag=True, help="suppress headers in the output")
@output_flag
@click.pass_context
def list_(ctx: click.Context, no_headers: bool, output: str) -> None:
    """List the chart repositories that are known here."""
    from helm_client.repositories import Repositories

    entries = Repositories(get_environment(ctx).repository_config).list()
    rows = [{"name": entry.name, "url": entry.url} for entry in entries]
    if output == "json":
        show(render_json(rows))
    elif output == "yaml":
        show(render_yaml(rows))
    elif not rows:
        tell("no repositories to show")
    else:
        show(render_table([] if no_headers else ["NAME", "URL"], [list(row.values()) for row in rows]))


@click.command("update", cls=Command, short_help="update information of available charts")
@click.argument("names", nargs=-1, shell_complete=complete_repository)
@timeout_flag
@click.pass_context
def update(ctx: click.Context, names: tuple[str, ...], timeout: float) -> int:
    """Fetch the newest index of these repositories, or of all."""
    from helm_client.client import Client

    updates = Client(get_environment(ctx)).update_repositories(names, timeout=timeout)
    failed = []
    first = next(updates)  # fails before a word is said when there is nothing to update
    show("Hang tight while we grab the latest from your chart repositories...\n")
    for one in (first, *updates):
        if one.error is None:
            show(f'...Successfully got an update from the "{one.entry.name}" chart repository\n')
        else:
            failed.append(one.entry.url)
            show(f'...Unable to get an update from the "{one.entry.name}" chart repository ({one.entry.url}):\n')
            show(f"\t{one.error}\n")
    if failed:
        raise HelmClientError(f"failed to update the following repositories: [{' '.join(failed)}]")
    show("Update Complete. ⎈Happy Helming!⎈\n")
    return 0


@click.command("remove", cls=Command, short_help="remove one or more chart repositories")
@click.argument("names", nargs=-1, required=True, shell_complete=complete_repository)
@click.pass_context
def remove(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Forget chart repositories and their cached indexes."""
    from helm_client.client import Client

    client = Client(get_environment(ctx))
    for name in names:
        client.remove_repository(name)
        show(f'"{name}" has been removed from your repositories\n')


@click.command("index", cls=Command, short_help="generate an index file given a directory containing packaged charts")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="output in JSON format, to index.json")
@click.option("--merge", default="", help="merge the generated index into the given index")
@click.option("--url", default="", help="url of chart repository")
def index(folder: str, as_json: bool, merge: str, url: str) -> None:
    """Make the index.yaml of a folder of packaged charts."""
    from helm_client.indexing import make_index
    from helm_client.transfer import write_whole

    found = make_index(Path(folder), url=url, merge=Path(merge) if merge else None)
    content = render_json(found) if as_json else render_yaml(found)
    write_whole(Path(folder) / ("index.json" if as_json else "index.yaml"), content.encode())
