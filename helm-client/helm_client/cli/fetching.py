"""`helm-client pull`, `show` and `push`: charts from where they are to here, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helm_client.cli.completion import complete_chart
from helm_client.cli.flags import Command, chart_flags, get_environment
from helm_client.cli.output import render_yaml, show, tell
from helm_client.cli.progress import Progress
from helm_client.errors import ConfigError

if TYPE_CHECKING:  # what these bring with them takes 0.2 s to import, which completion does not have
    from helm_client.archive import Chart
    from helm_client.client import Client
    from helm_client.engine import Engine
    from helm_client.transfer import Access
    from helm_client.wanted import Wanted


def make_wanted(reference: str, flags: dict[str, Any]) -> Wanted:
    """Answer which chart is meant by a reference and the values of `chart_flags`."""
    from helm_client.wanted import Wanted

    return Wanted(
        reference, flags["version"] or (">0.0.0-0" if flags["devel"] else ""), flags["repo"] or "", make_access(flags),
        flags["plain_http"],
    )  # fmt: skip


def make_access(flags: dict[str, Any]) -> Access:
    """Answer how to reach a server by the values of flags, some of which a command may not have."""
    from helm_client.transfer import Access

    username, password, ca_file, cert_file, key_file = (
        str(flags.get(name) or "") for name in ("username", "password", "ca_file", "cert_file", "key_file")
    )
    return Access(
        username, password, ca_file, cert_file, key_file,
        insecure_skip_tls_verify=bool(flags.get("insecure_skip_tls_verify")),
        pass_credentials=bool(flags.get("pass_credentials")),
    )  # fmt: skip


@click.command("pull", cls=Command, short_help="download a chart from a repository")
@click.argument(
    "charts", nargs=-1, required=True, metavar="[chart URL | repo/chartname]...", shell_complete=complete_chart
)
@click.option("-d", "--destination", default=".", show_default=True, help="location to write the chart")
@click.option("--prov", is_flag=True, help="fetch the provenance file, but don't perform verification")
@click.option("--quiet", is_flag=True, help="do not show how far a download is")
@click.option("--untar", is_flag=True, help="untar the chart after downloading it")
@click.option("--untardir", default=".", help="name of the directory into which the chart is expanded")
@chart_flags
@click.pass_context
def pull(
    ctx: click.Context, /, charts: tuple[str, ...], destination: str, prov: bool, quiet: bool, untar: bool,
    untardir: str, **flags: Any,
) -> None:  # fmt: skip
    """Download charts, checked against the digest of the repository's index.

    With --verify the provenance file must vouch for the archive, or nothing is kept.
    """
    from helm_client.client import Client

    progress = Progress(quiet=quiet)
    client = Client(get_environment(ctx), progress=progress, tell=show)
    for reference in charts:
        wanted = make_wanted(reference, flags)
        try:
            if untar:
                _pull_unpacked(client, wanted, Path(destination) / untardir, flags)
            else:
                _pull_into(client, wanted, Path(destination), prov, flags)
        finally:
            progress.finish()


def _pull_into(client: Client, wanted: Wanted, folder: Path, prov: bool, flags: dict[str, Any]) -> None:
    if not folder.is_dir():
        raise ConfigError(f"failed to fetch {wanted.reference} : the folder {folder} does not exist")
    with tempfile.TemporaryDirectory(prefix=".helm-client-", dir=folder) as temporary:
        path = client.fetch(wanted, temporary, provenance=prov or flags["verify"])
        if flags["verify"]:
            _verify(client, path, flags)
        for file in sorted(Path(temporary).iterdir(), reverse=True):  # the provenance before what it vouches for
            file.replace(folder / file.name)


def _pull_unpacked(client: Client, wanted: Wanted, folder: Path, flags: dict[str, Any]) -> None:
    from helm_client.archive import unpack

    with tempfile.TemporaryDirectory(prefix="helm-client-") as temporary:
        path = client.fetch(wanted, temporary, provenance=flags["verify"])
        if flags["verify"]:
            _verify(client, path, flags)
        unpack(path, folder)


def verify(engine: Engine, path: Path, flags: dict[str, Any]) -> None:
    """Check an archive against its provenance file, and say who signed. Raises SignatureError."""
    keyring = flags["keyring"] or str(Path.home() / ".gnupg" / "pubring.gpg")
    tell(engine.verify(path, keyring).text.rstrip("\n"))


def find_keyring(ctx: click.Context, keyring: str | None) -> str:
    """Answer the keyring that is named, or Helm's default."""
    home = get_environment(ctx).variables.get("HOME") or Path.home()
    return keyring or str(Path(home) / ".gnupg" / "pubring.gpg")


