"""What a shell may complete a word to: from small files of the cache, never from an index, in less than 100 ms."""

from __future__ import annotations

import click

from helm_client.cli.flags import get_environment

_SUFFIX = "-charts.txt"


def complete_chart(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Answer the charts `repository/chart` that begin so, or the repositories while the word has no slash."""
    folder = get_environment(ctx).repository_cache
    repository, slash, chart = incomplete.partition("/")
    if not slash:
        names = [path.name.removesuffix(_SUFFIX) for path in sorted(folder.glob(f"*{_SUFFIX}"))]
        return [f"{name}/" for name in names if name.startswith(repository)]
    try:
        charts = (folder / f"{repository}{_SUFFIX}").read_text().split()
    except OSError:
        return []
    return [f"{repository}/{name}" for name in charts if name.startswith(chart)]


def complete_repository(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Answer the repositories whose name begins so."""
    return [name.removesuffix("/") for name in complete_chart(ctx, param, incomplete.partition("/")[0])]
