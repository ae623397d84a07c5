"""Dependencies whose repositories Helm's engine cannot reach as the chart names them.

Three things stand in the way: helm-python-sdk reads no repositories.yaml, so it knows no alias (`@stable`) and no
password; it takes one password for all repositories, which would tell one what belongs to another; and neither engine
knows that a repository stands in for a dead address (`replaces`). So the engine gets a folder that names each
repository by the URL to use, with its password inside; its `charts/` is the chart's own. The lock that comes back
names the repositories as the chart does, and has the digest that Helm expects.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import yaml

from helm_client.environment import Environment
from helm_client.errors import EngineError, InvalidChart
from helm_client.repositories import Entry, Repositories
from helm_client.transfer import write_whole

# The fields of a dependency in the order that Go writes them, which is what a lock's digest is made of.
_FIELDS = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")
_DIGEST = re.compile(r"^digest: .*$", re.MULTILINE)
_NOISE = "found symbolic link in path"


class _Loader(yaml.SafeLoader):
    """Reads numbers and dates as text: Helm takes `version: 1.10` as it is written."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own name
        first: [(tag, words) for tag, words in resolvers if tag.endswith((":bool", ":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass
class Plan:
    """Where the engine is to work; `urls` maps the URL it is given to the one that the chart means."""

    folder: Path
    urls: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)

    def restore(self, text: str) -> str:
        """Put the chart's own URLs back into what the engine says; no password is left."""
        for used, meant in self.urls.items():
            text = text.replace(used, meant)
        return text

    def restore_lines(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Do the same to lines on standard error, without those about our own folder."""
        return tuple(self.restore(line) for line in lines if _NOISE not in line)

    def tell(self, lines: Iterable[str]) -> str:
        """Answer the progress that helm-python-sdk logs in the words of Helm's command line."""
        text, managed = "", any(self.names.values())
        for line in map(self.restore, lines):
            found = re.search(r'"helm-c-dep-(\d+)"', line)
            if found:
                line = line.replace(found[0], f'"{self._name(int(found[1]))}"')
            if not managed and line.startswith("Hang tight while we grab"):
                line = "Getting updates for unmanaged Helm repositories..."
            if managed or not line.startswith("Update Complete."):
                text += f"{line}\n"
        return text

    def _name(self, number: int) -> str:
        meant = self.meant[number]
        return self.names.get(meant) or meant

    def make_access(self) -> dict[str, Any]:
        """Answer the engine's options of TLS. Raises EngineError where repositories need different ones."""
        wanted = {(entry.ca_file, entry.cert_file, entry.key_file) for entry in self.entries} - {("", "", "")}
        if len(wanted) > 1:
            raise EngineError(
                "the dependencies come from repositories with different certificates, which helm-python-sdk cannot "
                "tell apart: set HELM_CLIENT_BACKEND=binary"
            )
        ca, cert, key = next(iter(wanted), ("", "", ""))
        careless = bool(self.entries) and all(entry.insecure_skip_tls_verify for entry in self.entries)
        return {"ca_file": ca, "cert_file": cert, "key_file": key, "insecure_skip_tls_verify": careless}


@contextmanager
def prepare(chart: Path, environment: Environment, *, whole: bool) -> Iterator[Plan]:
    """Answer where to fetch a chart's dependencies; afterwards the lock is the chart's.

    Without `whole` only dead addresses are replaced. Raises InvalidChart and EngineError.
    """
    listed = chart / ("requirements.yaml" if (chart / "requirements.yaml").exists() else "Chart.yaml")
    plan = Plan(chart)
    document = _read(listed)
    wanted = _list(document)
    repositories = Repositories(environment.repository_config)
    used = [_resolve(item, repositories, chart, plan, whole=whole) for item in wanted]
    if all(_is_local(item) or item == given for item, given in zip(used, wanted, strict=True)):
        plan.urls.clear()
        yield plan
        return
    meant = [item | {"repository": name} for item, name in zip(wanted, plan.meant, strict=True)]
    with tempfile.TemporaryDirectory(prefix="helm-client-") as folder:
        plan.folder = Path(folder)
        plan.urls[folder] = str(chart)
        lock = _lay_out(chart, listed, document | {"dependencies": used}, plan, wanted, meant)
        before = lock.read_bytes() if lock.exists() else b""
        yield plan
        if lock.exists() and lock.read_bytes() != before:
            _take_lock(lock, chart / lock.name, plan, meant)


def _lay_out(
    chart: Path, listed: Path, document: dict[str, Any], plan: Plan, wanted: list[Any], meant: list[Any]
) -> Path:
    """Write the engine's folder; answer where its lock lies, or will."""
    for name in ("Chart.yaml", listed.name):
        (plan.folder / name).write_bytes((chart / name).read_bytes())
    _write_secret(plan.folder / listed.name, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    (chart / "charts").mkdir(exist_ok=True)
    (plan.folder / "charts").symlink_to((chart / "charts").absolute(), target_is_directory=True)
    lock = plan.folder / listed.name.replace(".yaml", ".lock")
    there = chart / lock.name
    if there.exists():
        known = _read(there)
        right = {_digest([wanted, _list(known)]), _digest([meant, _list(known)]), _digest({"dependencies": wanted})}
        back = {name: url for url, name in plan.urls.items()}
        locked = [item | {"repository": back.get(item["repository"], item["repository"])} for item in _list(known)]
        if known.get("digest") in right:
            known["digest"] = _digest([document["dependencies"], locked])
        _write_secret(lock, yaml.safe_dump(known | {"dependencies": locked}))
    return lock


def _take_lock(lock: Path, target: Path, plan: Plan, meant: list[Any]) -> None:
    text = plan.restore(lock.read_text(encoding="utf-8"))
    digest = _digest([meant, _list(yaml.load(text, Loader=yaml.BaseLoader))])  # noqa: S506  # makes text only
    write_whole(target, _DIGEST.sub(f"digest: {digest}", text).encode())


def _resolve(item: Any, repositories: Repositories, chart: Path, plan: Plan, *, whole: bool) -> Any:
    """Answer a dependency with the URL to use, and note in the plan what it means."""
    url = str(item.get("repository", ""))
    plan.meant.append(url)
    if url.startswith("file://") and not url.startswith("file:///"):
        place = f"file://{os.path.normpath(chart.absolute() / url.removeprefix('file://'))}"
        plan.urls[place] = url
        return item | {"repository": place}
    alias = url.removeprefix("@") if url.startswith("@") else url.removeprefix("alias:")
    named = alias != url
    entry = repositories.find(alias) if named else repositories.find_by_url(url)
    if named and not whole:
        return item
    if entry is None and named:
        raise EngineError(f"no repository definition for {url}. Please add them via 'helm repo add'")
    if entry is None:
        return item
    meant = entry.url if named else url
    plan.meant[-1], plan.names[meant] = meant, entry.name
    plan.entries.append(entry)
    dead = meant.rstrip("/") != entry.url.rstrip("/")
    if not whole and not dead:
        return item
    place = _add_password(entry.url if dead else meant, entry) if whole else entry.url
    if place != meant:
        plan.urls[place] = meant
    return item | {"repository": place}


def _is_local(item: Any) -> bool:
    return str(item.get("repository", "")).startswith("file://")


def _add_password(url: str, entry: Entry) -> str:
    parts = urlsplit(url)
    if not (entry.username and entry.password) or "@" in parts.netloc:
        return url
    login = f"{quote(entry.username, safe='')}:{quote(entry.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except FileNotFoundError as error:
        raise InvalidChart(f"{path.name} file is missing") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidChart(f"cannot load {path.name}: {error}") from error
    return document if isinstance(document, dict) else {}


def _list(document: dict[str, Any]) -> list[Any]:
    listed = document.get("dependencies") or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise InvalidChart("dependencies must not contain empty or null nodes")
    return listed


def _digest(value: Any) -> str:
    """Answer a lock's digest (Helm's internal/resolver, HashReq): over the JSON that Go writes."""

    def order(item: Any) -> dict[str, Any]:
        found = {name: item[name] for name in _FIELDS if item.get(name)}
        found["repository"] = item.get("repository", "")
        return {name: found[name] for name in _FIELDS if name in found}

    lists = {key: list(map(order, part)) for key, part in value.items()} if isinstance(value, dict) else None
    plain: Any = lists or [list(map(order, part)) for part in value]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
