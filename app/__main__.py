"""The command line: `chartroom serve`, and everything that is done beside serving.

ChartMuseum's own command line (flags, no subcommand) works too: see `app/museum.py`.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from app import museum
from app.errors import AppError
from app.settings import Settings, load_settings, museum_help
from storage import StorageError

_VERSION = "0.16.5"  # of the ChartMuseum whose contract we keep

cli = typer.Typer(
    name="chartroom", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would take "[default: 8080]" for markup and drop it
    help="A self-hosted Helm chart repository. Every setting is also an environment variable: see the README.",
)  # fmt: skip


@cli.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from app.wiring import product_version

        typer.echo(f"chartroom {product_version()}")
        raise typer.Exit


Storage = Annotated[str, typer.Option(help="A folder, or s3://bucket/prefix. [default: ./data]")]
DatabaseUrl = Annotated[str, typer.Option(help="sqlite:///FILE or postgresql://... [default: SQLite with the charts]")]
Below = Annotated[str, typer.Option("--repo", help="Path of a repository. [default: the root]")]


def _load(**flags: str) -> Settings:
    settings = load_settings({name: value for name, value in flags.items() if value})
    for warning in settings.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return settings


@cli.command()
def serve(
    port: Annotated[str, typer.Option(help="Port to listen on. [default: 8080]")] = "",
    storage: Storage = "",
    database: DatabaseUrl = "",
    host: Annotated[str, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = "",
    workers: Annotated[str, typer.Option(help="Server processes. [default: 1]")] = "",
    config: Annotated[str, typer.Option("--config", "-c", help="YAML file with settings.")] = "",
) -> None:
    """Serve charts."""
    from app.server import run

    run(_load(port=port, storage=storage, database=database, host=host, workers=workers, config=config))


@cli.command()
def migrate(storage: Storage = "", database: DatabaseUrl = "") -> None:
    """Bring the database's tables to this version. `serve` does it too."""
    import migrations
    from app.commands.house import migrate

    settings = _load(storage=storage, database=database)
    migrate(settings.database_url())
    typer.echo(f"the database has version {migrations.HEAD}")


@cli.command()
def check_config(
    storage: Storage = "",
    database: DatabaseUrl = "",
    config: Annotated[str, typer.Option("--config", "-c", help="YAML file with settings.")] = "",
) -> None:
    """Print every setting, where it comes from, and what is wrong with it; secrets are masked."""
    settings = _load(storage=storage, database=database, config=config)
    settings.storage_place()
    settings.database_url()
    for name, shown in settings.describe():
        typer.echo(f"{name:32} {shown}")


@cli.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="A folder, s3://bucket/prefix, or the http(s) URL of a repository.")],
    repo: Below = "",
    storage: Storage = "",
    database: DatabaseUrl = "",
) -> None:
    """Take in the charts of a folder, a bucket or another repository, with their times and provenance.

    Sub-folders become repositories below --repo. What is there already is left unchanged; a server may run meanwhile.
    Ends with counts and what was refused; exit code 3 when something was.
    """
    from app.commands import import_charts

    _run(import_charts(_load(storage=storage, database=database), source, repo, typer.echo))


@cli.command()
def export(
    folder: Annotated[str, typer.Argument(help="Where to write; made if missing. An earlier export is updated.")] = "",
    into_chartmuseum: Annotated[
        str, typer.Option("--into-chartmuseum", metavar="FOLDER", help="A ChartMuseum folder, or s3://bucket/prefix.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --into-chartmuseum: only show the plan.")] = False,
    repo: Below = "",
    storage: Storage = "",
    database: DatabaseUrl = "",
) -> None:
    """Write a static copy that any web server can host: index.yaml, archives and provenance in charts/.

    Repositories below --repo become sub-folders. Exit code 4 when files are missing or damaged in storage.

    With --into-chartmuseum, instead: show a plan, then bring a folder of ChartMuseum's layout (this store's own storage
    folder, or another one) to what is here. Adds and replaces files, and removes those that were deleted here; files
    that are not from here stay and are named.
    """
    from app.commands import export_charts, export_into_chartmuseum

    if bool(folder) == bool(into_chartmuseum):
        raise typer.BadParameter("name one target: FOLDER, or --into-chartmuseum FOLDER")
    if dry_run and folder:
        raise typer.BadParameter("--dry-run goes with --into-chartmuseum")
    settings = _load(storage=storage, database=database)
    if folder:
        _run(export_charts(settings, folder, repo, typer.echo))
    else:
        _run(export_into_chartmuseum(settings, into_chartmuseum, repo, typer.echo, dry_run=dry_run))


