"""Houses to harm, each fresh and on a folder that can be looked into."""

from __future__ import annotations

import pytest

from app.services import tenure
from tests.api.conftest import rooms
from tests.contract.conftest import bucket
from tests.faults.power.site import library, site

__all__ = ["bucket", "library", "rooms", "site"]


@pytest.fixture(autouse=True)
def _alone_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each house the time in which two that start at once notice each other."""
    monkeypatch.setattr(tenure, "_SETTLE_SECONDS", 0.0)
