"""`helm-client env`, `version`, `completion`, and commands of Helm 2 that only have something to say."""

from __future__ import annotations

import click

from helm_client.cli.flags import Command, get_environment
from helm_client.cli.output import show
from helm_client.environment import Environment
from helm_client.errors import ConfigError


@click.command("version", cls=Command, short_help="print the version information")
@click.option("-c", "--client", is_flag=True, hidden=True, help="ignored: there is no server part since Helm 3")
@click.option("--short", is_flag=True, help="print the version number")
def version(client: bool, short: bool) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    number = version_of("helm-client")
    show(f"v{number}\n" if short else f"helm-client v{number}\n")


@click.command("env", cls=Command, short_help="client environment information")
@click.argument("name", required=False)
@click.pass_context
def env(ctx: click.Context, name: str | None) -> None:
    """Print Helm's environment as it is in use here."""
    known = describe(get_environment(ctx))
    if name is not None:
        show(f"{known.get(name, '')}\n")
        return
    show("".join(f'{key}="{value}"\n' for key, value in sorted(known.items())))


def describe(environment: Environment) -> dict[str, str]:
    """Answer Helm's variables and what they come to."""
    return {
        "HELM_BIN": "helm-client",
        "HELM_CACHE_HOME": str(environment.cache_home),
        "HELM_CONFIG_HOME": str(environment.config_home),
        "HELM_CONTENT_CACHE": str(environment.content_cache),
        "HELM_DATA_HOME": str(environment.data_home),
        "HELM_DEBUG": str(environment.debug).lower(),
        "HELM_DRIVER": environment.driver,
        "HELM_KUBEAPISERVER": environment.kube_apiserver,
        "HELM_KUBEASGROUPS": ",".join(environment.kube_as_groups),
        "HELM_KUBEASUSER": environment.kube_as_user,
        "HELM_KUBECAFILE": environment.kube_ca_file,
        "HELM_KUBECONTEXT": environment.kube_context,
        "HELM_KUBEINSECURE_SKIP_TLS_VERIFY": str(environment.kube_insecure_skip_tls_verify).lower(),
        "HELM_KUBETLS_SERVER_NAME": environment.kube_tls_server_name,
        "HELM_KUBETOKEN": environment.kube_token,
        "HELM_MAX_HISTORY": str(environment.max_history),
        "HELM_NAMESPACE": environment.namespace or "default",
        "HELM_REGISTRY_CONFIG": str(environment.registry_config),
        "HELM_REPOSITORY_CACHE": str(environment.repository_cache),
        "HELM_REPOSITORY_CONFIG": str(environment.repository_config),
    }


@click.command("completion", cls=Command, short_help="autocompletion scripts for a shell")
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Print the script that completes helm-client in a shell: `source <(helm-client completion bash)`."""
    from click.shell_completion import get_completion_class

    from helm_client.cli.app import cli
    from helm_client.cli.completion import VARIABLE

    maker = get_completion_class(shell)
    assert maker is not None, shell
    show(maker(cli, {}, "helm-client", VARIABLE).source() + "\n")


@click.command("init", cls=Command, short_help="a command of Helm 2; nothing is to be set up any more", hidden=True)
@click.option("-c", "--client-only", is_flag=True, help="what is left of it")
@click.option("--upgrade", is_flag=True, hidden=True, help="ignored")
@click.option("--stable-repo-url", hidden=True, help="ignored")
def init(client_only: bool, upgrade: bool, stable_repo_url: str | None) -> None:
    """Say that Helm 2's `init` has nothing to do any more."""
    show("Nothing to set up: there is no Tiller, and files are made when they are needed. Happy Helming!\n")


@click.command("serve", cls=Command, short_help="a command of Helm 2: see chartroom serve", hidden=True)
@click.option("--address", hidden=True, help="ignored")
@click.option("--repo-path", hidden=True, help="ignored")
def serve(address: str | None, repo_path: str | None) -> None:
    """Point to the server."""
    raise ConfigError("`helm serve` went with Helm 2. A repository of your own is one command: chartroom serve")
