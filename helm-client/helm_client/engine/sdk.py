"""Helm's code in helm-python-sdk 0.2.2: the one file that knows that package, its private `_native` above all.

Imported by the worker alone: the library must not live in a process that forks, reads the environment once, and
prints to standard error. Each function takes the facts of a call and answers what can be written as JSON.
A chart that was rendered is changed by it, so each rendering loads its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helm_python import _native as native
from helm_python.errors import HelmError, HelmNotFoundError, HelmReleaseError

from helm_client.engine import manifests

Facts = dict[str, Any]

_METADATA = {"name": "chart_name", "version": "chart_version", "appVersion": "app_version"}
_NONE = native.HANDLE(0)
_DEPRECATED = 'level=WARN msg="this chart is deprecated"'
_MISSING = (
    "an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch "
    "missing dependencies: found in Chart.yaml, but missing in charts/ directory: {}"
)


class Refused(Exception):
    """What Helm's command line refuses before its engine is asked."""


def read_values(facts: Facts) -> Any:
    """Parse a YAML document of values, with Helm's parser."""
    return json.loads(native.call_string("helm_values_from_yaml", facts["text"]))


def template(facts: Facts) -> Any:
    """Render a chart: manifests in order, then hooks."""
    options = facts["options"]
    warnings = _check(facts, refuse_library=True)
    wanted = {
        "dry_run": "server" if options["validate"] else "client", "replace": True,
        **_pick(options, "kube_version", "api_versions", "skip_crds", "skip_schema_validation", "enable_dns"),
    }  # fmt: skip
    with _open_config(facts) as config:
        answer = _run_install(config, facts, options["name"], wanted)
        files, crds = _render(config, facts, options["name"], **_pick(options, "kube_version", "api_versions"))
    manifest, hooks = answer.get("manifest", ""), manifests.find_hooks(files)
    if options["is_upgrade"]:
        manifest, hooks = manifests.arrange(files)
    if options["include_crds"]:
        texts = [f"---\n# Source: {crd['filename']}\n{crd['data']}\n" for crd in crds]
        manifest = "".join(texts) + manifest
    text = manifests.render(manifest, [] if options["no_hooks"] else hooks, skip_tests=options["skip_tests"])
    if options["show_only"]:
        text, absent = manifests.select(text, options["show_only"])
        if absent:
            raise Refused(f"could not find template {absent} in chart")
    return {"text": text, "warnings": warnings}


def lint(facts: Facts) -> Any:
    """Lint one chart: Helm's report."""
    wanted = _pick(facts["options"], "strict", "quiet", "skip_schema_validation", "kube_version")
    wanted["namespace"] = facts["config"].get("namespace", "default")
    values = json.dumps(facts["values"])
    return json.loads(native.call_string("helm_lint_run_opts", facts["chart"], values, json.dumps(wanted)))


def package(facts: Facts) -> Any:
    """Archive a chart, and sign it."""
    names = ("destination", "version", "app_version", "sign", "key", "keyring", "passphrase_file", "dependency_update")
    wanted = _pick(facts["options"], *names)
    return {"path": native.call_string("helm_package_run", facts["chart"], json.dumps(wanted))}


def verify(facts: Facts) -> Any:
    """Verify an archive: who signed it and its digest, without the key's fingerprint."""
    return json.loads(native.call_string("helm_chart_verify", facts["chart"], None, facts["keyring"]))


def create(facts: Facts) -> Any:
    """Make a chart's folder."""
    path, starter = Path(facts["path"]), facts["starter"]
    call, more = ("helm_chart_create_from", [starter]) if starter else ("helm_chart_create", [])
    return {"path": native.call_string(call, path.name, str(path.parent), *more)}


def dependency(facts: Facts) -> Any:
    """Update or build the dependencies of a chart; Helm's progress comes through its log."""
    lines: list[str] = []
    keep = native.LOG_CALLBACK(lambda level, text, _: lines.append(text.decode()) if level == 1 and text else None)
    native.call_status_no_error_out("helm_set_log_handler", keep, None, 1)
    try:
        native.call_status(f"helm_dependency_{facts['how']}", facts["chart"], json.dumps(facts["options"]))
    finally:
        native.call_status_no_error_out("helm_set_log_handler", native.LOG_CALLBACK(), None, 0)
    return {"lines": lines}


