"""Who may do what: actions, and how a bearer token's claims grant them (ChartMuseum's rule)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import jmespath

ENTRY_TYPE = "artifact-repository"
SEARCH_PATH = "access[?name=='$NAMESPACE' && type=='$ACCESS_ENTRY_TYPE'].actions[]"
ROOT_NAMESPACE = "repo"
"""What ChartMuseum calls the root repository in a token (github.com/chartmuseum/auth)."""


class Action(Enum):
    """What a caller wants: to read, or to change."""

    PULL = "pull"
    PUSH = "push"


def namespace_of(repository: str) -> str:
    """Answer the name by which a token grants a repository."""
    return repository or ROOT_NAMESPACE


def check_search_path(search_path: str) -> None:
    """Raise ValueError if this is no JMESPath once its variables are filled in: it would let nobody in."""
    try:
        jmespath.compile(_fill_in(search_path, ROOT_NAMESPACE))
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(str(error)) from None


def token_allows(claims: Mapping[str, Any], repository: str, action: Action, search_path: str = "") -> bool:
    """Answer whether the claims grant the action; `search_path` is a JMESPath with ChartMuseum's two variables.

    Claims of an unexpected shape grant nothing.
    """
    return grants(claims, action, search_path)(repository)


def registry_token_allows(
    claims: Mapping[str, Any], repository: str, name: str, action: Action, search_path: str = ""
) -> bool:
    """Answer whether the claims grant an action on an OCI name: by its repository, or as registries' tokens do."""
    if token_allows(claims, repository, action, search_path):
        return True
    return name in _list_granted(claims.get("access"), action.value, kind="repository")


def grants(claims: Mapping[str, Any], action: Action, search_path: str = "") -> Callable[[str], bool]:
    """Answer the question `token_allows` answers for one repository after the other."""
    facts = dict(claims)
    if search_path in {"", SEARCH_PATH}:
        # The default in plain Python: a search asks it about thousands of repositories.
        names = _list_granted(facts.get("access"), action.value)
        return lambda repository: namespace_of(repository) in names

    def is_granted(repository: str) -> bool:
        try:
            found = jmespath.search(_fill_in(search_path, namespace_of(repository)), facts)
        except jmespath.exceptions.JMESPathError:
            return False
        return isinstance(found, list) and action.value in found

    return is_granted


def _fill_in(search_path: str, namespace: str) -> str:
    # A quote in a tenant's name must not end the JMESPath string it is put into.
    quoted = namespace.replace("\\", "\\\\").replace("'", "\\'")
    return (search_path or SEARCH_PATH).replace("$ACCESS_ENTRY_TYPE", ENTRY_TYPE).replace("$NAMESPACE", quoted)


def _list_granted(access: object, action: str, *, kind: str = ENTRY_TYPE) -> frozenset[str]:
    names = set()
    for entry in access if isinstance(access, list) else ():
        if not isinstance(entry, dict) or entry.get("type") != kind or not isinstance(entry.get("name"), str):
            continue
        actions = entry.get("actions")
        if action == actions or (isinstance(actions, list) and action in actions):
            names.add(entry["name"])
    return frozenset(names)
