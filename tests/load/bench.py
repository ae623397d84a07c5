"""What all measurements share: the scale, a folder, and the stores that are filled once and used by several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.names import archive_name
from tests.load import catalogue
from tests.load.generated import make_archive, name_chart
from tests.load.scale import Scale
from tests.load.servers import run_ours
from tests.load.uploading import upload_all


@dataclass(slots=True)
class Bench:
    """One run. Stores are made when first asked for, below `folder`; a measurement may add to them."""

    folder: Path
    scale: Scale
    say: Callable[[str], None] = lambda text: None
    _made: set[str] = field(default_factory=set)

    def filled(self, versions: int, *, together: int = 8) -> Path:
        """Answer a store that holds `versions` versions without their archives."""
        name = f"filled-{versions}"
        folder = self.folder / name
        if name not in self._made:
            self.say(f"  filling a store with {versions:,} versions")
            catalogue.fill(folder, catalogue.make_versions(versions), together=together)
            self._made.add(name)
        return folder

    def full(self) -> Path:
        """Answer the big store, as so many uploads one after the other would have left it."""
        return self.filled(self.scale.full, together=1)

    def uploaded(self, count: int, *, size: int) -> tuple[Path, Path]:
        """Answer a store to which `count` archives were uploaded, and a folder with the same as plain files."""
        name = f"uploaded-{count}-{size}"
        folder, plain = self.folder / name, self.folder / f"{name}-plain"
        if name not in self._made:
            self.say(f"  uploading {count:,} archives of {size // 1000} KB")
            (plain / "charts").mkdir(parents=True)
            archives = []
            for number in range(count):
                chart, version = number % 100, f"1.{number // 100}.0"
                archives.append(make_archive(chart, version, size=size))
                filename = archive_name(name_chart(chart), version)
                (plain / "charts" / filename).write_bytes(archives[-1])
            with run_ours(folder) as server:
                upload_all(server.url, archives)
            self._made.add(name)
        return folder, plain
