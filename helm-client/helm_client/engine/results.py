"""What an engine answers: plain data, with the text that Helm's command line would print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SEVERITIES = ("UNKNOWN", "INFO", "WARNING", "ERROR")

Warnings = tuple[str, ...]
"""What Helm wrote to standard error beside its answer, line by line."""


@dataclass(frozen=True, slots=True)
class Template:
    """`text` is what `helm template` prints: manifests, then hooks."""

    text: str
    warnings: Warnings = ()


@dataclass(frozen=True, slots=True)
class LintMessage:
    """One finding; `severity` is one of SEVERITIES, `path` is inside the chart."""

    severity: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Lint:
    """`text` goes to standard output; `failure` is empty, or the sentence that `helm lint` fails with."""

    text: str
    failure: str
    messages: tuple[LintMessage, ...]
    warnings: Warnings = ()

    @classmethod
    def read(cls, text: str, failure: str, warnings: Warnings = ()) -> Self:
        """Find the messages in the text that Helm printed."""
        found: list[LintMessage] = []
        for line in text.splitlines():
            match = _MESSAGE.match(line)
            if match:
                found.append(LintMessage(*match.groups()))
            elif found and line and not line.startswith("==> Linting ") and not _SUMMARY.match(line):
                last = found.pop()
                found.append(LintMessage(last.severity, last.path, f"{last.text}\n{line}"))
        return cls(text, failure, tuple(found), warnings)


_MESSAGE = re.compile(rf"\[({'|'.join(SEVERITIES)})\] ([^:]*): (.*)")
_SUMMARY = re.compile(r"\d+ chart\(s\) linted, \d+ chart\(s\) failed")


@dataclass(frozen=True, slots=True)
class Packaged:
    """`path` is the archive; a signed one has its provenance file beside it."""

    path: Path
    warnings: Warnings = ()

    @property
    def text(self) -> str:
        """Answer what `helm package` prints."""
        return f"Successfully packaged chart and saved it to: {self.path}\n"


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed an archive, with which key (hex, upper case), and the digest that was signed (`sha256:...`)."""

    signed_by: tuple[str, ...]
    fingerprint: str
    digest: str
    warnings: Warnings = ()

    @property
    def text(self) -> str:
        """Answer what `helm verify` prints."""
        signers = "".join(f"Signed by: {name}\n" for name in self.signed_by)
        return f"{signers}Using Key With Fingerprint: {self.fingerprint}\nChart Hash Verified: {self.digest}\n"


@dataclass(frozen=True, slots=True)
class Created:
    """`path` is the new chart's folder; `text` is what `helm create` prints."""

    path: Path
    text: str
    warnings: Warnings = ()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`text` is what Helm tells about its progress."""

    text: str
    warnings: Warnings = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action on a release.

    `record` is the release as Helm stores and prints it (`name, namespace, version, info, config, manifest, hooks,
    chart`; of `chart` only `metadata` is sure to be there), empty where there is none any more. `installed` tells that
    an upgrade was an installation. `text` is what Helm adds (resources that were kept, logs of tests). `failure` is
    why a test failed.
    """

    record: dict[str, Any]
    installed: bool = False
    text: str = ""
    failure: str = ""
    warnings: Warnings = ()


def render_lint(charts: Sequence[tuple[str, dict[str, Any]]], *, quiet: bool) -> tuple[str, str]:
    """Answer what `helm lint` prints for these paths and reports, and what it fails with (Helm's pkg/cmd/lint.go)."""
    text, failed, remarkable = "", 0, 0
    for path, report in charts:
        messages = [message for message in report["messages"] if not quiet or message["severity"] > 1]
        failed += bool(report["errors"])
        noisy = bool(report["errors"]) or any(message["severity"] > 1 for message in report["messages"])
        remarkable += noisy
        if quiet and not noisy:
            continue
        text += f"==> Linting {path}\n"
        if not report["messages"]:
            text += "".join(f"Error {error}\n" for error in report["errors"])
        for message in messages:
            text += f"[{SEVERITIES[message['severity']]}] {message['path']}: {message['error']}\n"
        text += "\n"
    summary = f"{len(charts)} chart(s) linted, {failed} chart(s) failed"
    if failed:
        return text, summary
    return text + (f"{summary}\n" if not quiet or remarkable else ""), ""