def _verify(client: Client, path: Path, flags: dict[str, Any]) -> None:
    from helm_client.engine import choose_engine

    with choose_engine(client.environment) as engine:
        show(engine.verify(path, flags["keyring"] or str(Path.home() / ".gnupg" / "pubring.gpg")).text)


@click.command("push", cls=Command, short_help="push a chart to remote")
@click.argument("chart", type=click.Path(exists=True, dir_okay=False))
@click.argument("remote")
@click.option("--ca-file", help="verify certificates of HTTPS-enabled servers using this CA bundle")
@click.option("--cert-file", help="identify client using this SSL certificate file")
@click.option("--context-path", help="where the server's root lies below its host  [default: what its index says]")
@click.option("-f", "--force", is_flag=True, help="replace a version that is there")
@click.option("--insecure-skip-tls-verify", is_flag=True, help="skip tls certificate checks for the chart upload")
@click.option("--key-file", help="identify client using this SSL key file")
@click.option("--password", help="chart repository password")
@click.option("--plain-http", is_flag=True, help="use insecure HTTP connections for the chart upload")
@click.option("--quiet", is_flag=True, help="do not show how far an upload is")
@click.option("--username", help="chart repository username")
@click.pass_context
def push(
    ctx: click.Context, /, chart: str, remote: str, context_path: str | None, force: bool, plain_http: bool,
    quiet: bool, **flags: Any,
) -> None:  # fmt: skip
    """Push a packaged chart, and the provenance file beside it.

    REMOTE is the name of a repository, the URL of one, or oci://HOST/PATH.
    """
    from helm_client.client import Client

    progress = Progress(quiet=quiet)
    client = Client(get_environment(ctx), progress=progress, tell=show)
    if not remote.startswith("oci://"):
        show(f"Pushing {Path(chart).name} to {remote}...\n")
    try:
        client.push(
            chart, remote, access=make_access(flags), force=force, context_path=context_path, plain_http=plain_http
        )
    finally:
        progress.finish()
    if not remote.startswith("oci://"):
        show("Done.\n")


def _make_show(what: str, text: str) -> click.Command:
    @click.command(what, cls=Command, short_help=text, help=f"Show {text.removeprefix('show ')}.")
    @click.argument("chart", shell_complete=complete_chart)
    @chart_flags
    @click.pass_context
    def command(ctx: click.Context, /, chart: str, **flags: Any) -> None:
        from helm_client.client import Client

        found = Client(get_environment(ctx)).read(make_wanted(chart, flags))
        show(_RENDER[what](found))

    made: click.Command = command
    return made


def _text(content: bytes | None) -> str:
    return "" if content is None else content.decode("utf-8", "replace")


def _render_crds(chart: Chart) -> str:
    texts = [_text(content) for content in chart.crds()]
    return "".join(f"{'' if text.startswith('---') else '---' + chr(10)}{text}\n" for text in texts)


def _render_all(chart: Chart) -> str:
    text = _render_chart(chart)
    if "values.yaml" in chart.files:
        text += f"---\n{_text(chart.values)}\n"
    if chart.readme is not None:
        text += f"---\n{_text(chart.readme)}\n"
    return text + _render_crds(chart)


def _render_chart(chart: Chart) -> str:
    return f"{render_yaml(chart.metadata)}\n"


def _render_values(chart: Chart) -> str:
    return f"{_text(chart.values)}\n" if "values.yaml" in chart.files else ""


def _render_readme(chart: Chart) -> str:
    return "" if chart.readme is None else f"{_text(chart.readme)}\n"


_RENDER: dict[str, Callable[[Chart], str]] = {
    "chart": _render_chart, "values": _render_values, "readme": _render_readme, "crds": _render_crds,
    "all": _render_all,
}  # fmt: skip

show_chart = _make_show("chart", "show the chart's definition")
show_values = _make_show("values", "show the chart's values")
show_readme = _make_show("readme", "show the chart's README")
show_crds = _make_show("crds", "show the chart's CRDs")
show_all = _make_show("all", "show all information of the chart")
