"""What an engine is asked: values, and the options of every action, with Helm's meaning and Helm's defaults.

Plain data. How an option reaches Helm's code or a binary's command line is the business of the engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SetKind = Literal["set-json", "set", "set-string", "set-file", "set-literal"]
Wait = Literal["", "watcher", "legacy", "hookOnly"]
DryRun = Literal["", "client", "server"]
ServerSide = Literal["", "true", "false", "auto"]
Cascade = Literal["background", "orphan", "foreground"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of the caller: files, then `inline`, then expressions; the later wins.

    A file is a path, an http(s) URL, or `-` for standard input. Expressions are applied as Helm does, whatever their
    order here: all of `set-json` first, then `set`, `set-string`, `set-file`, `set-literal`, each kind in its order.
    """

    files: tuple[str, ...] = ()
    inline: Mapping[str, Any] = field(default_factory=dict)
    expressions: tuple[tuple[SetKind, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOptions:
    """`helm template`. `show_only` are patterns of paths inside the chart; `validate` asks the cluster."""

    name: str = "release-name"
    include_crds: bool = False
    skip_crds: bool = False
    skip_tests: bool = False
    no_hooks: bool = False
    is_upgrade: bool = False
    validate: bool = False
    show_only: tuple[str, ...] = ()
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    skip_schema_validation: bool = False
    enable_dns: bool = False
    dependency_update: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """`helm lint`."""

    strict: bool = False
    quiet: bool = False
    with_subcharts: bool = False
    skip_schema_validation: bool = False
    kube_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOptions:
    """`helm package`. To sign, `key` names the key in `keyring`, a binary OpenPGP file of secret keys."""

    destination: str = "."
    version: str = ""
    app_version: str = ""
    sign: bool = False
    key: str = ""
    keyring: str = ""
    passphrase_file: str = ""
    dependency_update: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyOptions:
    """`helm dependency update` and `build`. `verify` needs a provenance file with every dependency."""

    skip_refresh: bool = False
    verify: bool = False
    keyring: str = ""
    plain_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOptions:
    """What the actions on releases share. `timeout` is in seconds, for each operation of Kubernetes.

    `wait` empty means `hookOnly`, Helm's default. `server_side` empty leaves the choice to Helm.
    """

    wait: Wait = ""
    wait_for_jobs: bool = False
    timeout: float = 300.0
    dry_run: DryRun = ""
    no_hooks: bool = False
    description: str = ""
    server_side: ServerSide = ""
    force_conflicts: bool = False
    force_replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions(ActionOptions):
    """`helm install`. `rollback_on_failure` (once called atomic) removes what a failed installation left."""

    create_namespace: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    skip_crds: bool = False
    rollback_on_failure: bool = False
    replace: bool = False
    render_subchart_notes: bool = False
    hide_notes: bool = False
    hide_secret: bool = False
    take_ownership: bool = False
    skip_schema_validation: bool = False
    disable_openapi_validation: bool = False
    enable_dns: bool = False
    dependency_update: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOptions(InstallOptions):
    """`helm upgrade`. With `install` a release that is not there, or was uninstalled, is installed.

    `history_max` None is Helm's own limit (HELM_MAX_HISTORY, or 10); 0 keeps every revision. `replace` has no meaning.
    """

    install: bool = False
    history_max: int | None = None
    reuse_values: bool = False
    reset_values: bool = False
    reset_then_reuse_values: bool = False
    cleanup_on_fail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOptions(ActionOptions):
    """`helm rollback`; `revision` 0 is the one before. `description` is not passed on: Helm before 4.3 has none."""

    revision: int = 0
    history_max: int | None = None
    cleanup_on_fail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UninstallOptions:
    """`helm uninstall`. `timeout` is in seconds."""

    keep_history: bool = False
    ignore_not_found: bool = False
    dry_run: bool = False
    no_hooks: bool = False
    wait: Wait = ""
    timeout: float = 300.0
    description: str = ""
    cascade: Cascade = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOptions:
    """`helm test`. `include` and `exclude` are names of hooks; `timeout` is in seconds."""

    __test__ = False  # pytest is not meant

    timeout: float = 300.0
    logs: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
