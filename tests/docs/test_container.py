"""The container's files: what they name exists, and their command lines are ours. Nothing is built here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml

from app import museum
from app.settings import BucketPlace, Settings, load_settings
from tests.charts import make_chart
from tests.docs.commands import parse_command
from tests.docs.readme import ROOT, list_commands
from tests.live import find_free_port, serve
from tests.postgres import PostgresServer
from tests.servers import moto_server

OURS = {f"CHARTROOM_{name.upper()}" for name in Settings.model_fields}
MUSEUMS = {option.env for option in museum.OPTIONS}
OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def read_dockerfile() -> list[tuple[str, str]]:
    """Answer the instructions and what follows each, line ends joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def get_last(instruction: str) -> str:
    """Answer the instruction that counts: the last."""
    return [rest for word, rest in read_dockerfile() if word == instruction][-1]


def read_compose() -> dict[str, Any]:
    """Answer the Compose file, with the defaults of its variables put in."""
    text = re.sub(r"\$\{\w+:-(\w*)\}", r"\1", (ROOT / "docker-compose.yml").read_text())
    assert "$" not in text
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def list_environment() -> set[str]:
    pairs = " ".join(rest for word, rest in read_dockerfile() if word == "ENV")
    return {pair.partition("=")[0] for pair in shlex.split(pairs)}


def test_every_environment_name_exists() -> None:
    server = read_compose()["services"]["server"]
    for name in list_environment() | set(server["environment"]):
        assert name in OURS | MUSEUMS | OTHERS, name


def test_the_image_leaves_storage_and_host_to_whoever_runs_it() -> None:
    assert not list_environment() & (OURS | MUSEUMS)


def test_every_path_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        path
        for word, rest in read_dockerfile()
        if word == "COPY" and "--from" not in rest
        for path in rest.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / path).exists() for path in copied)


def test_it_does_not_run_as_root() -> None:
    uid, _, gid = get_last("USER").partition(":")
    assert (int(uid), int(gid)) == (1000, 1000)


def test_packages_are_pinned() -> None:
    installs = [rest for word, rest in read_dockerfile() if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("-c constraints.txt" in rest for rest in installs)


def test_the_defaults_of_the_image_serve_everybody_from_its_volume() -> None:
    assert json.loads(get_last("ENTRYPOINT")) == ["chartroom"]
    name, flags = parse_command(json.loads(get_last("CMD")))
    assert (name, flags["host"], flags["storage"]) == ("serve", "0.0.0.0", "")
    folder = Path(get_last("WORKDIR")) / Settings.model_fields["storage"].default
    assert str(folder) in json.loads(get_last("VOLUME"))


@pytest.mark.parametrize("extra", [[], ["--debug", "--depth=1"]])
def test_the_arguments_of_chartmuseums_helm_chart_are_understood(extra: list[str]) -> None:
    name, flags = parse_command(["--port=8080", "--storage-local-rootdir=/storage", *extra])
    environ = {"STORAGE": "local", "DISABLE_API": "true", "CHARTROOM_PORT": "tcp://10.0.0.1:8080", "LOG_JSON": "true"}
    settings = load_settings(flags, environ, museum=True)
    assert (name, settings.host, settings.port, settings.fixed_depth) == ("", "0.0.0.0", 8080, len(extra) // 2)
    assert str(settings.storage_place()).endswith("/storage'))")
    assert settings.warnings == ()


def test_docker_run_as_the_readme_types_it_is_understood() -> None:
    lines = [
        line for block in list_commands("Container") for line in block.splitlines() if line.startswith("docker run")
    ]
    for line in lines:
        parse_command(line.partition(" chartroom")[2].split() or json.loads(get_last("CMD")))
    assert len(lines) == 2


def test_the_program_of_chartmuseum_has_its_path() -> None:
    assert any("/chartmuseum" in rest.split() for word, rest in read_dockerfile() if word == "RUN")


def test_the_server_of_the_compose_file_is_set_as_it_should_be() -> None:
    services = read_compose()["services"]
    server = services["server"]
    settings = load_settings({}, server["environment"])
    place = settings.storage_place()
    assert isinstance(place, BucketPlace)
    assert (settings.workers, place.bucket, place.prefix) == (2, "charts", "")
    assert settings.database_url().startswith("postgresql+psycopg://chartroom:chartroom@database/")
    assert settings.warnings == ()
    assert server["read_only"] is True
    assert set(server["tmpfs"]) == set(json.loads(get_last("VOLUME")))
    assert set(server["depends_on"]) == set(services) - {"server", "objects"}
    assert all(":" in service["image"] for service in services.values() if "image" in service)


def test_the_compose_files_settings_serve(postgres_url: str, postgres: PostgresServer, tmp_path: Path) -> None:
    environment = dict(read_compose()["services"]["server"]["environment"])
    with moto_server() as address:
        account = {"aws_access_key_id": "chartroom", "aws_secret_access_key": "chartroom"}
        s3: Any = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **account)
        s3.create_bucket(Bucket="charts")
        s3.close()
        environment |= {"CHARTROOM_STORAGE_AMAZON_ENDPOINT": address, "CHARTROOM_DATABASE": postgres_url}
        with serve(tmp_path / "none", "--storage", environment["CHARTROOM_STORAGE"], **environment) as server:
            assert httpx.post(f"{server.url}/api/charts", content=make_chart()).status_code == 201
            for _ in range(4):
                assert httpx.get(f"{server.url}/charts/mychart-0.1.0.tgz").content == make_chart()


def test_the_health_check_asks_the_server(tmp_path: Path) -> None:
    program, flag, code = json.loads(get_last("HEALTHCHECK").partition(" CMD ")[2])
    assert (program, flag) == ("python", "-c")
    paths = {"CHARTROOM_CONTEXT_PATH": "/inner"}
    with serve(tmp_path / "store", wait_for="/inner/-/ready", **paths) as server:
        port = server.url.rpartition(":")[2]
        assert check_health(code, CHARTROOM_PORT=port, **paths) == 0
    assert check_health(code, CHARTROOM_PORT=str(find_free_port()), **paths) != 0


def check_health(code: str, **environment: str) -> int:
    """Run the health check as the engine would, with a storage setting that only the server's arguments complete."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "STORAGE": "local", **environment},
        capture_output=True, check=False,
    )  # fmt: skip
    assert time.monotonic() - started < 5
    return done.returncode
