"""What can go wrong, as one tree below HelmClientError."""


class HelmClientError(Exception):
    """Everything that this package raises on purpose."""


class RepositoryUnavailable(HelmClientError):
    """No answer, or not the one that was asked for; `status` is its HTTP status, None without an answer."""

    status: int | None = None


class InvalidIndex(HelmClientError):
    """The index is none, or has a URL that nothing can be fetched from."""


class ChartNotFound(HelmClientError):
    """The index has no such chart, or not in that version."""


class DigestMismatch(HelmClientError):
    """The archive's sha256 is not the one in the index; nothing was kept."""
