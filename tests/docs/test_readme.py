"""The README says what is so: its commands work, and what it names is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import museum
from app.settings import Settings
from tests.docs.commands import parse_command
from tests.docs.picture import ROOF, read_picture
from tests.docs.readme import ADDRESS, ROOT, get_section, list_code, list_commands, list_rows, put_table, read_readme
from tests.live import serve
from tests.needs import find_helms
from tests.stories.shop import make_provenance

BESIDE_A_SERVER = ("Push, pull, search", "Commands")
WITHOUT_ONE = "In production"
OTHERS = {
    "AWS_ACCESS_KEY_ID", "AWS_INSECURE_SKIP_VERIFY", "AWS_SECRET_ACCESS_KEY", "CHARTROOM_TEST_KUBECONFIG",
    "CHARTROOM_TEST_POWER_RUNS", "FOLDER", "HELM3", "HELM4", "KUBEBUILDER_ASSETS", "LICENSE",
}  # fmt: skip
"""Words in capitals that are not settings."""

# As a person's shell finds them; curl fails where the server refuses, and `.venv/bin/chartroom` is this code.
_CURL = '#!/bin/sh\nexec "{curl}" --fail-with-body --silent --show-error "$@"\n'
_CHARTROOM = '#!/bin/sh\nPYTHONPATH="{root}" exec "{python}" -m app "$@"\n'


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(folder: Path, script: str) -> str:
    """Run shell commands as typed, in a folder with its own helm and homes; the first that fails ends it."""
    homes = {f"HELM_{name}_HOME": str(folder / "helm" / name) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {**os.environ, **homes, "HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euxc", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(params=[0, 1], ids=["helm", "another helm"])
def helm(request: pytest.FixtureRequest) -> str:
    helms = find_helms()
    if request.param >= len(helms):
        pytest.skip("only one helm is here: set HELM3 and HELM4 to test with both")
    return helms[request.param]


def test_every_command_works_as_it_is_typed(tmp_path: Path, helm: str) -> None:
    curl = shutil.which("curl") or pytest.skip("needs curl: install it")
    write_program(tmp_path / "bin" / "helm", f'#!/bin/sh\nexec "{helm}" "$@"\n')
    write_program(tmp_path / "bin" / "curl", _CURL.format(curl=curl))
    write_program(tmp_path / ".venv/bin/chartroom", _CHARTROOM.format(root=ROOT, python=sys.executable))
    (tmp_path / "mychart-0.1.0.tgz.prov").write_bytes(make_provenance("mychart", "0.1.0"))
    blocks = list_commands("Quick start")[1:]
    for title in BESIDE_A_SERVER:
        blocks += list_commands(title)
    with serve(tmp_path / "data") as server:
        host = ADDRESS.removeprefix("http://")
        said = run(tmp_path, "\n".join(blocks).replace(host, server.url.removeprefix("http://")))
    assert "chartroom/mychart" in said
    assert "1 created, 0 unchanged, 0 refused" in said
    assert said.splitlines()[-1] == "clean"
    assert (tmp_path / "static/mirror/old/charts/mychart-0.1.0.tgz").exists()
    *_, command, copy = list_commands(WITHOUT_ONE)
    assert run(tmp_path, command).splitlines().count("clean") == 2
    assert " versions, " in run(tmp_path, copy)


def test_it_starts_with_two_commands() -> None:
    clone, make = list_commands("Quick start")[0].splitlines()
    assert clone.startswith("git clone ")
    assert make == "make -C chartroom serve"


def test_the_settings_table_is_the_codes() -> None:
    text = read_readme()
    assert put_table(text) == text, "run: python -m tests.docs"


def test_every_setting_named_exists() -> None:
    known = {f"CHARTROOM_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"CHARTROOM_[A-Z0-9_]+", read_readme()))
    assert named - known - OTHERS == set()


def test_every_name_in_capitals_is_one_of_chartmuseums() -> None:
    known = {option.env for option in museum.OPTIONS} | OTHERS
    words = {re.split(r"[= ]", code)[0] for code in list_code(read_readme())}
    named = {word for word in words if re.fullmatch(r"[A-Z][A-Z0-9_]{4,}", word)}
    assert {word for word in named if not word.startswith("CHARTROOM_")} - known == set()


def test_every_command_of_the_table_is_one_and_all_are_there() -> None:
    typed = [shlex.split(row[0].strip("`")) for row in list_rows("Commands")]
    assert [name for name, _ in map(parse_command, (words[1:] for words in typed))] == [
        "serve", "worker", "migrate", "check-config", "import", "export", "reindex", "verify", "gc", "backup",
        "restore",
    ]  # fmt: skip


def test_every_command_of_a_block_can_be_parsed() -> None:
    lines = re.findall(r"^\.venv/bin/chartroom (.*)$", read_readme(), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        parse_command(shlex.split(line))


def test_every_file_of_where_is_it_exists() -> None:
    rows = list_rows("Where is it?")
    assert len(rows) > 20
    for _question, answer in rows:
        paths = [code for code in list_code(answer) if "/" in code]
        assert paths, answer
        for path in paths:
            assert (ROOT / path).exists(), path


def test_every_make_target_exists_and_is_told_of() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"`make(?: -C chartroom)? ([a-z-]+)`", read_readme()))
    assert told | {"help"} == targets


def test_every_folder_of_tests_is_told_of() -> None:
    told = {code for code in list_code(get_section("Development")) if code.startswith("tests/")}
    folders = {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/__init__.py")}
    assert told - {"tests/load/RESULTS.md"} == folders


def test_the_picture_shows_every_file_in_its_room() -> None:
    rooms = read_picture()
    assert set(rooms) == {ROOF, "storage/", *(f"app/{path.parent.name}/" for path in ROOT.glob("app/*/__init__.py"))}
    for room, drawn in rooms.items():
        there = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
        assert drawn == there, f"{room} and the picture of the house in the README differ"


def test_the_changelog_has_this_version() -> None:
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_no_registry_and_no_folder_of_one_machine_is_named() -> None:
    for name in ("README.md", "CHANGELOG.md", "Dockerfile", "docker-compose.yml", "helm-client/README.md"):
        assert not re.search(r"pypi|docker\.io|ghcr\.io|quay\.io|/work/|\.\./shared", (ROOT / name).read_text()), name