@cli.command()
def reindex(storage: Storage = "", database: DatabaseUrl = "") -> None:
    """Make the database anew from storage: every chart that was acknowledged, nothing that was removed or replaced.

    Stop servers first when the database is SQLite; with Postgres they may run, and their uploads wait.
    """
    from app.commands import reindex

    _run(reindex(_load(storage=storage, database=database), typer.echo))


@cli.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    storage: Storage = "",
    database: DatabaseUrl = "",
) -> None:
    """Hash every stored file again, and compare database, ledger and storage. A server may run meanwhile.

    Exit code 0 when all is well (again), 4 when something is wrong; each finding is one line.
    """
    from app.commands import verify

    _run(verify(_load(storage=storage, database=database), typer.echo, repair=repair))


@cli.command()
def backup(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix. An earlier backup is brought on.")],
    full: Annotated[
        bool, typer.Option("--full", help="Hash every file of the backup again, not only new ones.")
    ] = False,
    storage: Storage = "",
) -> None:
    """Copy the ledger and all blobs it needs, and check the copy. Servers may run and take uploads meanwhile.

    Again, for what is new. Exit code 4 when the copy lacks something; each finding is one line.
    """
    from app.commands import back_up

    _run(back_up(_load(storage=storage), target, typer.echo, full=full))


@cli.command()
def restore(
    source: Annotated[str, typer.Argument(help="A folder or s3://bucket/prefix that holds a backup.")],
    storage: Storage = "",
    database: DatabaseUrl = "",
) -> None:
    """Bring a backup into an empty storage, and check what came. Stop servers first.

    An old SQLite file is set aside; a Postgres database must be empty. Exit code 4 when something is missing.
    """
    from app.commands import restore

    _run(restore(_load(storage=storage, database=database), source, typer.echo))


@cli.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Collect what no record names, too, and at once.")] = False,
    storage: Storage = "",
    database: DatabaseUrl = "",
) -> None:
    """Collect garbage: what nothing refers to any more goes after a grace period. A server may run meanwhile.

    A server does this by itself every hour (CHARTROOM_GC_INTERVAL). It stops where records seem to be missing: where
    the ledger holds what this database has not read, or no record names more than half of all bytes. Then restore the
    ledger, or, if those blobs may be lost, use --force.
    """
    from app.commands import collect

    _run(collect(_load(storage=storage, database=database), typer.echo, dry_run=dry_run, force=force))


@cli.command()
def worker(
    storage: Storage = "",
    database: DatabaseUrl = "",
    config: Annotated[str, typer.Option("--config", "-c", help="YAML file with settings.")] = "",
) -> None:
    """Run the scheduled jobs without serving, until SIGTERM."""
    from app.commands import work

    _run(work(_load(storage=storage, database=database, config=config), typer.echo))


def _run(command: Coroutine[Any, Any, int]) -> None:
    code = asyncio.run(command)
    if code:
        raise typer.Exit(code)


def _run_as_museum(argv: list[str]) -> None:
    flags = museum.parse_command_line(argv)
    if "help" in flags:
        typer.echo(museum_help())
        return
    if "version" in flags:
        from app.wiring import product_version

        typer.echo(f"ChartMuseum version {_VERSION} (chartroom {product_version()})")
        return
    settings = load_settings(flags, museum=True)
    for warning in settings.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if settings.gen_index:
        from app.commands import print_index

        asyncio.run(print_index(settings))
        return
    from app.server import run

    run(settings)


_OPERATORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
"""Errors of the system that are no fault of ours: rights, full or read-only disks, a file where a folder is meant."""


def main() -> None:
    """Run a command; what a person can mend is said in one line, without a trace."""
    argv = sys.argv[1:]
    try:
        if museum.is_museum_command_line(argv):
            _run_as_museum(argv)
        else:
            cli()
    except (AppError, StorageError) as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _OPERATORS:
            raise
        typer.echo(f"{error.filename or 'the disk'}: {error.strerror}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
