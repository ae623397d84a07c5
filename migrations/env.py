"""Alembic's entry: runs migrations on the connection that `migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from app.db.tables import metadata
from app.settings import load_settings


def run() -> None:
    """Run the migrations; from Alembic's own command line on the database of the settings."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        with create_engine(load_settings().database_url()).begin() as own:
            migrate(own)
        return
    migrate(connection)


def migrate(connection: object) -> None:
    """Run the migrations in one transaction."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.run_migrations()


run()
