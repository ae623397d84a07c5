"""Flags for values, and for waiting: shared by install, upgrade, template, lint and the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from helm_client.cli.flags import Duration, join, optional

if TYPE_CHECKING:
    from helm_client.engine import Values

_KINDS = {
    "set": "set values (key1=val1,key2=val2)", "set-file": "set values from files (key1=path1)",
    "set-json": "set JSON values (key1=json)", "set-literal": "set a literal STRING value",
    "set-string": "set STRING values (key1=val1,key2=val2)",
}  # fmt: skip

value_flags = join(
    *(click.option(f"--{kind}", kind.replace("-", "_"), multiple=True, help=text) for kind, text in _KINDS.items()),
    click.option("-f", "--values", "value_files", multiple=True, help="values in a YAML file or at a URL"),
)

render_flags = join(
    click.option("--dependency-update", is_flag=True, help="fetch dependencies that are missing"),
    click.option("--enable-dns", is_flag=True, help="enable DNS lookups when rendering templates"),
    click.option("--no-hooks", is_flag=True, help="prevent hooks from running"),
    click.option("--skip-crds", is_flag=True, help="install no CRDs"),
    click.option("--skip-schema-validation", is_flag=True, help="disable JSON schema validation"),
)

action_flags = join(
    optional("--dry-run", "client", "say what would be done: client, server or none"),
    click.option("--description", default="", help="add a custom description"),
    click.option("--force-conflicts", is_flag=True, help="let server-side apply take fields from other managers"),
    click.option("--force", "--force-replace", "force_replace", is_flag=True, help="replace instead of patching"),
    click.option("--server-side", default="", help='"true", "false" or "auto"'),
    click.option("--timeout", type=Duration(), default="5m0s", show_default=True, help="time for each operation"),
    optional("--wait", "watcher", "wait until resources are ready: watcher, legacy or hookOnly"),
    click.option("--wait-for-jobs", is_flag=True, help="with --wait, wait for Jobs, too"),
)

release_flags = join(
    click.option("--atomic", "--rollback-on-failure", "rollback_on_failure", is_flag=True, help="undo what fails"),
    click.option("--create-namespace", is_flag=True, help="create the release namespace if not present"),
    click.option("--disable-openapi-validation", is_flag=True, help="do not validate against the OpenAPI schema"),
    click.option("--hide-notes", is_flag=True, help="do not show notes in the output"),
    click.option("--hide-secret", is_flag=True, help="hide Secrets when also using --dry-run"),
    click.option("-l", "--labels", default="", help="labels of the release (key=value,...)"),
    click.option("--render-subchart-notes", is_flag=True, help="render subchart notes along with the parent's"),
    click.option("--take-ownership", is_flag=True, help="take objects that no release, or another one, owns"),
)


def make_values(flags: dict[str, Any]) -> Values:
    """Answer the values that `value_flags` give, and take the flags out of the others."""
    from helm_client.engine import Values

    files = tuple(name for given in flags.pop("value_files") for name in given.split(","))
    expressions = [(kind, text) for kind in _KINDS for text in flags.pop(kind.replace("-", "_"))]
    return Values(files=files, expressions=tuple(expressions))  # type: ignore[arg-type]  # _KINDS has just those


def parse_labels(text: str) -> dict[str, str]:
    """Read `key=value,key=value`. Raises click.UsageError."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for name, equals, _ in pairs:
        if not equals:
            raise click.UsageError(f"{name} must be formatted as key=value")
    return {name: value for name, _, value in pairs}


def take(flags: dict[str, Any], *names: str) -> dict[str, Any]:
    """Answer some of the flags by their names."""
    return {name: flags[name] for name in names}


def read_dry_run(value: str | None) -> str:
    """Answer what `--dry-run` says in an engine's words; helm 2's true and false are understood."""
    known = {None: "", "none": "", "false": "", "true": "client", "client": "client", "server": "server"}
    if value not in known:
        raise click.UsageError(f'invalid dry-run value ({value}). Must be "none", "server", or "client"')
    return known[value]
