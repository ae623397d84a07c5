"""`chartroom verify`: a catalogue of its own to replay the ledger into, and the words at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from app.commands.house import open_house, open_replica
from app.commands.imports import show_progress
from app.commands.words import count
from app.services.reconcile import Reconcile
from app.services.verify import Report, Verify
from app.settings import Settings

WRONG = 4
"""Exit code when something is wrong, and stays so."""


async def verify(settings: Settings, write: Callable[[str], None], *, repair: bool) -> int:
    """Check storage, rows and ledger against each other; answer the exit code. `write` takes lines.

    With `repair`, the store is opened first as a server opens it: rows that are behind the ledger catch up.
    Raises AppError, StorageError.
    """
    async with open_house(settings, ready=False, must_exist=True) as house:
        if repair:
            await house.opening.run()  # a torn ledger may stop it, and is named below; rows are left alone then
        may_commit = time.monotonic() < house.parts.readiness.may_write_until
        with open_replica() as replica, show_progress("checking") as notify:
            reconcile = Reconcile(house.database, house.ledger, house.storage, replica, house.check)
            check = Verify(house.database, house.storage, reconcile, replica)
            report = await check.run(repair=repair, may_commit=may_commit, notify=notify)
    for line in _render(report):
        write(line)
    return 0 if report.clean else WRONG


def _render(report: Report) -> Iterator[str]:
    seen = f"{count(report.repositories, 'repository')}, {count(report.blobs, 'blob')}"
    yield f"{seen} of {report.bytes} bytes checked"
    findings = report.findings
    for title, lines in (("mended", findings.mended), ("wrong", findings.open), ("note", findings.notes)):
        for line in lines:
            yield f"{title}: {line}"
    yield "clean" if report.clean else f"{len(findings.open)} things are wrong"
