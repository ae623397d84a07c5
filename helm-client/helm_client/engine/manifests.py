"""Rendered templates, sorted into manifests and hooks as Helm does (its pkg/release/v1/util).

helm-python-sdk's dry run answers manifests without hooks, and its `render` answers every file as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_HOOK = "helm.sh/hook"
_EVENTS = {
    "pre-install", "post-install", "pre-delete", "post-delete", "pre-upgrade", "post-upgrade", "pre-rollback",
    "post-rollback", "test",
}  # fmt: skip

# Helm's InstallOrder; kinds that are not here come last, by name.
_ORDER = (
    "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy",
    "PodDisruptionBudget", "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass", "PersistentVolume",
    "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleList", "ClusterRoleBinding",
    "ClusterRoleBindingList", "Role", "RoleList", "RoleBinding", "RoleBindingList", "Service", "DaemonSet", "Pod",
    "ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob",
    "IngressClass", "Ingress", "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
)  # fmt: skip
_RANKS = {kind: rank for rank, kind in enumerate(_ORDER)}

_SEPARATOR = re.compile(r"^---[ \t]*", re.MULTILINE)
_SOURCE = re.compile(r"# Source: [^/]+/(.+)")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Hook = dict[str, Any]
"""A hook in the form that Helm stores it in a release's record."""


def split(text: str) -> list[str]:
    """Answer the documents of a YAML stream, as Helm splits it."""
    return [part.lstrip() for part in _SEPARATOR.split(text.lstrip()) if part.strip()]


def arrange(files: Mapping[str, str]) -> tuple[str, list[Hook]]:
    """Sort rendered files into the text of the manifests and the hooks, both in the order of installation."""
    plain: list[tuple[tuple[int, str], str]] = []
    hooks: list[Hook] = []
    for path in sorted(files):
        if path.rpartition("/")[2].startswith("_") or path.endswith("NOTES.txt"):
            continue
        for document in split(files[path]):
            head = yaml.load(document, Loader=_LOADER)  # noqa: S506  # a safe loader
            head = head if isinstance(head, dict) else {}
            notes = (head.get("metadata") or {}).get("annotations") or {}
            if _HOOK not in notes:
                plain.append((_rank(head.get("kind")), f"---\n# Source: {path}\n{document}\n"))
            elif (events := _read_events(notes[_HOOK])) is not None:
                hooks.append(_make_hook(path, document, head, notes, events))
    plain.sort(key=lambda item: item[0])
    return "".join(text for _, text in plain), sorted(hooks, key=lambda hook: _rank(hook["kind"]))


def find_hooks(files: Mapping[str, str]) -> list[Hook]:
    """Answer the hooks alone; files without one are not parsed."""
    return arrange({path: text for path, text in files.items() if _HOOK in text})[1]


def render(manifest: str, hooks: Iterable[Hook], *, skip_tests: bool) -> str:
    """Answer what `helm template` prints."""
    text = f"{manifest.strip()}\n"
    for hook in hooks:
        if not (skip_tests and "test" in hook["events"]):
            text += f"---\n# Source: {hook['path']}\n{hook['manifest']}\n"
    return text


def select(text: str, patterns: Iterable[str]) -> tuple[str, str]:
    """Answer the documents whose path in the chart matches a pattern, and the first pattern that none matches."""
    found = ""
    documents = [(match[1], document) for document in split(text) if (match := _SOURCE.search(document))]
    for pattern in patterns:
        wanted = _translate(pattern.replace("\\", "/"))
        chosen = [document for path, document in documents if wanted.fullmatch(path)]
        if not chosen:
            return "", pattern
        found += "".join(f"---\n{document}\n" for document in chosen)
    return found, ""


def _translate(pattern: str) -> re.Pattern[str]:
    """Write a pattern of Go's filepath.Match as a regular expression; a `*` stops at a slash."""
    text = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.compile(re.sub(r"\\\[(\^?)(.*?)\\\]", lambda part: f"[{part[1]}{part[2]}]", text))


def _rank(kind: object) -> tuple[int, str]:
    name = str(kind or "")
    return (_RANKS[name], "") if name in _RANKS else (len(_RANKS), name)


def _read_events(text: object) -> list[str] | None:
    events = ["test" if word == "test-success" else word for word in _read_words(text)]
    return events if _EVENTS.issuperset(events) else None


def _read_words(text: object) -> list[str]:
    return [word.strip().lower() for word in str(text).split(",")]


def _make_hook(path: str, document: str, head: dict[str, Any], notes: dict[str, Any], events: list[str]) -> Hook:
    weight = str(notes.get(f"{_HOOK}-weight", ""))
    hook: Hook = {
        "name": (head.get("metadata") or {}).get("name", ""),
        "kind": head.get("kind", ""),
        "path": path,
        "manifest": document,
        "events": events,
        "last_run": {"started_at": "", "completed_at": "", "phase": ""},
        "weight": int(weight) if re.fullmatch(r"[+-]?[0-9]+", weight) else 0,
    }
    for field, name in (("delete_policies", "delete-policy"), ("output_log_policies", "output-log-policy")):
        if f"{_HOOK}-{name}" in notes:
            hook[field] = _read_words(notes[f"{_HOOK}-{name}"])
    return hook
