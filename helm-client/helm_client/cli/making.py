"""`helm-client create`, `lint`, `package`, `verify`, `dependency` and `template`: charts in the making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from helm_client.cli.actions import locate, open_engine
from helm_client.cli.completion import complete_chart
from helm_client.cli.fetching import find_keyring
from helm_client.cli.flags import Command, chart_flags, optional
from helm_client.cli.output import render_table, show, tell
from helm_client.cli.values import make_values, read_dry_run, render_flags, take, value_flags
from helm_client.errors import HelmClientError


@click.command("create", cls=Command, short_help="create a new chart with the given name")
@click.argument("name")
@click.option("-p", "--starter", default="", help="the name or absolute path of a starter chart")
@click.pass_context
def create(ctx: click.Context, name: str, starter: str) -> None:
    """Make the folder of a new chart."""
    with open_engine(ctx) as engine:
        show(engine.create(name, starter).text)


@click.command("lint", cls=Command, short_help="examine a chart for possible issues")
@click.argument("paths", nargs=-1)
@click.option("--kube-version", default="", help="Kubernetes version used for capabilities and deprecation checks")
@click.option("--quiet", is_flag=True, help="print only warnings and errors")
@click.option("--skip-schema-validation", is_flag=True, help="disable JSON schema validation")
@click.option("--strict", is_flag=True, help="fail on lint warnings")
@click.option("--with-subcharts", is_flag=True, help="lint dependent charts")
@value_flags
@click.pass_context
def lint(ctx: click.Context, /, paths: tuple[str, ...], **flags: Any) -> None:
    """Look for faults in charts: folders or archives, by default the folder here."""
    from helm_client.engine import LintOptions

    values = make_values(flags)
    with open_engine(ctx) as engine:
        found = engine.lint(paths or (".",), values, LintOptions(**flags))
    show(found.text)
    for warning in found.warnings:
        tell(warning)
    if found.failure:
        raise HelmClientError(found.failure)


@click.command("package", cls=Command, short_help="package a chart directory into a chart archive")
@click.argument("paths", nargs=-1, required=True)
@click.option("--app-version", default="", help="set the appVersion on the chart to this version")
@click.option("-u", "--dependency-update", is_flag=True, help="fetch dependencies into charts/ first")
@click.option("-d", "--destination", default=".", show_default=True, help="location to write the chart")
@click.option("--key", default="", help="name of the key to sign with")
@click.option("--keyring", help="location of the secret keyring  [default: ~/.gnupg/pubring.gpg]")
@click.option("--passphrase-file", default="", help='a file with the passphrase of the key; "-" is stdin')
@click.option("--sign", is_flag=True, help="use a PGP private key to sign this package")
@click.option("--version", default="", help="set the version on the chart to this semver version")
@click.pass_context
def package(ctx: click.Context, /, paths: tuple[str, ...], keyring: str | None, **flags: Any) -> None:
    """Make archives of chart folders, and sign them where asked."""
    from helm_client.engine import PackageOptions

    options = PackageOptions(**flags, keyring=find_keyring(ctx, keyring) if flags["sign"] else "")
    with open_engine(ctx) as engine:
        for path in paths:
            done = engine.package(path, options)
            for warning in done.warnings:
                tell(warning)
            show(done.text)


@click.command("verify", cls=Command, short_help="verify that a chart at the given path has been signed and is valid")
@click.argument("path")
@click.option("--keyring", help="keyring containing public keys  [default: ~/.gnupg/pubring.gpg]")
@click.pass_context
def verify(ctx: click.Context, path: str, keyring: str | None) -> None:
    """Check an archive against the provenance file beside it."""
    with open_engine(ctx) as engine:
        show(engine.verify(path, find_keyring(ctx, keyring)).text)


@click.command("template", cls=Command, short_help="locally render templates")
@click.argument("words", nargs=-1, required=True, metavar="[NAME] [CHART]", shell_complete=complete_chart)
@click.option("-a", "--api-versions", multiple=True, help="Kubernetes api versions that there are")
@optional("--dry-run", "client", "client, or server to ask the cluster")
@click.option("-g", "--generate-name", is_flag=True, help="ignored: the name is release-name without one")
@click.option("--include-crds", is_flag=True, help="include CRDs in the output")
@click.option("--is-upgrade", is_flag=True, help="set .Release.IsUpgrade instead of .Release.IsInstall")
@click.option("--kube-version", default="", help="Kubernetes version used for Capabilities.KubeVersion")
@click.option("-s", "--show-only", multiple=True, help="only show manifests rendered from the given templates")
@click.option("--skip-tests", is_flag=True, help="skip tests from the output")
@click.option("--validate", is_flag=True, help="the same as --dry-run=server")
@value_flags
@render_flags
@chart_flags
@click.pass_context
def template(
    ctx: click.Context, /, words: tuple[str, ...], dry_run: str | None, generate_name: bool, validate: bool,
    api_versions: tuple[str, ...], show_only: tuple[str, ...], **flags: Any,
) -> None:  # fmt: skip
    """Render a chart's templates here, without a cluster."""
    from helm_client.engine import TemplateOptions

    if len(words) > 2:
        raise click.UsageError(f"expected at most two arguments, unexpected arguments: {', '.join(words[2:])}")
    values = make_values(flags)
    names = (
        "include_crds", "is_upgrade", "kube_version", "skip_tests", "dependency_update", "enable_dns", "no_hooks",
        "skip_crds", "skip_schema_validation",
    )  # fmt: skip
    options = TemplateOptions(
        **take(flags, *names), name=words[0] if len(words) == 2 else "release-name",
        validate=validate or read_dry_run(dry_run) == "server",
        api_versions=tuple(one for given in api_versions for one in given.split(",")), show_only=show_only,
    )  # fmt: skip
    with open_engine(ctx) as engine, locate(ctx, engine, words[-1], flags) as path:
        done = engine.template(path, values, options)
    for warning in done.warnings:
        tell(warning)
    show(done.text)


