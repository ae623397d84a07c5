"""Which commands there are: where each is, what it says of itself, and which of its words are names of charts.

Nothing is imported here: a shell that completes a word waits for no more than this table.
"""

from __future__ import annotations

from typing import NamedTuple

CHARTS, REPOSITORIES = "charts", "repositories"
ANY = 1000
"""As many words as anybody writes."""


class Place(NamedTuple):
    """A command: its module and attribute, and its line of help, which is empty where it is hidden.

    Its words from number `first` to `last`, counted from 0, are what `names` says: CHARTS, REPOSITORIES, or else.
    """

    module: str
    attribute: str
    text: str
    names: str = ""
    first: int = 0
    last: int = ANY


class Group(NamedTuple):
    """Commands under one name. `otherwise` is the one that is meant when the first word is none (Helm 2)."""

    text: str
    commands: dict[str, Place | Group]
    aliases: dict[str, str]
    otherwise: str = ""


def _show(what: str, text: str) -> Place:
    return Place("fetching", f"show_{what}", f"show the chart's {text}", CHARTS, last=0)


def _get(what: str, text: str) -> Place:
    return Place("releases", f"get_{what}", f"download {text} of a named release")


_DEPENDENCY = Group(
    "manage a chart's dependencies",
    {
        "build": Place("making", "dependency_build", "fetch dependencies into charts/ as the lock file names them"),
        "list": Place("making", "dependency_list", "list the dependencies for the given chart"),
        "update": Place("making", "dependency_update", "fetch dependencies into charts/ as Chart.yaml names them"),
    },
    {"ls": "list", "up": "update"},
)
_GET = Group(
    "download extended information of a named release",
    {
        "all": _get("all", "everything"),
        "hooks": _get("hooks", "all hooks"),
        "manifest": _get("manifest", "the manifest"),
        "metadata": _get("metadata", "the metadata"),
        "notes": _get("notes", "the notes"),
        "values": _get("values", "the values"),
    },
    {},
    otherwise="all",
)
_REGISTRY = Group(
    "login to or logout from a registry",
    {
        "login": Place("registry", "login", "login to a registry"),
        "logout": Place("registry", "logout", "logout from a registry"),
    },
    {},
)
_REPO = Group(
    "add, list, remove, update, and index chart repositories",
    {
        "add": Place("repo", "add", "add a chart repository"),
        "index": Place("repo", "index", "generate an index file given a directory containing packaged charts"),
        "list": Place("repo", "list_", "list chart repositories"),
        "remove": Place("repo", "remove", "remove one or more chart repositories", REPOSITORIES),
        "update": Place("repo", "update", "update information of available charts", REPOSITORIES),
    },
    {"ls": "list", "rm": "remove", "up": "update"},
)
_SEARCH = Group(
    "search for a keyword in charts",
    {
        "hub": Place("search", "hub", "search for charts in a hub"),
        "repo": Place("search", "repo", "search repositories for a keyword in charts"),
    },
    {},
    otherwise="repo",
)
_SHOW = Group(
    "show information of a chart",
    {
        "all": _show("all", "whole information"),
        "chart": _show("chart", "definition"),
        "crds": _show("crds", "CRDs"),
        "readme": _show("readme", "README"),
        "values": _show("values", "values"),
    },
    {},
    otherwise="all",
)

COMMANDS = Group(
    "Search, fetch and install Helm charts. Shares its files and its releases with helm.",
    {
        "completion": Place("about", "completion", "print a script that completes commands in a shell"),
        "create": Place("making", "create", "create a new chart with the given name"),
        "dependency": _DEPENDENCY,
        "diff": Place(
            "diff", "diff", "show what an upgrade would change, or what changed since a revision", CHARTS, 1, 1
        ),
        "env": Place("about", "env", "print Helm's environment as it is in use here"),
        "get": _GET,
        "history": Place("releases", "history", "fetch release history"),
        "init": Place("about", "init", ""),
        "install": Place("actions", "install", "install a chart", CHARTS),
        "lint": Place("making", "lint", "examine a chart for possible issues"),
        "list": Place("releases", "list_", "list releases"),
        "package": Place("making", "package", "package a chart directory into a chart archive"),
        "pull": Place("fetching", "pull", "download a chart from a repository", CHARTS),
        "push": Place("fetching", "push", "push a chart to a repository or registry"),
        "registry": _REGISTRY,
        "repo": _REPO,
        "rollback": Place("actions", "rollback", "roll back a release to a previous revision"),
        "search": _SEARCH,
        "serve": Place("about", "serve", ""),
        "show": _SHOW,
        "status": Place("releases", "status", "display the status of the named release"),
        "template": Place("making", "template", "locally render templates", CHARTS),
        "test": Place("actions", "test", "run tests for a release"),
        "uninstall": Place("actions", "uninstall", "uninstall a release"),
        "upgrade": Place("actions", "upgrade", "upgrade a release", CHARTS, 1, 1),
        "verify": Place("making", "verify", "verify that a chart at the given path has been signed and is valid"),
        "version": Place("about", "version", "print the version"),
    },
    {
        "del": "uninstall",
        "delete": "uninstall",
        "dep": "dependency",
        "dependencies": "dependency",
        "fetch": "pull",
        "hist": "history",
        "inspect": "show",
        "ls": "list",
        "un": "uninstall",
    },
)
