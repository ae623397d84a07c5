"""Statements about leases: which process does a thing that only one may do."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.db.tables import leases
from app.db.transaction import Transaction


def acquire(transaction: Transaction, name: str, holder: str, nanoseconds: int) -> bool:
    """Take or renew a lease that is free, expired or ours; answer whether we hold it now."""
    expires = transaction.now + nanoseconds
    free = or_(leases.c.holder == holder, leases.c.expires < transaction.now)
    mine = update(leases).where(leases.c.name == name, free).values(holder=holder, expires=expires)
    if transaction.connection.execute(mine).rowcount:
        return True
    row = {"name": name, "holder": holder, "expires": expires}
    try:
        with transaction.connection.begin_nested():
            transaction.connection.execute(insert(leases), row)
    except IntegrityError:
        return False  # somebody else holds it
    return True


def put(transaction: Transaction, name: str, holder: str, expires: int) -> None:
    """Note who holds a lease until when (ns since 1970), whatever was noted before."""
    row = {"holder": holder, "expires": expires}
    if not transaction.connection.execute(update(leases).where(leases.c.name == name).values(row)).rowcount:
        transaction.connection.execute(insert(leases), {"name": name, **row})


def get_expiry(transaction: Transaction, name: str, holder: str) -> int:
    """Return until when `holder` holds a lease (ns since 1970), 0 if it does not."""
    query = select(leases.c.expires).where(leases.c.name == name, leases.c.holder == holder)
    return int(transaction.connection.scalar(query) or 0)


def release(transaction: Transaction, name: str, holder: str) -> None:
    """Give a lease back."""
    transaction.connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def count_like(transaction: Transaction, prefix: str) -> int:
    """Answer how many leases whose name starts with `prefix` have not expired."""
    mine = leases.c.name.startswith(prefix, autoescape=True)
    query = select(func.count()).select_from(leases).where(mine, leases.c.expires >= transaction.now)
    return int(transaction.connection.scalar(query) or 0)
