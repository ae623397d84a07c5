"""What can go wrong, named once and without HTTP.

    Exception
    +-- AppError(kind, message)          everything a caller can be told
        +-- kinds: INVALID UNAUTHORIZED DENIED NOT_FOUND CONFLICT TOO_LARGE
                   LIMIT FULL UNAVAILABLE FAULT

A message says what happened, why, and what to do. `app/routes/errors.py` holds the one table that
turns a kind into a status for each door. Storage has its own small tree in `storage/errors.py`.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What sort of trouble it is; each door maps it to a status of its own."""

    INVALID = "invalid"  # the caller sent something that breaks a rule
    UNAUTHORIZED = "unauthorized"  # the caller must say who they are
    DENIED = "denied"  # the caller is known and may not
    NOT_FOUND = "not found"
    CONFLICT = "conflict"  # it exists already, with other content
    TOO_LARGE = "too large"  # the body is over the limit
    LIMIT = "limit"  # the repository is full by its own setting
    FULL = "full"  # the disk is full
    UNAVAILABLE = "unavailable"  # try again later; see retry_after
    FAULT = "fault"  # our fault: a row names what storage lacks, a bug


class AppError(Exception):
    """An error with a kind and a message for the caller.

    `retry_after` is in seconds and only set on UNAVAILABLE.
    """

    def __init__(self, kind: Kind, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
