"""`helm-client`: finds the command and ends with Helm's words and exit codes.

Commands load when they are called, so that help and completion start at once.
Exit codes: 0 done, 1 failed, 4 what came is not what was promised, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from helm_client.cli.flags import make_global_flags
from helm_client.errors import HelmClientError


class LazyGroup(click.Group):
    """A group whose commands are named as `module:attribute`, with one line of help each, and imported when called.

    `otherwise` is the command that is meant when the first word is none (`helm search WORD` of Helm 2).
    """

    def __init__(
        self, *args: Any, places: dict[str, tuple[str, str]], aliases: dict[str, str] | None = None,
        otherwise: str = "", **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **settings)
        self._places, self._aliases, self._otherwise = places, aliases or {}, otherwise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Answer the names, without their aliases."""
        return sorted(self._places)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command by its name or alias."""
        place = self._places.get(self._aliases.get(name, name))
        if place is None:
            return None
        module, _, attribute = place[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names, or the one that is meant without it."""
        if self._otherwise and args and self.get_command(ctx, args[0]) is None:
            return super().resolve_command(ctx, [self._otherwise, *args])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_place, text) in sorted(self._places.items()) if text])


def _group(
    name: str, text: str, places: dict[str, tuple[str, str]], aliases: dict[str, str], otherwise: str = ""
) -> LazyGroup:
    return LazyGroup(name=name, help=text, places=places, aliases=aliases, otherwise=otherwise)


def _place(module: str, attribute: str, text: str) -> tuple[str, str]:
    return f"helm_client.cli.{module}:{attribute}", text


repo = _group(
    "repo", "add, list, remove, update, and index chart repositories",
    {
        "add": _place("repo", "add", "add a chart repository"),
        "index": _place("repo", "index", "generate an index file given a directory containing packaged charts"),
        "list": _place("repo", "list_", "list chart repositories"),
        "remove": _place("repo", "remove", "remove one or more chart repositories"),
        "update": _place("repo", "update", "update information of available charts"),
    },
    {"ls": "list", "rm": "remove", "up": "update"},
)  # fmt: skip
search = _group(
    "search", "search for a keyword in charts",
    {
        "hub": _place("search", "hub", "search for charts in a hub"),
        "repo": _place("search", "repo", "search repositories for a keyword in charts"),
    },
    {},
    otherwise="repo",
)  # fmt: skip
show = _group(
    "show", "show information of a chart",
    {
        what: _place("fetching", f"show_{what}", f"show the chart's {text}")
        for what, text in {
            "all": "whole information", "chart": "definition", "crds": "CRDs", "readme": "README", "values": "values"
        }.items()
    },
    {},
    otherwise="all",
)  # fmt: skip
dependency = _group(
    "dependency", "manage a chart's dependencies",
    {
        "build": _place("making", "dependency_build", "fetch dependencies into charts/ as the lock file names them"),
        "list": _place("making", "dependency_list", "list the dependencies for the given chart"),
        "update": _place("making", "dependency_update", "fetch dependencies into charts/ as Chart.yaml names them"),
    },
    {"ls": "list", "up": "update"},
)  # fmt: skip
registry = _group(
    "registry", "login to or logout from a registry",
    {
        "login": _place("registry", "login", "login to a registry"),
        "logout": _place("registry", "logout", "logout from a registry"),
    },
    {},
)  # fmt: skip
get = _group(
    "get", "download extended information of a named release",
    {
        what: _place("releases", f"get_{what}", f"download {text} of a named release")
        for what, text in {
            "all": "everything", "hooks": "all hooks", "manifest": "the manifest", "metadata": "the metadata",
            "notes": "the notes", "values": "the values",
        }.items()
    },
    {},
    otherwise="all",
)  # fmt: skip

_PLACES = {
    "completion": _place("about", "completion", "print a script that completes commands in a shell"),
    "create": _place("making", "create", "create a new chart with the given name"),
    "dependency": _place("app", "dependency", "manage a chart's dependencies"),
    "diff": _place("diff", "diff", "show what an upgrade would change, or what changed since a revision"),
    "env": _place("about", "env", "print Helm's environment as it is in use here"),
    "get": _place("app", "get", "download extended information of a named release"),
    "history": _place("releases", "history", "fetch release history"),
    "init": _place("about", "init", ""),
    "install": _place("actions", "install", "install a chart"),
    "lint": _place("making", "lint", "examine a chart for possible issues"),
    "list": _place("releases", "list_", "list releases"),
    "package": _place("making", "package", "package a chart directory into a chart archive"),
    "pull": _place("fetching", "pull", "download a chart from a repository"),
    "push": _place("fetching", "push", "push a chart to a repository or registry"),
    "registry": _place("app", "registry", "login to or logout from a registry"),
    "repo": _place("app", "repo", "add, list, remove, update, and index chart repositories"),
    "rollback": _place("actions", "rollback", "roll back a release to a previous revision"),
    "search": _place("app", "search", "search for a keyword in charts"),
    "serve": _place("about", "serve", ""),
    "show": _place("app", "show", "show information of a chart"),
    "status": _place("releases", "status", "display the status of the named release"),
    "template": _place("making", "template", "locally render templates"),
    "test": _place("actions", "test", "run tests for a release"),
    "uninstall": _place("actions", "uninstall", "uninstall a release"),
    "upgrade": _place("actions", "upgrade", "upgrade a release"),
    "verify": _place("making", "verify", "verify that a chart at the given path has been signed and is valid"),
    "version": _place("about", "version", "print the version"),
}
_ALIASES = {
    "del": "uninstall", "delete": "uninstall", "dep": "dependency", "dependencies": "dependency", "fetch": "pull",
    "hist": "history", "inspect": "show", "ls": "list", "un": "uninstall",
}  # fmt: skip

cli = LazyGroup(
    name="helm-client", places=_PLACES, aliases=_ALIASES, params=list(make_global_flags()),
    help="Search, fetch and install Helm charts. Shares its files and its releases with helm.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)  # fmt: skip


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run one command; answer its exit code. Errors are printed to stderr as `Error: ...`."""
    try:
        code = cli.main(args=args, prog_name="helm-client", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"\nUsage:  {error.ctx.get_usage().removeprefix('Usage: ')}", err=True)
        return 1
    except HelmClientError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{where}", err=True)
        return 1
    return code if isinstance(code, int) else 0
