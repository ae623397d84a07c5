"""A release in Helm's words: the block that `status`, `install` and `upgrade` print, and the parts of `get`."""

from __future__ import annotations

import re
from typing import Any

from helm_client.cli.output import render_yaml, sort_maps
from helm_client.releases.record import Release
from helm_client.releases.resources import Resources
from helm_client.releases.times import is_zero, render_ansi_time, render_seconds

_METHODS = {"ssa": "server-side apply", "csa": "client-side apply"}
_INFO = ("first_deployed", "last_deployed", "deleted", "description", "status", "notes", "resources")
_HOOK = ("name", "kind", "path", "manifest", "events", "last_run", "weight", "delete_policies", "output_log_policies")


def render_status(
    release: Release, *, hide_notes: bool = False, with_chart: bool = False, resources: Resources | None = None
) -> str:
    """Answer the status block; `with_chart` adds which chart it is, `resources` are its objects as tables."""
    lines = [f"NAME: {release.name}"]
    if not is_zero(release.updated):
        lines.append(f"LAST DEPLOYED: {render_ansi_time(release.updated)}")
    lines += [f"NAMESPACE: {release.namespace}", f"STATUS: {release.status}", f"REVISION: {release.revision}"]
    if with_chart:
        chart = release.metadata
        lines += [f"CHART: {chart.get('name', '')}", f"VERSION: {chart.get('version', '')}"]
        lines.append(f"APP_VERSION: {release.app_version}")
    lines.append(f"DESCRIPTION: {release.description}")
    if resources:
        lines.append(f"RESOURCES:\n{render_resources(resources)}")
    lines += _describe_tests(release)
    if with_chart:
        return "".join(f"{line}\n" for line in lines) + _render_parts(release)
    if release.notes and not hide_notes:
        lines.append(f"NOTES:\n{release.notes.strip()}")
    return "".join(f"{line}\n" for line in lines)


def render_resources(resources: Resources) -> str:
    """Answer the tables of a release's objects, as kubectl prints them.

    Helm prints each object by itself: the columns' names once for a row of equal tables, widths that fit it alone.
    """
    text, last = "", None
    for kind, objects in resources.items():
        text += f"==> {kind}\n"
        for one in objects:
            columns, rows = one.get("columnDefinitions") or [], one.get("rows") or []
            shown = [number for number, column in enumerate(columns) if not column.get("priority")]
            lines = [[columns[number]["name"].upper() for number in shown]] if rows and columns != last else []
            lines += [[_render_cell(row["cells"][number]) for number in shown] for row in rows]
            last = columns if rows else last
            text += _align(lines)
        text += "\n"
    return text


def _render_cell(cell: Any) -> str:
    text = "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)
    line = re.split("[\f\n\r]", text, maxsplit=1)
    return line[0].replace("\x1b", "^[") + ("..." if len(line) > 1 else "")


def _align(lines: list[list[str]]) -> str:
    """Pad all columns but the last (tabwriter: three blanks between them, six characters at least)."""
    columns = list(zip(*lines, strict=True))[:-1]
    widths = [max(6, *(len(cell) + 3 for cell in column)) for column in columns]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)) + "\n" for line in lines
    )


def _describe_tests(release: Release) -> list[str]:
    tests = [hook for hook in release.hooks if {"test", "test-success"}.intersection(hook.events)]
    if not tests:
        return ["TEST SUITE: None"]
    lines = []
    for hook in tests:
        run = hook.last_run
        if not is_zero(str(run.get("started_at") or "")):
            lines += [
                f"TEST SUITE:     {hook.name}", f"Last Started:   {render_ansi_time(str(run['started_at']))}",
                f"Last Completed: {render_ansi_time(str(run.get('completed_at') or ''))}",
                f"Phase:          {run.get('phase', '')}",
            ]  # fmt: skip
    return lines


def _render_parts(release: Release) -> str:
    text = f"{render_values(release)}\n{render_values(release, computed=True)}\n"
    text += f"HOOKS:\n{render_hooks(release)}MANIFEST:\n{release.manifest}\n"
    return text + (f"NOTES:\n{release.notes.strip()}\n" if release.notes else "")


def render_all(release: Release) -> str:
    """Answer everything that `get all` prints."""
    return render_status(release, with_chart=True)


def render_values(release: Release, *, computed: bool = False) -> str:
    """Answer the values that were given, or those they came to."""
    if computed:
        return f"COMPUTED VALUES:\n{render_yaml(release.values())}"
    return f"USER-SUPPLIED VALUES:\n{render_yaml(release.config)}"


def render_hooks(release: Release) -> str:
    """Answer the hooks, each below the name of its template."""
    return "".join(f"---\n# Source: {hook.path}\n{hook.manifest}\n" for hook in release.hooks)


def render_metadata(release: Release) -> str:
    """Answer which chart a release is made of, line by line."""
    found = to_metadata(release)
    names = ",".join(sorted(one.get("name") or "" for one in found.get("dependencies") or ()))
    lines = {
        "NAME": found["name"], "CHART": found["chart"], "VERSION": found["version"], "APP_VERSION": found["appVersion"],
        "ANNOTATIONS": _join(found.get("annotations")), "LABELS": _join(found.get("labels")), "DEPENDENCIES": names,
        "NAMESPACE": found["namespace"], "REVISION": found["revision"], "STATUS": found["status"],
        "DEPLOYED_AT": found["deployedAt"], "APPLY_METHOD": _describe_method(found.get("applyMethod", "")),
    }  # fmt: skip
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def to_metadata(release: Release) -> dict[str, Any]:
    """Answer what `get metadata -o json` says."""
    chart = release.metadata
    found = {
        "name": release.name, "chart": chart.get("name", ""), "version": chart.get("version", ""),
        "appVersion": release.app_version, "annotations": sort_maps(chart.get("annotations")),
        "labels": sort_maps(dict(release.all_labels)),
        "dependencies": chart.get("dependencies"), "namespace": release.namespace, "revision": release.revision,
        "status": release.status, "deployedAt": render_seconds(release.updated),
        "applyMethod": release.document.get("apply_method"),
    }  # fmt: skip
    optional = ("annotations", "labels", "dependencies", "applyMethod")
    return {key: value for key, value in found.items() if value or key not in optional}


def to_status(release: Release, resources: Resources | None = None) -> dict[str, Any]:
    """Answer what `status -o json` says: the record without its chart, without what is empty, and its objects."""
    document, known = release.document, {**release.info, "resources": sort_maps(resources)}
    info = {key: known[key] for key in _INFO if known.get(key)}
    hooks = [{key: hook[key] for key in _HOOK if hook.get(key)} for hook in document.get("hooks") or ()]
    found = {
        "name": release.name, "info": info, "config": sort_maps(release.config), "manifest": release.manifest,
        "hooks": hooks,
        "version": release.revision, "namespace": release.namespace, "apply_method": document.get("apply_method"),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def _join(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _describe_method(method: str) -> str:
    return _METHODS.get(method, method or "client-side apply (defaulted)")
