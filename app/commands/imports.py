"""`chartroom import`: which source is meant, the progress, and the words at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.commands.house import open_house
from app.domain.names import parse_repository
from app.errors import AppError, Kind
from app.services.imports import Imports, Tally
from app.settings import Settings
from app.upstream.directory import Directory
from app.upstream.helm_repo import HelmRepository, mask
from app.upstream.protocol import Upstream
from app.wiring import build_storage, product_version

REFUSED = 3
"""Exit code when something was refused."""

_PARALLEL = 16


async def import_charts(settings: Settings, source: str, repository: str, write: Callable[[str], None]) -> int:
    """Take in everything that a source has, below a repository; answer the exit code. `write` takes lines.

    Raises AppError, StorageError when the source or our own store fails as a whole.
    """
    repository = parse_repository(repository.strip("/"))
    upstream = open_upstream(source, settings)
    try:
        async with open_house(settings) as house:
            imports = Imports(
                house.database, house.charts, house.parts.readiness, parallel=settings.index_limit or _PARALLEL,
                limit=settings.max_upload_size, depth=settings.fixed_depth, context_path=settings.context_path,
            )  # fmt: skip
            with show_progress("importing") as notify:
                tally = await imports.run(upstream, repository, notify=lambda tally: notify(tally.seen, tally.offered))
    finally:
        await upstream.close()
    for line in render_tally(tally):
        write(line)
    return REFUSED if tally.refused else 0


def open_upstream(source: str, settings: Settings) -> Upstream:
    """Answer the source that a person named. A bucket is reached as the settings say of ours. Raises AppError."""
    scheme, separator, _ = source.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return HelmRepository(source, agent=f"chartroom/{product_version()}")
    if separator and scheme.lower() != "s3":
        raise AppError(Kind.INVALID, f"{scheme}:// cannot be imported: name a folder, s3://bucket/prefix or http(s)://")
    if not separator and not Path(source).expanduser().is_dir():
        raise AppError(Kind.INVALID, f"there is no folder {source}")
    place = source if separator else str(Path(source).expanduser().absolute())
    return Directory(build_storage(settings.model_copy(update={"storage": place})))


def render_tally(tally: Tally) -> Iterator[str]:
    """Answer the lines that say what an import came to."""
    replaced = f"{tally.replaced} replaced, " if tally.replaced else ""
    yield (
        f"{tally.created} created, {replaced}{tally.unchanged} unchanged, {len(tally.refused)} refused, "
        f"{tally.provenance} provenance files"
    )
    for path, reason in sorted(tally.hidden.items()):
        yield f"hidden: {path}: {reason}; clients may not reach it under this name"
    for address, reason in tally.refused:
        yield f"refused: {mask(address)}: {reason}"


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while the block runs, on a terminal only; answer what takes "so many of so many"."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
