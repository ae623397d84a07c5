"""The recorder: compiled once, loaded into a process by the environment, switched at run time."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import find_program

_SOURCE = Path(__file__).with_name("recorder.c")
_CONTROL = struct.Struct("=5I")  # flags, full_per_mille, random, delay, refused

IGNORE_FILE_SYNC = 1
IGNORE_FOLDER_SYNC = 2
ONLY_SYNCS_FAIL = 4


def compile_recorder(folder: Path) -> Path:
    """Return the library, compiled in a folder; the test is skipped where there is no compiler."""
    compiler = find_program("cc")
    library = folder / "recorder.so"
    # The sanitizers and fortified headers of some distributions would rename what we define.
    options = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-U_FORTIFY_SOURCE"]
    subprocess.run([compiler, *options, "-o", str(library), str(_SOURCE), "-lpthread"], check=True)
    return library


class Recorder:
    """Records what processes that run with `environment` change below `folder`, which must exist, into `log`."""

    def __init__(self, library: Path, folder: Path, place: Path, *, seed: int = 1, delay: int = 0) -> None:
        """`place` is a new folder for the log; a sync takes up to `delay` microseconds."""
        place.mkdir(parents=True)
        self.folder = folder.resolve()
        self.log = place / "log"
        self.base = place / "base"  # what lay there before
        shutil.copytree(self.folder, self.base)
        self.inodes = {str(path.relative_to(self.folder)): path.stat().st_ino for path in self.folder.rglob("*")}
        self.root = self.folder.stat().st_ino
        self.log.touch()
        boot_id = place / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        control = place / "control"
        control.write_bytes(_CONTROL.pack(0, 0, seed, delay, 0).ljust(4096, b"\0"))
        self._descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
        self._control = mmap.mmap(self._descriptor, 4096)
        preloaded = os.environ.get("LD_PRELOAD", "")
        self.environment = {
            "LD_PRELOAD": f"{library} {preloaded}".strip(),
            "POWER_FOLDER": str(self.folder), "POWER_LOG": str(self.log), "POWER_CONTROL": str(control),
            "POWER_BOOT_ID": str(boot_id),
        }  # fmt: skip

    def close(self) -> None:
        self._control.close()
        os.close(self._descriptor)

    @property
    def length(self) -> int:
        """Bytes in the log: what was done before this moment lies before this place."""
        return self.log.stat().st_size

    @property
    def refused(self) -> int:
        """How many operations were told that the disk is full."""
        return int(_CONTROL.unpack_from(self._control)[4])

    def set_flags(self, flags: int) -> None:
        """Let syncs of files or folders do nothing from now on, or let `fill` concern nothing but syncs."""
        struct.pack_into("=I", self._control, 0, flags)

    def fill(self, per_mille: int) -> None:
        """Let so many of a thousand writes and syncs fail from now on, as on a full disk."""
        struct.pack_into("=I", self._control, 4, per_mille)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold every recorded process between two operations: one that is killed now has recorded all that it did."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1)
