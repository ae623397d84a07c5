"""How Helm's command line reads flags (pflag's rules), on click; and the flags that many commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from helm_client.environment import Environment

Function = TypeVar("Function", bound=Callable[..., Any])

_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h)")


class Duration(click.ParamType[float]):
    """A duration in Go's notation (`5m0s`, `1h30m`, `500ms`); the value is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Answer seconds. Fails for what is no duration."""
        if isinstance(value, float):
            return value
        parts = _DURATION.findall(value)
        if value == "0":
            return 0.0
        if not parts or "".join(parts) != value:
            self.fail(f"invalid duration {value!r}: write 30s, 5m0s or 1h30m", param, ctx)
        return sum(float(re.sub("[a-zµ]+", "", part)) * _UNITS[re.sub(r"[0-9.]+", "", part)] for part in parts)


class Command(click.Command):
    """A command that reads flags as Helm does.

    The global flags are taken here too. A flag made with `optional()` may stand alone (`--wait`) or with `=value`, but
    never takes the next word; a switch may be written `--force=false`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        taken = {name for param in self.params for name in param.opts}
        self.params += [param for param in make_global_flags() if not taken.intersection(param.opts)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite Helm's forms into click's, and let click do the rest."""
        plain, literal = args.index("--") if "--" in args else len(args), []
        for arg in args[:plain]:
            literal += self._rewrite(arg)
        return super().parse_args(ctx, literal + args[plain:])

    def _rewrite(self, arg: str) -> list[str]:
        name, equals, value = arg.partition("=")
        option = next((param for param in self.params if isinstance(param, click.Option) and name in param.opts), None)
        if option is None:
            return [arg]
        if option.is_flag and equals:
            if value not in _TRUE | _FALSE:
                raise click.UsageError(f'invalid argument "{value}" for "{name}" flag: write true or false')
            return [name] if value in _TRUE else []
        if not equals and (alone := (option.metavar or "").partition("[=")[2]):
            return [f"{name}={alone.rstrip(']')}"]
        return [arg]


def optional(name: str, alone: str, help: str, **settings: Any) -> Callable[[Function], Function]:
    """Make a flag whose value may be left out: `--wait` then means `--wait=<alone>` (pflag's NoOptDefVal)."""
    return click.option(name, metavar=f"VALUE[={alone}]", help=help, **settings)


def make_global_flags() -> list[click.Option]:
    """Make the flags that every command takes; their values end in the context's Environment."""

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value not in (None, (), False):
            root = ctx.find_root()
            environment = root.obj if isinstance(root.obj, Environment) else Environment.read()
            from pathlib import Path

            is_path = (param.name or "").startswith(("repository_", "registry_", "content_"))
            root.obj = environment.with_changes(**{param.name or "": Path(value) if is_path else value})

    def make(names: tuple[str, ...], text: str, **settings: Any) -> click.Option:
        return click.Option(names, help=text, expose_value=False, callback=keep, **settings)

    return [
        make(("--debug",), "enable verbose output", is_flag=True),
        make(("--kube-apiserver",), "the address and the port for the Kubernetes API server"),
        make(("--kube-as-group", "kube_as_groups"), "group to impersonate for the operation", multiple=True),
        make(("--kube-as-user",), "username to impersonate for the operation"),
        make(("--kube-ca-file",), "the certificate authority file for the Kubernetes API server connection"),
        make(("--kube-context",), "name of the kubeconfig context to use"),
        make(("--kube-insecure-skip-tls-verify",), "do not check the API server's certificate", is_flag=True),
        make(("--kube-tls-server-name",), "server name to check the Kubernetes API server's certificate against"),
        make(("--kube-token",), "bearer token used for authentication"),
        make(("--kubeconfig",), "path to the kubeconfig file"),
        make(("-n", "--namespace"), "namespace scope for this request"),
        make(("--registry-config",), "path to the registry config file"),
        make(("--repository-cache",), "path to the directory containing cached repository indexes"),
        make(("--repository-config",), "path to the file containing repository names and URLs"),
    ]


def get_environment(ctx: click.Context) -> Environment:
    """Answer the places and settings of this call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Environment):
        root.obj = Environment.read()
    return root.obj


def join(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Make one decorator of several options, in their order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


# Where a chart comes from: on pull, show, install, upgrade, template.
chart_flags = join(
    click.option("--ca-file", help="verify certificates of HTTPS-enabled servers using this CA bundle"),
    click.option("--cert-file", help="identify HTTPS client using this SSL certificate file"),
    click.option("--devel", is_flag=True, help="use development versions, too; the same as --version '>0.0.0-0'"),
    click.option("--insecure-skip-tls-verify", is_flag=True, help="skip tls certificate checks for the download"),
    click.option("--key-file", help="identify HTTPS client using this SSL key file"),
    click.option("--keyring", help="location of public keys used for verification  [default: ~/.gnupg/pubring.gpg]"),
    click.option("--pass-credentials", is_flag=True, help="pass credentials to all domains"),
    click.option("--password", help="chart repository password"),
    click.option("--plain-http", is_flag=True, help="use insecure HTTP connections for the chart download"),
    click.option("--repo", help="chart repository url where to locate the requested chart"),
    click.option("--username", help="chart repository username"),
    click.option("--verify", is_flag=True, help="verify the package before using it"),
    click.option("--version", help="an exact version, or a range such as ^2.0.0  [default: the newest]"),
)

output_flag = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True,
    help="how to print the result",
)  # fmt: skip