@click.command("list", cls=Command, short_help="list the dependencies for the given chart")
@click.argument("chart", default=".")
@click.option("--max-col-width", type=int, default=80, show_default=True, help="maximum column width; 0 for none")
def dependency_list(chart: str, max_col_width: int) -> None:
    """List what a chart depends on, and whether it is there."""
    from helm_client.dependencies import list_dependencies, list_strays

    found = list_dependencies(Path(chart))
    if not found:
        show(f"WARNING: no dependencies at {Path(chart) / 'charts'}\n")
        return
    rows = [[one.name, one.version, one.repository, one.status] for one in found]
    show(render_table(["NAME", "VERSION", "REPOSITORY", "STATUS"], rows, max_width=max_col_width) + "\n")
    for stray in list_strays(Path(chart)):
        show(f'WARNING: "{stray}" is not in Chart.yaml.\n')


def _make_fetch(how: str, text: str) -> click.Command:
    @click.command(how, cls=Command, short_help=text, help=f"{text[0].upper()}{text[1:]}.")
    @click.argument("chart", default=".")
    @click.option("--keyring", help="keyring containing public keys  [default: ~/.gnupg/pubring.gpg]")
    @click.option("--plain-http", is_flag=True, help="use insecure HTTP connections for the chart download")
    @click.option("--skip-refresh", is_flag=True, help="do not refresh the local repository cache")
    @click.option("--verify", is_flag=True, help="verify the packages against signatures")
    @click.pass_context
    def command(ctx: click.Context, /, chart: str, keyring: str | None, **flags: Any) -> None:
        from helm_client.engine import DependencyOptions

        options = DependencyOptions(**flags, keyring=find_keyring(ctx, keyring) if flags["verify"] else "")
        with open_engine(ctx) as engine:
            done = (engine.dependency_build if how == "build" else engine.dependency_update)(chart, options)
        show(done.text)
        for warning in done.warnings:
            tell(warning)

    made: click.Command = command
    return made


dependency_update = _make_fetch("update", "fetch dependencies into charts/ as Chart.yaml names them")
dependency_build = _make_fetch("build", "fetch dependencies into charts/ as the lock file names them")
