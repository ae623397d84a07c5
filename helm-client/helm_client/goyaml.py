"""YAML as Helm prints it (sigs.k8s.io/yaml, which is go-yaml 2): block style, keys sorted, text quoted where Go quotes.

PyYAML emits by the same C library's rules; what differs is which text Go takes for something else and quotes.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

# What go-yaml 2 would read as a boolean, null, number, time, merge key or base-60 number, and therefore quotes.
_AMBIGUOUS = re.compile(
    r"y|Y|n|N|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|null|Null|NULL|~||<<"
    r"|[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[bB][01_]+"
    r"|[-+]?0o?[0-7_]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?"
    r"(?:Z|[ \t]*[-+][0-9]{1,2}(?::?[0-9]{2})?)?)?"
)


class _Dumper(yaml.SafeDumper):
    """Quotes and folds as go-yaml does."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values out each time: JSON, from which Go starts, knows no anchors."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_number(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_number)


def render_yaml(value: Any) -> str:
    """Write a value (of JSON's types) as Helm does. An empty mapping is `{}`, an empty list `[]`."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=80, default_flow_style=False)
    return text.removesuffix("...\n")
