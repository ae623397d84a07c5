"""`helm-client install`, `upgrade`, `rollback`, `uninstall` and `test`: what changes releases."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helm_client.cli.completion import complete_chart
from helm_client.cli.fetching import make_wanted, verify
from helm_client.cli.flags import Command, Duration, chart_flags, get_environment, optional, output_flag
from helm_client.cli.output import render_json, render_yaml, show, tell
from helm_client.cli.values import (
    action_flags,
    make_values,
    parse_labels,
    read_dry_run,
    release_flags,
    render_flags,
    take,
    value_flags,
)
from helm_client.errors import ConfigError, HelmClientError

if TYPE_CHECKING:
    from helm_client.engine import Engine, Outcome

_ACTION = ("wait_for_jobs", "timeout", "description", "server_side", "force_conflicts", "force_replace")
_RELEASE = (
    *_ACTION, "no_hooks", "rollback_on_failure", "create_namespace", "disable_openapi_validation", "hide_notes",
    "hide_secret", "render_subchart_notes", "take_ownership", "skip_crds", "skip_schema_validation", "enable_dns",
    "dependency_update",
)  # fmt: skip


@contextmanager
def open_engine(ctx: click.Context) -> Iterator[Engine]:
    """Answer Helm's engine for the time of a block."""
    from helm_client.engine import choose_engine

    with choose_engine(get_environment(ctx)) as engine:
        yield engine


@contextmanager
def locate(ctx: click.Context, engine: Engine, reference: str, flags: dict[str, Any]) -> Iterator[str]:
    """Answer where a chart lies on the disk; one from elsewhere is fetched for the time of a block."""
    from helm_client.cli.progress import Progress
    from helm_client.client import Client

    wanted = make_wanted(reference, flags)
    if (local := wanted.find_local()) is not None:
        if flags["verify"]:
            verify(engine, local, flags)
        yield reference
        return
    progress = Progress()
    client = Client(get_environment(ctx), progress=progress, tell=lambda lines: tell(lines.rstrip("\n")))
    with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
        path = client.fetch(wanted, folder, provenance=flags["verify"])
        progress.finish()
        if flags["verify"]:
            verify(engine, path, flags)
        yield str(path)


@contextmanager
def _changing(name: str, how: str) -> Iterator[None]:
    """Show how long a release's change takes; say what to do about it when it is interrupted."""
    from helm_client.cli.progress import ticking

    try:
        with ticking(f"{how} {name}"):
            yield
    except KeyboardInterrupt:
        tell(f"`helm-client status {name}` says how far it came; `rollback` and `uninstall` work from there")
        raise


@contextmanager
def _prefixed(words: str) -> Iterator[None]:
    """Put Helm's words before the reason why an action failed."""
    try:
        yield
    except HelmClientError as error:
        failed = type(error)(f"{words}: {error}")
        failed.exit_code = error.exit_code
        raise failed from error


@click.command("install", cls=Command, short_help="install a chart")
@click.argument("words", nargs=-1, required=True, metavar="[NAME] [CHART]", shell_complete=complete_chart)
@click.option("-g", "--generate-name", is_flag=True, help="generate the name (and omit the NAME parameter)")
@click.option("--name", "old_name", default="", hidden=True, help="the name, as Helm 2 took it")
@click.option("--replace", is_flag=True, help="reuse the name of a release that was uninstalled and kept")
@value_flags
@render_flags
@action_flags
@release_flags
@chart_flags
@output_flag
@click.pass_context
def install(
    ctx: click.Context, /, words: tuple[str, ...], generate_name: bool, old_name: str, replace: bool, output: str,
    **flags: Any,
) -> None:  # fmt: skip
    """Install a chart: a repository's (REPO/CHART), an archive or folder, a URL, or oci://."""
    from helm_client.engine import InstallOptions

    name, reference = _split_words((old_name, *words) if old_name else words, generate_name)
    values = make_values(flags)
    options = InstallOptions(**_release_options(flags), replace=replace)
    with open_engine(ctx) as engine, _prefixed("INSTALLATION FAILED"), locate(ctx, engine, reference, flags) as path:
        name = name or _make_name(path)
        with _changing(name, "install"):
            outcome = engine.install(name, path, values, options)
    _show_outcome(outcome, output, hide_notes=flags["hide_notes"])


