"""Helm's errors, which are mostly words, as the classes of `helm_client.errors`.

The words stand in Helm's source, and in helm-python-sdk's, whose error codes tell little more than which call failed.
"""

from __future__ import annotations

import re

from helm_client.errors import (
    ClusterUnreachable,
    ConfigError,
    EngineError,
    HelmClientError,
    InvalidChart,
    NameInUse,
    ReleaseConflict,
    ReleaseError,
    ReleaseNotFound,
    ReleaseTimeout,
)

# The first that matches; ClusterUnreachable first, for its text may end in "context deadline exceeded".
_WORDS: tuple[tuple[str, type[HelmClientError]], ...] = (
    (r"cluster unreachable|kubernetes configuration|connection refused|no such host", ClusterUnreachable),
    (r"the server has asked for the client to provide credentials|\bUnauthorized\b", ClusterUnreachable),
    (r" is forbidden: |\bcannot (get|list|create|update|patch|delete) resource\b", ClusterUnreachable),
    (r"^failed parsing --set|^failed to parse .*\.ya?ml|^open .*: no such file or directory$", ConfigError),
    (r"cannot re-?use a name that is still in use", NameInUse),
    (r"release: already exists|another operation \(install/upgrade/rollback\) is in progress", ReleaseConflict),
    (r"Apply failed with \d+ conflict|conflict occurred while|the object has been modified", ReleaseConflict),
    (r"release: not found|has no deployed releases|release has no \S+ version|has no revision", ReleaseNotFound),
    (r"release name is invalid|cannot be imported into the current release|missing hook|hooks? failed", ReleaseError),
    (r"context deadline exceeded|timed out waiting|resource .* not ready", ReleaseTimeout),
    (r"charts are not installable|missing in charts/ directory|Chart\.yaml file is missing", InvalidChart),
    (r"chart metadata|validation: chart|not a valid chart|is not a gzipped archive|no Chart\.yaml", InvalidChart),
    (r'path "[^"]*" not found|cannot load (Chart|values|requirements)|unable to load chart', InvalidChart),
    (r"does not appear to be a gzipped archive|illegally (contains|points)|chart illegally", InvalidChart),
)

_PREFIX = re.compile(r"(INSTALLATION|UPGRADE) FAILED: ")
_STATUS = ((r"credentials|Unauthorized", 401), (r"forbidden|cannot \w+ resource", 403))

_CHART_CODES = {-20, -21}  # HELM_ERR_CHART_LOAD, HELM_ERR_CHART_INVALID
_KUBE_CODE = -60
_CANCELLED_CODE = -6


def make_fault(text: str, code: int = 0, default: type[HelmClientError] = EngineError) -> HelmClientError:
    """Answer the error for Helm's words; `code` is helm-python-sdk's, `default` is for words that say nothing."""
    text = _PREFIX.sub("", text, count=1).strip()
    found = next((kind for words, kind in _WORDS if re.search(words, text)), None)
    if found is None and code in _CHART_CODES:
        found = InvalidChart
    elif found is None and code == _KUBE_CODE:
        found = ClusterUnreachable
    elif found is None and code == _CANCELLED_CODE:
        found = ReleaseTimeout
    error = (found or default)(text)
    if isinstance(error, ClusterUnreachable):
        error.status = next((status for words, status in _STATUS if re.search(words, text)), None)
    return error
