"""Where Helm keeps its files: the folders that its variables, XDG's or the system name (helmpath/lazypath).

Plain text and no import, for completion's sake; `environment.py` makes paths of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

# Helm's variable, XDG's, and the place below the home folder on Linux, macOS and Windows.
CONFIG = ("HELM_CONFIG_HOME", "XDG_CONFIG_HOME", ".config", "Library/Preferences", "APPDATA")
CACHE = ("HELM_CACHE_HOME", "XDG_CACHE_HOME", ".cache", "Library/Caches", "TEMP")
DATA = ("HELM_DATA_HOME", "XDG_DATA_HOME", ".local/share", "Library", "APPDATA")


def find_home(env: Mapping[str, str], place: tuple[str, str, str, str, str]) -> str:
    """Answer the folder of one kind of files: CONFIG, CACHE or DATA."""
    helm, xdg, linux, macos, windows = place
    if env.get(helm):
        return env[helm]
    if env.get(xdg):
        return os.path.join(env[xdg], "helm")
    if sys.platform == "win32":
        return os.path.join(env.get(windows) or ".", "helm")
    home = env.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, macos if sys.platform == "darwin" else linux, "helm")


def find_repository_cache(env: Mapping[str, str]) -> str:
    """Answer the folder of the cached indexes."""
    return env.get("HELM_REPOSITORY_CACHE") or os.path.join(find_home(env, CACHE), "repository")
