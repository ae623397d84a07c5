"""Code that the server and the client both need, and that neither may import from the other."""

from __future__ import annotations

from pathlib import Path

import helm_client.semver

import app.domain.semver


def test_server_and_client_read_versions_by_the_same_code() -> None:
    server, client = Path(app.domain.semver.__file__), Path(helm_client.semver.__file__)
    assert server.read_bytes() == client.read_bytes()
