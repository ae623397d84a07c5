"""The objects of a cluster: versions, server-side apply with owners of fields, watches, and controllers in a hurry."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name

OUTCOME = "tests/outcome"
"""An annotation: a Pod or Job that has `fail` here fails."""


class Refusal(Exception):
    """An answer that is a Status: HTTP status, reason, message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Store:
    """Objects by plural, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.owners: dict[Key, dict[tuple[str, ...], str]] = {}
        self.events: list[tuple[int, str, Key, Object]] = []
        self.changed = threading.Condition()
        self.version = 100
        self.delays = False  # controllers do nothing

    def get(self, key: Key) -> Object:
        """Answer an object, or refuse."""
        if key not in self.objects:
            raise Refusal(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return self.objects[key]

    def create(self, key: Key, one: Object, manager: str) -> Object:
        """Add an object that is not there."""
        with self.changed:
            if key in self.objects:
                raise Refusal(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
            if key[1] and ("namespaces", "", key[1]) not in self.objects:
                raise Refusal(404, "NotFound", f'namespaces "{key[1]}" not found')
            self.owners[key] = dict.fromkeys(_leaves(one), manager)
            return self._keep(key, one, "ADDED")

    def replace(self, key: Key, one: Object, manager: str) -> Object:
        """Put an object in the place of the one that is there."""
        with self.changed:
            self.get(key)
            self.owners[key] = dict.fromkeys(_leaves(one), manager)
            return self._keep(key, one, "MODIFIED")

    def merge(self, key: Key, patch: Object, manager: str) -> Object:
        """Lay a patch over an object; null takes a field away."""
        with self.changed:
            merged = _merge(self.get(key), patch)
            self.owners[key].update(dict.fromkeys(_leaves(patch), manager))
            return self._keep(key, merged, "MODIFIED")

    def apply(self, key: Key, one: Object, manager: str, *, force: bool) -> tuple[Object, bool]:
        """Apply what a manager wants; answer the object, and whether it is new. Refuses other managers' fields."""
        with self.changed:
            if key not in self.objects:
                return self.create(key, one, manager), True
            old, owners = self.objects[key], self.owners[key]
            taken = [
                path for path, value in _leaves(one).items()
                if owners.get(path, manager) != manager and _find(old, path) != value
            ]  # fmt: skip
            if taken and not force:
                names = ", ".join(sorted({owners[path] for path in taken}))
                where = ", ".join("." + ".".join(path) for path in taken)
                raise Refusal(
                    409, "Conflict", f'Apply failed with {len(taken)} conflict: conflict with "{names}": {where}'
                )
            merged = copy.deepcopy(old)
            for path in [path for path, owner in owners.items() if owner == manager and path not in _leaves(one)]:
                _remove(merged, path)
                del owners[path]
            owners.update(dict.fromkeys(_leaves(one), manager))
            return self._keep(key, _merge(merged, one), "MODIFIED"), False

    def delete(self, key: Key) -> Object:
        """Remove an object."""
        with self.changed:
            one = self.get(key)
            del self.objects[key]
            self._note("DELETED", key, one)
            return one

    def select(self, plural: str, namespace: str, labels: str, fields: str) -> list[Object]:
        """Answer the objects of a kind that fit."""
        wanted = [
            pair.split("=")[-2:] for pair in labels.replace("==", "=").split(",") if "=" in pair and "!" not in pair
        ]
        exact = dict(pair.split("=") for pair in fields.split(",") if pair)
        return [
            one for (kind, place, name), one in sorted(self.objects.items())
            if kind == plural and namespace in ("", place) and exact.get("metadata.name", name) == name
            and all((one["metadata"].get("labels") or {}).get(label) == value for label, value in wanted)
        ]  # fmt: skip

    def follow(self, plural: str, namespace: str, since: int) -> Iterator[tuple[str, Object] | None]:
        """Answer changes after a version as they come; None when there was none for a moment."""
        at = 0
        while True:
            with self.changed:
                if at == len(self.events):
                    self.changed.wait(0.2)
                fresh, at = self.events[at:], len(self.events)
            yield None
            for version, what, key, one in fresh:
                if version > since and key[0] == plural and namespace in ("", key[1]):
                    yield what, one

    def _keep(self, key: Key, one: Object, what: str) -> Object:
        one, old = copy.deepcopy(one), self.objects.get(key)
        metadata = one.setdefault("metadata", {})
        metadata["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        is_same = old is not None and old.get("spec") == one.get("spec")
        generation = old["metadata"].get("generation", 1) if old else 0
        metadata["generation"] = generation if is_same else generation + 1
        managers = sorted(set(self.owners[key].values()))
        metadata["managedFields"] = [
            {"manager": name, "operation": "Apply", "apiVersion": one.get("apiVersion"), "fieldsType": "FieldsV1",
             "fieldsV1": {}}
            for name in managers
        ]  # fmt: skip
        if not self.delays:
            _settle(one)
        self._note(what, key, one)
        self.objects[key] = one
        return one

    def _note(self, what: str, key: Key, one: Object) -> None:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, what, key, one))
        self.changed.notify_all()


def _settle(one: Object) -> None:
    """Do at once what controllers would do in a while."""
    spec, generation = one.get("spec") or {}, one["metadata"]["generation"]
    fails = (one["metadata"].get("annotations") or {}).get(OUTCOME) == "fail"
    match one.get("kind"):
        case "Deployment" | "StatefulSet" | "ReplicaSet":
            count = spec.get("replicas", 1)
            names = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "currentReplicas")
            conditions = [{"type": "Available", "status": "True"}]
            conditions.append({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"})
            one["status"] = dict.fromkeys(names, count) | {"observedGeneration": generation, "conditions": conditions}
        case "Job":
            conditions = [
                {"type": "Failed" if fails else "Complete", "status": "True", "reason": "BackoffLimitExceeded"}
            ]
            one["status"] = {"conditions": conditions, "failed" if fails else "succeeded": 1}
        case "Pod":
            phase = "Failed" if fails else "Succeeded" if spec.get("restartPolicy") == "Never" else "Running"
            one["status"] = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
        case "PersistentVolumeClaim":
            one["status"] = {"phase": "Bound"}
        case "Namespace":
            one["status"] = {"phase": "Active"}
        case "CustomResourceDefinition":
            conditions = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
            one["status"] = {"conditions": conditions}


def _leaves(value: Object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Answer what is not a mapping, by where it is; what names the object belongs to nobody."""
    found: dict[tuple[str, ...], Any] = {}
    for key, inner in value.items():
        place = (*path, key)
        if place in (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("status",)):
            continue
        found |= _leaves(inner, place) if isinstance(inner, dict) else {place: inner}
    return found


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif not key.startswith("$"):
            merged[key] = _merge(merged.get(key), value)
    return merged


def _find(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _remove(value: Any, path: tuple[str, ...]) -> None:
    for key in path[:-1]:
        value = value.get(key) or {}
    value.pop(path[-1], None)
