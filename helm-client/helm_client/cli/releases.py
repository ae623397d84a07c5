"""`helm-client list`, `status`, `history` and `get`: what Helm keeps of releases, read without Helm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from helm_client.cli.flags import Command, get_environment, join, output_flag
from helm_client.cli.output import render_json, render_table, render_yaml, show, sort_maps
from helm_client.cli.report import (
    render_all,
    render_hooks,
    render_metadata,
    render_status,
    render_values,
    to_metadata,
    to_status,
)

if TYPE_CHECKING:
    from helm_client.releases import Release, ReleaseStore

revision_flag = click.option("--revision", type=int, default=0, help="a revision of the release  [default: the last]")

_STATES = {
    "deployed": {"deployed"}, "failed": {"failed"}, "superseded": {"superseded"}, "uninstalled": {"uninstalled"},
    "uninstalling": {"uninstalling"}, "pending": {"pending-install", "pending-upgrade", "pending-rollback"},
}  # fmt: skip
_state_flags = join(
    *(click.option(f"--{state}", state, is_flag=True, help=f"show {state} releases") for state in _STATES)
)


def open_store(ctx: click.Context, namespace: str | None = None) -> ReleaseStore:
    """Answer the releases of the namespace that this call is about."""
    from helm_client.releases import ReleaseStore

    return ReleaseStore(get_environment(ctx), namespace)


@click.command("list", cls=Command, short_help="list releases")
@click.option("-a", "--all", "everything", is_flag=True, help="show releases in every state, as is the default")
@click.option("-A", "--all-namespaces", is_flag=True, help="list releases across all namespaces")
@click.option("-d", "--date", is_flag=True, help="sort by release date")
@click.option("-f", "--filter", "pattern", default="", help="a regular expression that names must match")
@click.option("-m", "--max", "limit", type=int, default=256, show_default=True, help="how many at most")
@click.option("--no-headers", is_flag=True, help="don't print headers when using the default output format")
@click.option("--offset", type=int, default=0, help="how many to leave out at the start")
@click.option("-r", "--reverse", is_flag=True, help="reverse the sort order")
@click.option("-l", "--selector", default="", help="labels that releases must have (key=value,...)")
@click.option("-q", "--short", is_flag=True, help="names only")
@click.option("--time-format", default="", help='Go\'s notation, for example "2006-01-02 15:04:05Z0700"')
@_state_flags
@output_flag
@click.pass_context
def list_(
    ctx: click.Context, /, everything: bool, all_namespaces: bool, date: bool, pattern: str, limit: int,
    no_headers: bool, offset: int, reverse: bool, selector: str, short: bool, time_format: str, output: str,
    **states: bool,
) -> None:  # fmt: skip
    """List the releases of a namespace, each by its last revision."""
    from helm_client.releases import Filter
    from helm_client.releases.times import render_time

    wanted = frozenset().union(*(_STATES[name] for name, is_wanted in states.items() if is_wanted))
    conditions = Filter(frozenset() if everything else wanted, pattern, selector, date, reverse, limit, offset)
    found = open_store(ctx, "" if all_namespaces else None).select(conditions)
    rows = [
        {
            "name": one.name, "namespace": one.namespace, "revision": str(one.revision),
            "updated": render_time(one.updated, time_format), "status": one.status, "chart": one.chart,
            "app_version": one.app_version,
        }
        for one in found
    ]  # fmt: skip
    headers = ["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"]
    if short:
        names = [one.name for one in found]
        show("".join(f"{name}\n" for name in names) if output == "table" else _render(names, output))
    else:
        _show_rows(rows, [] if no_headers else headers, output)


@click.command("history", cls=Command, short_help="fetch release history")
@click.argument("name")
@click.option("--max", "limit", type=int, default=256, show_default=True, help="how many revisions at most")
@output_flag
@click.pass_context
def history(ctx: click.Context, name: str, limit: int, output: str) -> None:
    """Show the revisions of a release, oldest first."""
    from helm_client.releases.times import render_ansi_time

    rows: list[dict[str, Any]] = [
        {
            "revision": one.revision, "updated": one.updated if output != "table" else render_ansi_time(one.updated),
            "status": one.status, "chart": one.chart, "app_version": one.app_version,
            "rollback_revision": one.info.get("rollback_revision") if output != "table" else None,
            "description": one.description,
        }
        for one in open_store(ctx).history(name, limit)
    ]  # fmt: skip
    rows = [{key: value for key, value in row.items() if value or key != "rollback_revision"} for row in rows]
    _show_rows(rows, ["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"], output)


@click.command("status", cls=Command, short_help="display the status of the named release")
@click.argument("name")
@revision_flag
@click.option("--show-desc", "--show-resources", "_always", is_flag=True, hidden=True, help="always so, as in Helm 4")
@output_flag
@click.pass_context
def status(ctx: click.Context, name: str, revision: int, _always: bool, output: str) -> None:
    """Show the state of a release, what has become of its objects, and its notes."""
    store = open_store(ctx)
    release = store.get(name, revision)
    resources = store.find_resources(release, as_tables=output == "table")
    if output == "table":
        show(render_status(release, resources=resources))
    else:
        show(_render(to_status(release, resources), output))


def _make_get(what: str, text: str) -> click.Command:
    @click.command(what, cls=Command, short_help=text, help=f"{text[0].upper()}{text[1:]}.")
    @click.argument("name")
    @revision_flag
    @click.pass_context
    def command(ctx: click.Context, name: str, revision: int) -> None:
        show(_GETS[what](open_store(ctx).get(name, revision)))

    made: click.Command = command
    return made


def _render_notes(release: Release) -> str:
    return f"NOTES:\n{release.notes}\n" if release.notes else ""


def _render_manifest(release: Release) -> str:
    return f"{release.manifest}\n"


_GETS = {"all": render_all, "hooks": render_hooks, "manifest": _render_manifest, "notes": _render_notes}

get_all = _make_get("all", "all that is known of a release")
get_hooks = _make_get("hooks", "the hooks of a release")
get_manifest = _make_get("manifest", "the objects of a release, as they were applied")
get_notes = _make_get("notes", "the notes of a release")


@click.command("values", cls=Command, short_help="download the values file for a named release")
@click.argument("name")
@click.option("-a", "--all", "computed", is_flag=True, help="dump all (computed) values")
@revision_flag
@output_flag
@click.pass_context
def get_values(ctx: click.Context, name: str, computed: bool, revision: int, output: str) -> None:
    """Show the values that a release was given, or with --all those it came to."""
    release = open_store(ctx).get(name, revision)
    if output == "table":
        show(render_values(release, computed=computed))
    else:
        show(_render(sort_maps(release.values() if computed else release.config), output))


@click.command("metadata", cls=Command, short_help="fetch metadata for a given release")
@click.argument("name")
@revision_flag
@output_flag
@click.pass_context
def get_metadata(ctx: click.Context, name: str, revision: int, output: str) -> None:
    """Show which chart a release is made of, and when."""
    release = open_store(ctx).get(name, revision)
    show(render_metadata(release) if output == "table" else _render(to_metadata(release), output))


def _show_rows(rows: list[dict[str, Any]], headers: list[str], output: str) -> None:
    if output != "table":
        show(_render(rows, output))
    elif not rows and not headers:
        show("\n")
    else:
        show(render_table(headers, [[str(cell) for cell in row.values()] for row in rows]))


def _render(value: Any, output: str) -> str:
    return render_json(value) if output == "json" else render_yaml(value)
