"""`chartroom export`: the folder, the plan, the progress, and the words at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

from app.commands.house import open_house
from app.commands.imports import show_progress
from app.commands.places import lie_in_each_other, open_storage
from app.domain.names import parse_repository
from app.errors import AppError, Kind
from app.services.chartmuseum_export import ChartMuseumExport, without_rescans
from app.services.chartmuseum_plan import render_names, render_plan
from app.services.exports import Exported, Exports
from app.services.museum import MuseumFiles
from app.settings import BucketPlace, FolderPlace, Settings
from storage import Storage

INCOMPLETE = 4
"""Exit code when files or repositories could not be copied."""


async def export_charts(settings: Settings, folder: str, repository: str, write: Callable[[str], None]) -> int:
    """Write a static copy of a repository and all below it; answer the exit code. `write` takes lines.

    Raises AppError, StorageError when nothing can be written there, or our own store cannot be read.
    """
    repository = parse_repository(repository.strip("/"))
    path = _find_folder(folder, settings)
    with _open_target(settings.model_copy(update={"storage": str(path)})) as target:
        async with open_house(settings, must_exist=True) as house:
            with show_progress("exporting") as notify:
                result = await Exports(house.database, house.storage).run(target, repository, notify=notify)
    for line in _render(result):
        write(line)
    return INCOMPLETE if result.lost or result.skipped else 0


async def export_into_chartmuseum(
    settings: Settings, folder: str, repository: str, write: Callable[[str], None], *, dry_run: bool
) -> int:
    """Bring a ChartMuseum folder or bucket to what we show, or with `dry_run` only say the plan; return the exit code.

    Raises AppError, StorageError when nothing can be written there, or our own store cannot be read.
    """
    repository = parse_repository(repository.strip("/"))
    theirs = _find_chartmuseum(folder, settings)
    followed = theirs.storage_place() == settings.storage_place()
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(settings, must_exist=True))
        target = house.storage if followed else stack.enter_context(_open_target(theirs))
        if followed:
            house.parts.readiness.check_writable()
            await stack.enter_async_context(without_rescans(house.database))
            if settings.cache_interval:  # what came, changed and went there since the last look counts
                await MuseumFiles(house.database, house.storage, house.charts, house.ledger).scan()
        export = ChartMuseumExport(house.database, house.storage, target, followed=followed)
        plan = await export.plan(repository)
        for line in render_plan(plan):
            write(line)
        if isinstance(theirs.storage_place(), BucketPlace) and plan.changed:
            write("note: a bucket keeps no times: ChartMuseum shows the time of the copy as created")
        if dry_run:
            return 0
        with show_progress("exporting") as notify:
            copied = await export.run(plan, notify=notify)
    write(f"{copied.added} files added, {copied.replaced} replaced, {copied.removed} removed")
    for line in render_names("not copied", sorted(copied.lost)):
        write(line)
    return INCOMPLETE if copied.lost or plan.differing or plan.skipped else 0


def _find_chartmuseum(folder: str, settings: Settings) -> Settings:
    """Return the settings with which the target is reached: a folder, or s3://bucket/prefix as our own bucket is.

    Refuses a folder above or below our own: each of the two would hold files of the other.
    """
    if "://" in folder:
        return settings.model_copy(update={"storage": folder})
    path, place = Path(folder).expanduser().resolve(), settings.storage_place()
    if isinstance(place, FolderPlace):
        own = place.path.resolve()
        if path == own:
            return settings
        if lie_in_each_other(path, own):
            raise AppError(Kind.INVALID, f"{path} and the storage folder {own} lie in each other; name {own} itself")
    return settings.model_copy(update={"storage": str(path)})


@contextmanager
def _open_target(settings: Settings) -> Iterator[Storage]:
    """Open a storage to export into; leave no folder of unfinished writes in it."""
    place = settings.storage_place()
    try:
        with open_storage(settings) as target:
            yield target
    finally:
        if isinstance(place, FolderPlace):
            _tidy(place.path)


def _find_folder(folder: str, settings: Settings) -> Path:
    """Refuse a folder inside our own storage: the next scan would take the copies for ChartMuseum's files."""
    path = Path(folder).expanduser().absolute()
    place = settings.storage_place()
    if isinstance(place, FolderPlace) and path.resolve().is_relative_to(place.path.resolve()):
        raise AppError(Kind.INVALID, f"{path} lies inside the storage folder {place.path}; choose one outside of it")
    return path


def _tidy(path: Path) -> None:
    """Remove the folder of unfinished writes, which nobody should serve."""
    for name in (".chartroom/tmp", ".chartroom"):
        with suppress(OSError):  # not empty, or not there
            (path / name).rmdir()


def _render(result: Exported) -> Iterator[str]:
    yield (
        f"{result.repositories} repositories: {result.written} files written, {result.kept} kept, "
        f"{result.removed} removed"
    )
    yield from render_names("not copied", sorted(result.lost))
    yield from render_names("skipped repository", result.skipped)
