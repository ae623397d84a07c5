"""Options as flags of helm's command line, which version 4 names differently from version 3."""

from __future__ import annotations

from helm_client.engine.options import (
    ActionOptions,
    DependencyOptions,
    DryRun,
    InstallOptions,
    LintOptions,
    PackageOptions,
    RollbackOptions,
    TemplateOptions,
    TestOptions,
    UninstallOptions,
    UpgradeOptions,
    Wait,
)


def of_template(options: TemplateOptions, major: int) -> list[str]:
    """Answer the flags of `helm template`."""
    found = _switches(
        include_crds=options.include_crds, skip_crds=options.skip_crds, skip_tests=options.skip_tests,
        no_hooks=options.no_hooks, is_upgrade=options.is_upgrade, enable_dns=options.enable_dns,
        skip_schema_validation=options.skip_schema_validation, dependency_update=options.dependency_update,
    )  # fmt: skip
    if options.validate:
        found.append("--validate" if major == 3 else "--dry-run=server")
    for pattern in options.show_only:
        found += ["--show-only", pattern]
    for version in options.api_versions:
        found += ["--api-versions", version]
    return found + _words(kube_version=options.kube_version)


def of_lint(options: LintOptions) -> list[str]:
    """Answer the flags of `helm lint`."""
    found = _switches(
        strict=options.strict, quiet=options.quiet, with_subcharts=options.with_subcharts,
        skip_schema_validation=options.skip_schema_validation,
    )  # fmt: skip
    return found + _words(kube_version=options.kube_version)


def of_package(options: PackageOptions) -> list[str]:
    """Answer the flags of `helm package`."""
    return _switches(sign=options.sign, dependency_update=options.dependency_update) + _words(
        destination=options.destination, version=options.version, app_version=options.app_version, key=options.key,
        keyring=options.keyring, passphrase_file=options.passphrase_file,
    )  # fmt: skip


def of_dependency(options: DependencyOptions) -> list[str]:
    """Answer the flags of `helm dependency update` and `build`."""
    found = _switches(skip_refresh=options.skip_refresh, verify=options.verify, plain_http=options.plain_http)
    return found + _words(keyring=options.keyring)


def of_install(options: InstallOptions, major: int) -> list[str]:
    """Answer the flags of `helm install`."""
    found = _of_release(options, major) + _switches(replace=options.replace)
    if major > 3 and options.server_side:
        found.append(f"--server-side={'false' if options.server_side == 'false' else 'true'}")
    return found


def of_upgrade(options: UpgradeOptions, major: int) -> list[str]:
    """Answer the flags of `helm upgrade`."""
    found = _of_release(options, major) + _switches(
        install=options.install, reuse_values=options.reuse_values, reset_values=options.reset_values,
        reset_then_reuse_values=options.reset_then_reuse_values, cleanup_on_fail=options.cleanup_on_fail,
    )  # fmt: skip
    return found + _of_server_side(options, major) + _of_history(options.history_max)


def of_rollback(options: RollbackOptions, major: int) -> list[str]:
    """Answer the flags of `helm rollback`."""
    found = _of_action(options, major) + _switches(cleanup_on_fail=options.cleanup_on_fail)
    return found + _of_server_side(options, major) + _of_history(options.history_max)


def of_uninstall(options: UninstallOptions, major: int) -> list[str]:
    """Answer the flags of `helm uninstall`."""
    found = _switches(
        keep_history=options.keep_history, ignore_not_found=options.ignore_not_found, dry_run=options.dry_run,
        no_hooks=options.no_hooks,
    )  # fmt: skip
    found += _words(timeout=_to_duration(options.timeout), description=options.description, cascade=options.cascade)
    return found + _of_wait(options.wait, major)


def of_test(options: TestOptions) -> list[str]:
    """Answer the flags of `helm test`."""
    found = _switches(logs=options.logs) + _words(timeout=_to_duration(options.timeout))
    for name in options.include:
        found += ["--filter", f"name={name}"]
    for name in options.exclude:
        found += ["--filter", f"!name={name}"]
    return found


def _of_action(options: ActionOptions, major: int) -> list[str]:
    found = _switches(wait_for_jobs=options.wait_for_jobs, no_hooks=options.no_hooks)
    found += _words(timeout=_to_duration(options.timeout)) + _of_wait(options.wait, major)
    if options.force_replace:
        found.append("--force" if major == 3 else "--force-replace")
    if options.force_conflicts and major > 3:
        found.append("--force-conflicts")
    return found + _of_dry_run(options, major)


def _of_release(options: InstallOptions, major: int) -> list[str]:
    found = _of_action(options, major) + _switches(
        create_namespace=options.create_namespace, skip_crds=options.skip_crds, hide_notes=options.hide_notes,
        render_subchart_notes=options.render_subchart_notes, hide_secret=options.hide_secret,
        take_ownership=options.take_ownership, skip_schema_validation=options.skip_schema_validation,
        disable_openapi_validation=options.disable_openapi_validation, enable_dns=options.enable_dns,
        dependency_update=options.dependency_update,
    )  # fmt: skip
    if options.rollback_on_failure:
        found.append("--atomic" if major == 3 else "--rollback-on-failure")
    labels = ",".join(f"{name}={value}" for name, value in options.labels.items())
    return found + _words(description=options.description, labels=labels)


def _of_wait(wait: Wait, major: int) -> list[str]:
    if major > 3:
        return [f"--wait={wait}"] if wait else []
    return ["--wait"] if wait in ("watcher", "legacy") else []


def _of_dry_run(options: ActionOptions, major: int) -> list[str]:
    wanted: DryRun = options.dry_run
    if not wanted:
        return []
    plain = major == 3 and isinstance(options, RollbackOptions)  # a switch there
    return ["--dry-run"] if plain else [f"--dry-run={wanted}"]


def _of_server_side(options: ActionOptions, major: int) -> list[str]:
    return [f"--server-side={options.server_side}"] if major > 3 and options.server_side else []


def _of_history(limit: int | None) -> list[str]:
    return [] if limit is None else ["--history-max", str(limit)]


def _switches(**options: bool) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, wanted in options.items() if wanted]


def _words(**options: str) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value]


def _to_duration(seconds: float) -> str:
    return f"{seconds:g}s"
