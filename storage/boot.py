"""The start of the machine, by name: what is left of an earlier one is not what a process of this one left."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def read_boot_id() -> str:
    """Return what names this start of the machine; "" where the system does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
