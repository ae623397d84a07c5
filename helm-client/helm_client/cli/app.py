"""`helm-client`: finds the command and ends with Helm's words and exit codes.

Commands load when they are called, so that help and completion start at once.
Exit codes: 0 done, 1 failed, 4 what came is not what was promised, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from helm_client.cli.commands import COMMANDS, Group
from helm_client.cli.flags import make_global_flags
from helm_client.errors import HelmClientError


class LazyGroup(click.Group):
    """A group whose commands stand in a table, and are imported when they are called."""

    def __init__(self, table: Group, *args: Any, **settings: Any) -> None:
        super().__init__(*args, help=table.text, **settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Answer the names, without their aliases."""
        return sorted(self._table.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command by its name or alias."""
        name = self._table.aliases.get(name, name)
        place = self._table.commands.get(name)
        if place is None:
            return None
        if isinstance(place, Group):
            return LazyGroup(place, name=name)
        command: click.Command = getattr(importlib.import_module(f"helm_client.cli.{place.module}"), place.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names, or the one that is meant without it."""
        if self._table.otherwise and args and self.get_command(ctx, args[0]) is None:
            return super().resolve_command(ctx, [self._table.otherwise, *args])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        with formatter.section("Commands"):
            shown = sorted((name, place.text) for name, place in self._table.commands.items() if place.text)
            formatter.write_dl(shown)


cli = LazyGroup(
    COMMANDS,
    name="helm-client",
    params=list(make_global_flags()),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


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
