"""What a driver's errors mean to a caller: locked, full, failing, gone; all others are bugs and pass through."""

from __future__ import annotations

import os
import sqlite3

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.errors import AppError, Kind

_DRIVERS = ("sqlite3", "psycopg")
_DAMAGE = ("malformed", "not a database", "Could not decode to UTF-8")
DAMAGED = "the server's database is damaged; an operator must stop the server and run `chartroom reindex`"

_log = structlog.get_logger(__name__)
_told: set[str] = set()


def is_over(connection: Connection) -> bool:
    """Answer whether SQLite ended the transaction by itself, as it does when the disk fails."""
    driver = connection.connection.driver_connection
    return isinstance(driver, sqlite3.Connection) and not driver.in_transaction


def _is_lost(error: BaseException) -> bool:
    """Answer whether a driver says that the connection, not the statement, is at fault (PEP 249)."""
    return any(kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(error).__mro__)


class translated_errors:
    """Turn the driver's "locked", "full" and "gone" into errors of ours; let all others through."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Raise what the error means to a caller."""
        ours = translate(error)
        if ours is not None:
            raise ours from error


def translate(error: BaseException | None) -> AppError | None:
    """Answer what an error of a driver means, None for what is no trouble of the database itself."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if original is None or type(original).__module__.partition(".")[0] not in _DRIVERS:
        return None
    text = str(original)
    if "no such savepoint" in text and (cause := translate(original.__context__)) is not None:
        return cause  # SQLite had ended the whole transaction already; the first error says why
    if "database or disk is full" in text or "No space left" in text:
        return AppError(Kind.FULL, "the database's disk is full; nothing was stored; make room and try again")
    if "disk I/O error" in text:
        # Where the sync of a commit fails, SQLite undoes it, and a crash may still bring it back.
        return AppError(
            Kind.UNAVAILABLE,
            "the database's disk fails, a change may be stored: check the disk, and look before repeating",
            retry_after=10,
        )
    if "readonly database" in text:
        reason = f"{text}; let user id {os.geteuid()} write to its file and folder"
        return AppError(
            Kind.UNAVAILABLE, f"the database cannot be written: {reason}; nothing was stored", retry_after=10
        )
    if isinstance(original, sqlite3.Error) and any(word in text for word in _DAMAGE):
        if not _told:  # once: every read may come upon the same page
            _told.add(text)
            _log.error("the database is damaged: stop the server and run `chartroom reindex`", error=text)
        return AppError(Kind.FAULT, DAMAGED)
    if "is locked" in text:
        return AppError(Kind.UNAVAILABLE, "the database is locked by another process; try again", retry_after=2)
    if "unable to open" in text or (not isinstance(original, sqlite3.Error) and _is_lost(original)):
        return AppError(Kind.UNAVAILABLE, "the database does not answer; try again", retry_after=5)
    return None
