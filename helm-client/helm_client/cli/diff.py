"""`helm-client diff`: what an upgrade would change, or what changed since a revision."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from helm_client.cli.actions import locate, open_engine, warn
from helm_client.cli.completion import complete_chart
from helm_client.cli.flags import Command, chart_flags
from helm_client.cli.values import make_values, value_flags

if TYPE_CHECKING:
    from helm_client.releases import Release


@click.command("diff", cls=Command, short_help="show what an upgrade would change, or what changed since a revision")
@click.argument("name")
@click.argument("chart", required=False, shell_complete=complete_chart)
@click.option("--from", "revision", type=int, default=0, help="the revision to compare with  [default: the last]")
@click.option("--reuse-values", is_flag=True, help="start from the last release's values")
@value_flags
@chart_flags
@click.pass_context
def diff(ctx: click.Context, /, name: str, chart: str | None, revision: int, reuse_values: bool, **flags: Any) -> None:
    """Compare the manifest of a release with what an upgrade to CHART would make of it.

    Without CHART, a revision (--from) is compared with the last one.
    """
    from helm_client.cli.releases import open_store
    from helm_client.engine import UpgradeOptions

    values, store = make_values(flags), open_store(ctx)
    before = store.get(name, revision)
    if chart is None:
        after = store.get(name).manifest
    else:
        options = UpgradeOptions(dry_run="server", reuse_values=reuse_values)
        with open_engine(ctx) as engine, locate(ctx, engine, chart, flags) as path:
            outcome = engine.upgrade(name, path, values, options)
        warn(outcome)
        after = str(outcome.record.get("manifest") or "")
    _show_diff(before, after, "the last revision" if chart is None else chart)


def _show_diff(before: Release, after: str, what: str) -> None:
    import difflib

    lines = difflib.unified_diff(
        before.manifest.strip().splitlines(), after.strip().splitlines(), f"{before.name} (revision {before.revision})",
        what, lineterm="",
    )  # fmt: skip
    colours = {"+": "green", "-": "red", "@": "cyan"} if sys.stdout.isatty() else {}
    for line in lines:
        colour = colours.get(line[0]) if not line.startswith(("+++", "---")) else None
        click.echo(click.style(line, fg=colour) if colour else line)