def install(facts: Facts) -> Any:
    """Install a release, or say what would be."""
    options = facts["options"]
    warnings = _check(facts, refuse_library=True)
    with _open_config(facts) as config:
        answer = _run_install(config, facts, facts["name"], _make_install(options))
        return {"record": _read_record(config, facts, answer), "warnings": warnings}


def upgrade(facts: Facts) -> Any:
    """Upgrade a release; where it may be, install it."""
    options = facts["options"]
    with _open_config(facts) as config:
        if options["install"] and (last := _find_last(config, facts["name"])) in ("", "uninstalled"):
            facts["options"] = options | {"replace": bool(last)}
            return install(facts) | {"installed": True}
        warnings = _check(facts, refuse_library=False)
        names = ("reuse_values", "reset_values", "reset_then_reuse_values", "cleanup_on_fail", "install")
        wanted = _make_release(options) | _pick(options, *names) | {"max_history": facts["history_max"]}
        answer = json.loads(_call_release("helm_upgrade", config, facts, facts["name"], wanted))
        return {"record": _read_record(config, facts, answer), "warnings": warnings}


def rollback(facts: Facts) -> Any:
    """Bring a release back."""
    options = facts["options"]
    wanted = _make_action(options) | _pick(options, "cleanup_on_fail", "server_side_apply")
    wanted |= {"version": options["revision"], "max_history": facts["history_max"]}
    with _open_config(facts) as config:
        native.call_status("helm_rollback", config, facts["name"], json.dumps(wanted))
        return {"record": _get(config, facts["name"])}


def uninstall(facts: Facts) -> Any:
    """Remove a release."""
    options = facts["options"]
    wanted = _pick(options, "keep_history", "ignore_not_found", "dry_run", "wait", "description")
    wanted |= {"timeout_seconds": _to_seconds(options), "disable_hooks": options["no_hooks"]}
    wanted |= {"deletion_propagation": options["cascade"]}
    with _open_config(facts) as config:
        answer = json.loads(native.call_string("helm_uninstall", config, facts["name"], json.dumps(wanted)))
        kept = options["keep_history"] and not options["dry_run"]
        return {"record": _get(config, facts["name"]) if kept else {}, "text": answer["info"]}


def test(facts: Facts) -> Any:
    """Run a release's tests."""
    options = facts["options"]
    wanted = {"timeout_seconds": _to_seconds(options), "logs": options["logs"]}
    wanted |= {"include_names": options["include"], "exclude_names": options["exclude"]}
    with _open_config(facts) as config:
        record, failure, logs = _get(config, facts["name"]), "", ""
        try:
            logs = json.loads(native.call_string("helm_test_run", config, facts["name"], json.dumps(wanted)))["logs"]
        except HelmReleaseError as error:
            failure = error.detail
        return {"record": _get(config, facts["name"]) or record, "text": logs, "failure": failure}


CALLS: dict[str, Callable[[Facts], Any]] = {
    call.__name__: call
    for call in (
        read_values, template, lint, package, verify, create, dependency, install, upgrade, rollback, uninstall, test,
    )
}  # fmt: skip


def describe_fault(error: Exception) -> dict[str, Any] | None:
    """Answer the code and the words of an error of Helm's; None for any other."""
    if isinstance(error, Refused):
        return {"code": 0, "text": str(error)}
    return {"code": int(error.code or 0), "text": error.detail} if isinstance(error, HelmError) else None


@contextmanager
def _open_config(facts: Facts) -> Iterator[Any]:
    config = native.HANDLE(native.call_handle("helm_config_new", json.dumps(facts["config"])))
    try:
        yield config
    finally:
        native.call_status("helm_config_free", config)


@contextmanager
def _open_chart(path: str) -> Iterator[Any]:
    chart = native.HANDLE(native.call_handle("helm_chart_load", path))
    try:
        yield chart
    finally:
        native.call_status("helm_chart_free", chart)


def _check(facts: Facts, *, refuse_library: bool) -> list[str]:
    """Do what Helm's command line does before it asks its engine; answer its warnings."""
    with _open_chart(facts["chart"]) as chart:
        metadata = json.loads(native.call_string("helm_chart_metadata", chart))
        there = {item["name"] for item in json.loads(native.call_string("helm_chart_dependencies", chart))}
    kind = metadata.get("type") or "application"
    if refuse_library and kind != "application":
        raise Refused(f"{kind} charts are not installable")
    missing = [item["name"] for item in metadata.get("dependencies") or [] if item["name"] not in there]
    if missing and not facts["options"]["dependency_update"]:
        raise Refused(_MISSING.format(", ".join(missing)))
    return [_DEPRECATED] if metadata.get("deprecated") else []


