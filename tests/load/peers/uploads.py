"""An upload handler the usual way: UploadFile, tarfile, PyYAML, an async ORM session, one row for each version.

It makes the promises that ours makes: before the 201 the file, its folder and the commit are on the disk. Its
database may hold many versions already: `fill` puts rows there.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import tarfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import yaml
from fastapi import Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import JSON, String, UniqueConstraint, create_engine, event, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.load.peers.bare import FOLDER


class Base(DeclarativeBase):
    """The tables."""


class ChartVersion(Base):
    """One version of a chart."""

    __tablename__ = "chart_versions"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    created: Mapped[float]
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


def _configure(driver: Any, _record: object) -> None:
    cursor = driver.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def fill(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Make the database and put rows there."""
    (folder / "charts").mkdir(parents=True)
    engine = create_engine(f"sqlite:///{folder / 'charts.db'}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(ChartVersion), list(rows))
    engine.dispose()


def read_chart_yaml(content: bytes) -> dict[str, Any]:
    """Answer what Chart.yaml says."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            if member.name.count("/") == 1 and member.name.endswith("/Chart.yaml"):
                file = archive.extractfile(member)
                assert file is not None
                loaded: dict[str, Any] = yaml.safe_load(file)
                return loaded
    raise HTTPException(400, "no Chart.yaml")


def save(path: Path, content: bytes) -> None:
    """Write a file, durably and at one moment."""
    fresh = path.with_suffix(f".{os.urandom(8).hex()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Answer a database session."""
    async with request.app.state.sessions() as session:
        yield session


async def upload(
    request: Request, chart: UploadFile, session: Annotated[AsyncSession, Depends(get_session)]
) -> dict[str, bool]:
    """POST /api/charts."""
    content = await chart.read()
    facts = read_chart_yaml(content)
    name, version = str(facts["name"]), str(facts["version"])
    query = select(ChartVersion).where(ChartVersion.name == name, ChartVersion.version == version)
    if (await session.execute(query)).scalar_one_or_none() is not None:
        raise HTTPException(409, "file already exists")
    path = request.app.state.folder / "charts" / f"{name}-{version}.tgz"
    await run_in_threadpool(save, path, content)
    digest = hashlib.sha256(content).hexdigest()
    session.add(
        ChartVersion(name=name, version=version, digest=digest, size=len(content), created=time.time(), details=facts)
    )
    await session.commit()
    return {"saved": True}


def build() -> FastAPI:
    """Answer the application."""
    folder = Path(os.environ[FOLDER])
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'charts.db'}")
    event.listen(engine.sync_engine, "connect", _configure)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.state.folder = folder
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.add_api_route("/api/charts", upload, methods=["POST"], status_code=201)
    return app


def count(folder: Path) -> int:
    """Answer how many versions the database holds."""
    connection = sqlite3.connect(folder / "charts.db")
    try:
        found: int = connection.execute("SELECT count(*) FROM chart_versions").fetchone()[0]
        return found
    finally:
        connection.close()
