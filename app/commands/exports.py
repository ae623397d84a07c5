"""`chartroom export`: the folder, the progress, and the words at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from app.commands.house import open_house
from app.commands.imports import show_progress
from app.domain.names import parse_repository
from app.errors import AppError, Kind
from app.services.exports import Exported, Exports
from app.settings import FolderPlace, Settings
from app.wiring import build_storage
from storage import Closeable

INCOMPLETE = 4
"""Exit code when files could not be copied."""


async def export_charts(settings: Settings, folder: str, repository: str, write: Callable[[str], None]) -> int:
    """Write a static copy of a repository and all below it; answer the exit code. `write` takes lines.

    Raises AppError, StorageError when nothing can be written there, or our own store cannot be read.
    """
    repository = parse_repository(repository.strip("/"))
    path = _find_folder(folder, settings)
    target = build_storage(settings.model_copy(update={"storage": str(path)}))
    try:
        async with open_house(settings) as house:
            with show_progress("exporting") as notify:
                result = await Exports(house.database, house.storage).run(target, repository, notify=notify)
    finally:
        if isinstance(target, Closeable):
            target.close()
        _tidy(path)
    for line in _render(result):
        write(line)
    return INCOMPLETE if result.lost else 0


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
    for line in sorted(result.lost):
        yield f"not copied: {line}"
