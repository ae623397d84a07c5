"""`helm-client registry`: login and logout."""

from __future__ import annotations

import sys
from typing import Any

import click

from helm_client.cli.flags import Command, get_environment
from helm_client.cli.output import show, tell
from helm_client.errors import ConfigError


@click.command("login", cls=Command, short_help="login to a registry")
@click.argument("host")
@click.option("--ca-file", default="", help="verify certificates of HTTPS-enabled servers using this CA bundle")
@click.option("--cert-file", default="", help="identify registry client using this SSL certificate file")
@click.option("--insecure", is_flag=True, help="allow connections to TLS registry without certs")
@click.option("--key-file", default="", help="identify registry client using this SSL key file")
@click.option("-p", "--password", default="", help="registry password or identity token")
@click.option("--password-stdin", is_flag=True, help="read password or identity token from stdin")
@click.option("--plain-http", is_flag=True, help="use insecure HTTP connections")
@click.option("-u", "--username", default="", help="registry username")
@click.pass_context
def login(
    ctx: click.Context, /, host: str, insecure: bool, password: str, password_stdin: bool, plain_http: bool,
    username: str, **files: Any,
) -> None:  # fmt: skip
    """Try a user name and password at a registry, and keep them for pull and push."""
    from helm_client.registry.client import Registry
    from helm_client.registry.credentials import Credentials, Login
    from helm_client.transfer import Access

    if password and not password_stdin:
        tell("WARNING: Using --password via the CLI is insecure. Use --password-stdin.")
    username = username or click.prompt("Username", err=True)
    if password_stdin:
        password = sys.stdin.read().rstrip("\r\n")
    password = password or click.prompt("Password", hide_input=True, err=True)
    access = Access(insecure_skip_tls_verify=insecure, **files)
    found = Login(username, password)
    with Registry(host, access, found, plain_http=plain_http) as registry:
        registry.ping()
    Credentials.of(get_environment(ctx)).store(host, found)
    show("Login Succeeded\n")


@click.command("logout", cls=Command, short_help="logout from a registry")
@click.argument("host")
@click.pass_context
def logout(ctx: click.Context, host: str) -> None:
    """Forget the credentials of a registry."""
    from helm_client.registry.credentials import Credentials

    if not Credentials.of(get_environment(ctx)).remove(host):
        raise ConfigError(f"not logged in to {host}")
    show(f"Removing login credentials for {host}\n")
