"""A live server for the OCI tests, and a client that knows the ways of registries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import LiveServer, serve
from tests.oci.client import Registry


@pytest.fixture(scope="session")
def oci_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Run a server that everybody may write to; tests use names of their own."""
    with serve(tmp_path_factory.mktemp("oci") / "data") as found:
        yield found


@pytest.fixture
def registry(oci_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Answer a client for a name that this test alone uses."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    with Registry(oci_server.url, f"tests/{'-'.join(filter(None, name.split('-')))[:150]}") as found:
        yield found
