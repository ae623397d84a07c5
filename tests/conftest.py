"""Fixtures that every kind of test may ask for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import migrations
from tests.postgres import PostgresServer, driver_url, postgres_server
from tests.servers import moto_server


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Let no test write its log where an earlier one sent its own."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run PostgreSQL for this session; the test is skipped where there is none."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Answer the URL of a database with all tables and no rows, of this test alone."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Return the address of an S3 server of this module's tests."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def sqlite_floor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a SQLite file with all tables and no rows, to copy from."""
    path = tmp_path_factory.mktemp("floor") / "floor.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Answer the URL (as SQLAlchemy takes it) of a database with all tables and no rows, of each kind in turn."""
    if request.param == "postgres":
        return driver_url(request.getfixturevalue("postgres_url"))
    shutil.copyfile(request.getfixturevalue("sqlite_floor"), tmp_path / "chartroom.db")
    return f"sqlite:///{tmp_path / 'chartroom.db'}"