@click.command("upgrade", cls=Command, short_help="upgrade a release")
@click.argument("name")
@click.argument("chart", shell_complete=complete_chart)
@click.option("--cleanup-on-fail", is_flag=True, help="allow deletion of new resources when the upgrade fails")
@click.option("--history-max", type=int, help="revisions kept per release; 0 for all  [default: 10]")
@click.option("-i", "--install", "may_install", is_flag=True, help="if there is no such release, install it")
@click.option("--reset-then-reuse-values", is_flag=True, help="the chart's values, the last release's, then these")
@click.option("--reset-values", is_flag=True, help="start from the values of the chart")
@click.option("--reuse-values", is_flag=True, help="start from the last release's values")
@value_flags
@render_flags
@action_flags
@release_flags
@chart_flags
@output_flag
@click.pass_context
def upgrade(
    ctx: click.Context, /, name: str, chart: str, may_install: bool, output: str, **flags: Any
) -> None:  # fmt: skip
    """Bring a release to a chart and values."""
    from helm_client.engine import UpgradeOptions

    values = make_values(flags)
    more = take(
        flags, "cleanup_on_fail", "history_max", "reset_then_reuse_values", "reset_values", "reuse_values"
    )  # fmt: skip
    options = UpgradeOptions(**_release_options(flags), **more, install=may_install)
    with (
        open_engine(ctx) as engine,
        locate(ctx, engine, chart, flags) as path,
        _changing(name, "upgrade"),
        _prefixed("UPGRADE FAILED"),
    ):
        outcome = engine.upgrade(name, path, values, options)
    if output == "table":
        if outcome.installed:
            show(f'Release "{name}" does not exist. Installing it now.\n')
        elif not options.dry_run:
            show(f'Release "{name}" has been upgraded. Happy Helming!\n')
    _show_outcome(outcome, output, hide_notes=flags["hide_notes"])


@click.command("rollback", cls=Command, short_help="roll back a release to a previous revision")
@click.argument("name")
@click.argument("revision", type=int, default=0)
@click.option("--cleanup-on-fail", is_flag=True, help="allow deletion of new resources when the rollback fails")
@click.option("--history-max", type=int, help="revisions kept per release; 0 for all  [default: 10]")
@click.option("--no-hooks", is_flag=True, help="prevent hooks from running")
@action_flags
@click.pass_context
def rollback(ctx: click.Context, /, name: str, revision: int, **flags: Any) -> None:
    """Bring a release back to a revision, or to the one before."""
    from helm_client.engine import RollbackOptions

    options = RollbackOptions(
        **_action_options(flags), **take(flags, "cleanup_on_fail", "history_max", "no_hooks"), revision=revision
    )
    with open_engine(ctx) as engine, _changing(name, "rollback"):
        warn(engine.rollback(name, options))
    show("Rollback was a success! Happy Helming!\n")


@click.command("uninstall", cls=Command, short_help="uninstall a release")
@click.argument("names", nargs=-1, required=True)
@click.option("--cascade", type=click.Choice(["background", "orphan", "foreground"]), default="background")
@click.option("--description", default="", help="add a custom description")
@click.option("--dry-run", is_flag=True, help="only say what would be done")
@click.option("--ignore-not-found", is_flag=True, help="a release that is not there is as good")
@click.option("--keep-history", is_flag=True, help="keep the history of the release")
@click.option("--no-hooks", is_flag=True, help="prevent hooks from running")
@click.option("--purge", is_flag=True, hidden=True, help="as is the default since Helm 3")
@click.option("--timeout", type=Duration(), default="5m0s", show_default=True, help="time for each operation")
@optional("--wait", "watcher", "wait until resources are gone: watcher, legacy or hookOnly")
@click.pass_context
def uninstall(ctx: click.Context, /, names: tuple[str, ...], purge: bool, wait: str | None, **flags: Any) -> None:
    """Remove releases and their objects."""
    from helm_client.engine import UninstallOptions

    options = UninstallOptions(**flags, wait=_read_wait(wait))
    with open_engine(ctx) as engine:
        for name in names:
            with _changing(name, "uninstall"):
                outcome = engine.uninstall(name, options)
            warn(outcome)
            text = outcome.text.strip()
            show((f"{text}\n" if text else "") + f'release "{name}" uninstalled\n')


