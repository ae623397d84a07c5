"""The row about the statements that an upload sends to Postgres, counted in the log of the database."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from psycopg import sql

from tests.load.against.checkout import Checkout, Store
from tests.load.against.pair import Pair
from tests.load.against.rounds import Line, Reading, Turn
from tests.load.uploading import upload_all

_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}


def statements(pair: Pair) -> list[Line]:
    """Statements of a new version of a chart that is there, by 1 client: of transactions, and all others."""
    postgres = pair.stores.postgres()
    log = postgres.folder / "log"

    def start(side: Checkout, running: ExitStack) -> Turn:
        database = pair.stores.create_database()
        with pair.stores.connect() as connection:
            name = sql.Identifier(database)
            connection.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(name))
        store = Store(str(pair.stores.make_folder()), postgres.url(database))
        server = running.enter_context(side.serve(store))
        supply = pair.supply(side, 1)

        def turn() -> dict[str, Reading]:
            archives = supply.take(pair.scale.uploads_logged)
            before = log.stat().st_size
            upload_all(server.url, archives, clients=1)
            first_words = _list_statements(log, before, database)
            transaction = sum(word in _TRANSACTION for word in first_words)
            return {
                "statements": Reading((len(first_words) - transaction) / len(archives), "an upload"),
                "statements, of transactions": Reading(transaction / len(archives), "an upload"),
            }

        return turn

    return pair.compare(start, rounds=pair.scale.counted)


def _list_statements(log: Path, since: int, database: str) -> list[str]:
    """Return the first word of each statement in one database that was logged since a place in the log."""
    with log.open("rb") as stream:
        stream.seek(since)
        text = stream.read().decode(errors="replace")
    return [word.upper() for word in re.findall(rf"^{database} LOG:  (?:statement|execute [^:]*): *(\w+)", text, re.M)]
