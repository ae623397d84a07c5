"""What a chart depends on, and what of it lies in its `charts/`, in Helm's words (action.Dependency). Only reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from helm_client.archive import read_chart
from helm_client.errors import HelmClientError
from helm_client.semver import parse_constraint, parse_version


class Dependency(NamedTuple):
    """One dependency: how the chart names it, and `ok`, `missing`, `unpacked`, `wrong version` and the like."""

    name: str
    version: str
    repository: str
    status: str


def list_dependencies(chart: Path) -> list[Dependency]:
    """Answer the dependencies of a chart folder or archive, in the chart's order. Raises InvalidChart; OSError."""
    return [
        Dependency(name, version, str(one.get("repository") or ""), _find_status(chart, name, version))
        for one in read_chart(chart).metadata.get("dependencies") or ()
        for name, version in [(str(one.get("name") or ""), str(one.get("version") or ""))]
    ]


def list_strays(chart: Path) -> list[str]:
    """Answer the charts in `charts/` that the chart does not depend on, as `charts/NAME`."""
    if not chart.is_dir():
        return []
    known = {one.name for one in list_dependencies(chart)}
    strays = []
    for path in sorted((chart / "charts").glob("*")):
        if path.is_dir() or path.suffix == ".tgz":
            try:
                name = read_chart(path).name
            except HelmClientError:
                continue
            if name not in known:
                strays.append(str(path))
    return strays


def _find_status(chart: Path, name: str, version: str) -> str:
    archives = sorted((chart / "charts").glob(f"{name}-*.tgz"))
    archives = [path for path in archives if _is_version(path.name.removeprefix(f"{name}-").removesuffix(".tgz"))]
    if len(archives) > 1:
        return "too many matches"
    if archives:
        return _judge(archives[0], name, version, "ok", "corrupt")
    folder = chart / "charts" / name
    if not folder.is_dir():
        return "missing"
    return _judge(folder, name, version, "unpacked", "corrupt")


def _judge(path: Path, name: str, version: str, good: str, broken: str) -> str:
    try:
        found = read_chart(path)
        if found.name != name:
            return "misnamed"
        if found.version != version and not parse_constraint(version).check(parse_version(found.version)):
            return "wrong version"
    except HelmClientError:
        return broken
    except ValueError:
        return "invalid version"
    return good


def _is_version(text: str) -> bool:
    try:
        parse_version(text)
    except ValueError:
        return False
    return True
