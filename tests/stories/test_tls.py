"""HTTPS, and clients that show a certificate of their own: ChartMuseum's --tls-cert, --tls-key and --tls-ca-cert."""

from __future__ import annotations

import random
import ssl
import time
from pathlib import Path

import httpx
import pytest

from tests.charts import make_chart
from tests.client.test_tls import write_certificate
from tests.live import LiveServer, serve


def _context(authority: Path, *identity: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if identity:
        context.load_cert_chain(*map(str, identity))
    return context


def test_only_clients_with_a_certificate_of_the_authority_get_in(tmp_path: Path) -> None:
    for name in ("server", "client", "stranger"):
        (tmp_path / name).mkdir()
    server_cert, server_key = write_certificate(tmp_path / "server")
    client_cert, client_key = write_certificate(tmp_path / "client")
    stranger = write_certificate(tmp_path / "stranger")
    files = {"TLS_CERT": str(server_cert), "TLS_KEY": str(server_key), "TLS_CA_CERT": str(client_cert)}
    with serve(tmp_path / "store", wait_for="", **files) as running:
        server = LiveServer(running.url.replace("http:", "https:"), running.process, running.log)
        with httpx.Client(verify=_context(server_cert, client_cert, client_key), base_url=server.url) as client:
            _wait(client, server)
            assert client.post("/api/charts", content=make_chart()).json() == {"saved": True}
            assert "mychart" in client.get("/index.yaml").json()["entries"]
            large = make_chart("large", files={"icon.png": random.Random(1).randbytes(150_000)})
            assert client.post("/api/charts", content=large).status_code == 201
            assert {client.get("/charts/large-0.1.0.tgz").content for _ in range(5)} == {large}
        for identity in ((), stranger):
            client = httpx.Client(verify=_context(server_cert, *identity), base_url=server.url)
            with client, pytest.raises(httpx.TransportError):
                client.get("/index.yaml")
        with pytest.raises(httpx.TransportError):  # and nothing is said in plain
            httpx.get(f"{running.url}/health")


def _wait(client: httpx.Client, server: LiveServer) -> None:
    for _ in range(200):
        assert server.process.poll() is None, server.log.read_text()
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(server.log.read_text())


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as server:
        port = int(server.url.rpartition(":")[2])
        with serve(tmp_path / "other", "--port", str(port), wait_for="") as second:
            assert second.process.wait(20) == 2
            assert f"cannot listen on 127.0.0.1:{port}" in second.log.read_text()
            assert "Traceback" not in second.log.read_text()
