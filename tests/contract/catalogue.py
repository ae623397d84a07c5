"""What the catalogue's suites share: rows as a publish makes them, and works that share one commit."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Connection

from app.db import charts, repositories
from app.db.charts import VersionRow
from app.db.session import Database
from app.db.transaction import Transaction
from app.domain.ledger import render_change
from app.domain.semver import sort_key
from app.domain.summary import summarize

Work = Callable[[Transaction], Any]


def make_row(name: str = "web", version: str = "1.0.0", **changes: Any) -> VersionRow:
    """Answer a chart version; its digest depends on what is changed."""
    entry = orjson.dumps({"name": name, "version": version, "description": changes.pop("description", "")})
    facts = {
        "name": name, "version": version, "sort_key": sort_key(version), "filename": f"{name}-{version}.tgz",
        "digest": hashlib.sha256(repr((name, version, changes)).encode()).hexdigest(), "size": 100,
        "created": 1_700_000_000_000_000_000, "origin": "upload", "entry": entry,
    }  # fmt: skip
    return VersionRow(**{**facts, **changes})


def put(row: VersionRow, repository: str = "") -> Work:
    """Answer the work that stores a version and notes it for the ledger."""

    def work(transaction: Transaction) -> int:
        home = repositories.get_or_create(transaction.connection, repository)
        charts.put_version(transaction, home.id, row, summarize(row.entry, row.sort_key))
        transaction.record(home, render_change("put", "version", chart=row.name, version=row.version))
        return transaction.revision

    return work


def remove(name: str, version: str, repository: str = "") -> Work:
    """Answer the work that removes a version and notes it for the ledger."""

    def work(transaction: Transaction) -> None:
        home = repositories.get_or_create(transaction.connection, repository)
        charts.remove_version(transaction, home.id, name, version)
        transaction.record(home, render_change("remove", "version", chart=name, version=version))

    return work


async def in_one_commit(database: Database, *works: Work) -> list[Any]:
    """Run works in one group; answer for each what its writer got, exceptions included."""
    started, gate = threading.Event(), threading.Event()

    def hold(_transaction: Transaction) -> None:
        started.set()
        assert gate.wait(10)

    held = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(started.wait, 10)
    waiting = [asyncio.ensure_future(database.write(work)) for work in works]
    await asyncio.sleep(0)  # each is in the queue now
    gate.set()
    await held
    return list(await asyncio.gather(*waiting, return_exceptions=True))


def home_id(connection: Connection, repository: str = "") -> int:
    """Answer the row id of a repository that is there."""
    row = repositories.find(connection, repository)
    assert row is not None
    return row.id