def _render(config: Any, facts: Facts, name: str, **more: Any) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Answer every rendered file, and the CRDs of the charts that take part."""
    options = facts["options"]
    wanted = {"name": name, "namespace": facts["config"]["namespace"], "enable_dns": options["enable_dns"], **more}
    if options.get("is_upgrade"):
        wanted |= {"is_upgrade": True}
    arguments = [json.dumps(facts["values"]), json.dumps(wanted)]
    with _open_chart(facts["chart"]) as chart:
        if options.get("validate") or options.get("dry_run") == "server":
            files = json.loads(native.call_string("helm_render_with_config", config, chart, *arguments))
        else:
            files = json.loads(native.call_string("helm_render", chart, *arguments))
        return files, json.loads(native.call_string("helm_chart_crds", chart))


def _call_release(call: str, config: Any, facts: Facts, name: str, wanted: Facts) -> str:
    arguments = (config, _NONE, _NONE, facts["chart"], name, json.dumps(facts["values"]), json.dumps(wanted))
    return native.call_string(call, *arguments)


def _run_install(config: Any, facts: Facts, name: str, wanted: Facts) -> Facts:
    answer: Facts = json.loads(_call_release("helm_install", config, facts, name, wanted))
    return answer


def _make_action(options: Facts) -> Facts:
    wanted = _pick(options, "wait", "wait_for_jobs", "dry_run", "force_conflicts", "force_replace")
    if options["server_side"]:
        wanted["server_side_apply"] = options["server_side"]
    return wanted | {"timeout_seconds": _to_seconds(options), "disable_hooks": options["no_hooks"]}


def _make_release(options: Facts) -> Facts:
    names = (
        "labels", "skip_crds", "rollback_on_failure", "hide_notes", "hide_secret", "take_ownership", "description",
        "skip_schema_validation", "disable_openapi_validation", "enable_dns", "dependency_update",
    )  # fmt: skip
    return _make_action(options) | _pick(options, *names) | {"sub_notes": options["render_subchart_notes"]}


def _make_install(options: Facts) -> Facts:
    wanted = _make_release(options) | _pick(options, "create_namespace", "replace")
    if options["server_side"]:
        wanted["server_side_apply"] = options["server_side"] != "false"
    return wanted


def _to_seconds(options: Facts) -> int:
    return max(1, round(float(options["timeout"])))


def _pick(options: Facts, *names: str) -> Facts:
    return {name: options[name] for name in names if options.get(name)}


def _find_last(config: Any, name: str) -> str:
    """Answer the status of the last revision; empty for a release that is not there."""
    try:
        history = json.loads(native.call_string("helm_history", config, name, json.dumps({"max": 1})))
    except HelmNotFoundError:
        return ""
    return str(history[-1]["status"]) if history else ""


def _get(config: Any, name: str) -> Facts:
    """Read a release back, in the form of its stored record."""
    stored = json.loads(native.call_string("helm_get", config, name, None))
    return _make_record(stored["summary"], stored["info"], stored.get("config"), stored.get("hooks"))


def _read_record(config: Any, facts: Facts, answer: Facts) -> Facts:
    """Answer the record of what was done; of a dry run there is none, so it is put together."""
    if not facts["options"]["dry_run"]:
        return _get(config, answer["name"])
    files, _ = _render(config, facts, answer["name"])
    info = {
        "first_deployed": answer.get("deployed_at", ""), "last_deployed": answer.get("deployed_at", ""),
        "status": answer["status"], "description": "Dry run complete", "notes": answer.get("notes", ""),
    }  # fmt: skip
    return _make_record(answer, info, facts["values"], manifests.find_hooks(files))


def _make_record(summary: Facts, info: Facts, values: Any, hooks: Any) -> Facts:
    metadata = {name: summary.get(key) for name, key in _METADATA.items() if summary.get(key)}
    return {
        "name": summary["name"], "info": info, "chart": {"metadata": metadata},
        "config": values or {}, "manifest": summary.get("manifest", ""), "hooks": hooks or [],
        "version": summary["revision"], "namespace": summary["namespace"],
    }  # fmt: skip