@click.command("test", cls=Command, short_help="run tests for a release")
@click.argument("name")
@click.option("--filter", "filters", multiple=True, help="name=HOOK, or !name=HOOK to leave one out")
@click.option("--logs", is_flag=True, help="dump the logs from test pods")
@click.option("--timeout", type=Duration(), default="5m0s", show_default=True, help="time for each operation")
@click.pass_context
def test(ctx: click.Context, name: str, filters: tuple[str, ...], logs: bool, timeout: float) -> int:
    """Run the tests that came with a release's chart."""
    from helm_client.engine import TestOptions

    wanted = [one for given in filters for one in given.split(",")]
    include = tuple(one.removeprefix("name=") for one in wanted if one.startswith("name="))
    exclude = tuple(one.removeprefix("!name=") for one in wanted if one.startswith("!name="))
    with open_engine(ctx) as engine, _changing(name, "test"):
        outcome = engine.test(name, TestOptions(timeout=timeout, logs=logs, include=include, exclude=exclude))
    _show_outcome(outcome, "table", hide_notes=True)
    show(f"\n{outcome.text}" if outcome.text else "")
    if outcome.failure:
        tell(f"Error: {outcome.failure}")
        return 1
    return 0


def _split_words(words: tuple[str, ...], generate: bool) -> tuple[str, str]:
    """Answer name ("" to make one) and chart."""
    if len(words) == 2 and not generate:
        return words[0], words[1]
    if len(words) == 1 and generate:
        return "", words[0]
    if len(words) == 1:
        raise ConfigError("INSTALLATION FAILED: must either provide a name or specify --generate-name")
    if len(words) == 2:
        raise ConfigError("INSTALLATION FAILED: cannot set --generate-name and also specify a name")
    raise ConfigError(f"expected at most two arguments, unexpected arguments: {', '.join(words[2:])}")


def _make_name(path: str) -> str:
    """Make a name as Helm does: the chart's file or folder, and the seconds since 1970."""
    base = Path(path).absolute().name.removesuffix(".tgz")
    from helm_client.archive import read_chart

    return f"{read_chart(Path(path)).name or base}-{int(time.time())}"


def _action_options(flags: dict[str, Any]) -> dict[str, Any]:
    return {**take(flags, *_ACTION), "wait": _read_wait(flags["wait"]), "dry_run": read_dry_run(flags["dry_run"])}


def _release_options(flags: dict[str, Any]) -> dict[str, Any]:
    return {**_action_options(flags), **take(flags, *_RELEASE), "labels": parse_labels(flags["labels"])}


def _read_wait(value: str | None) -> Any:
    known = {None: "", "false": "", "true": "watcher", "watcher": "watcher", "legacy": "legacy", "hookOnly": "hookOnly"}
    if value not in known:
        raise click.UsageError(f"invalid wait strategy: {value!r}; write watcher, legacy or hookOnly")
    return known[value]


def warn(outcome: Outcome) -> None:
    """Tell what Helm has to say beside its answer."""
    for warning in outcome.warnings:
        tell(warning)


def _show_outcome(outcome: Outcome, output: str, *, hide_notes: bool) -> None:
    from helm_client.cli.report import render_status, to_status
    from helm_client.releases import Release

    warn(outcome)
    release = Release(outcome.record)
    if output == "table":
        show(render_status(release, hide_notes=hide_notes))
    else:
        show(render_json(to_status(release)) if output == "json" else render_yaml(to_status(release)))
