"""Releases for tests, as Helm records them: three revisions of one, a failed one, an uninstalled one."""

from __future__ import annotations

import base64
from typing import Any

from helm_client.releases.record import Release

_HOOK = {
    "name": "web-test", "kind": "Pod", "path": "mychart/templates/tests/test.yaml",
    "manifest": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-test", "events": ["test"],
    "last_run": {"started_at": "", "completed_at": "", "phase": ""}, "weight": 0, "delete_policies": [],
}  # fmt: skip


def make_release(name: str = "web", revision: int = 1, status: str = "deployed", **changes: Any) -> Release:
    """Answer a release; `changes` are fields of the record."""
    info = {
        "first_deployed": "2026-01-02T03:04:05.123456789Z", "last_deployed": f"2026-01-0{revision + 1}T13:04:05.5Z",
        "deleted": "", "description": "Install complete" if revision == 1 else "Upgrade complete", "status": status,
        "notes": "1. Look at it:\n  curl http://<host>/\n",
    }  # fmt: skip
    chart = {
        "metadata": {
            "name": "mychart", "version": f"0.{revision}.0", "appVersion": "1.16.0", "apiVersion": "v2",
            "description": "A chart", "annotations": {"b": "2", "a": "1"},
            "dependencies": [{"name": "redis", "version": "~1", "repository": "https://example.com", "alias": "cache"}],
        },
        "lock": None,
        "templates": [{"name": "templates/a.yaml", "data": base64.b64encode(b"kind: ConfigMap").decode()}],
        "values": {"replicas": 1, "image": {"tag": "1", "name": "web"}, "gone": True, "on": "yes"}, "schema": None,
        "files": [],
    }  # fmt: skip
    document = {
        "name": name, "info": info, "chart": chart, "config": {"image": {"tag": "2"}, "gone": None, "list": [1, "1"]},
        "manifest": "---\n# Source: mychart/templates/a.yaml\nkind: ConfigMap\napiVersion: v1\n", "hooks": [_HOOK],
        "version": revision, "namespace": "team",
    }  # fmt: skip
    return Release({**document, **changes})


def _changed(release: Release, **info: Any) -> Release:
    release.document["info"].update(info)
    return release


RELEASES = [
    make_release("web", 1, "superseded"), make_release("web", 2, "superseded"), make_release("web", 3),
    make_release("bad", 1, "failed", config=None, hooks=[], manifest=""),
    _changed(make_release("cache", 2, "uninstalled", hooks=None), deleted="2026-02-01T00:00:00+02:00", notes=""),
    make_release("away", 1, namespace="other"),
    _changed(make_release("zoned", 1), last_deployed="2026-01-16T08:09:10.000100+02:00"),
]  # fmt: skip
