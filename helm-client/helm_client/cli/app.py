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
    """A group whose commands are named as `module:attribute`, with one line of help each, and imported when called."""

    def __init__(
        self, *args: Any, places: dict[str, tuple[str, str]], aliases: dict[str, str], **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._places, self._aliases = places, aliases or {}

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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._places[name][1]) for name in self.list_commands(ctx)])


_CLI = "helm_client.cli"
_PLACES: dict[str, tuple[str, str]] = {}
_ALIASES: dict[str, str] = {}

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
    return code if isinstance(code, int) else 0
