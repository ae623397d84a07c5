"""Registries as processes of their own on loopback ports: the reference registry as a peer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import find_program
from tests.servers import free_port, running

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def run_docker_registry(folder: Path) -> Iterator[str]:
    """Run Debian's docker-registry on a folder, and answer its host and port; it speaks plain HTTP."""
    program, port = find_program("docker-registry"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "registry.yml"
    config.write_text(_CONFIG.format(root=folder / "data", port=port))
    with running([program, "serve", str(config)], port):
        yield f"127.0.0.1:{port}"
