"""What can go wrong, as one tree:

HelmClientError
├── ConfigError               a file or variable of the user's cannot be read, or says what cannot be
├── RepositoryUnavailable     no answer, or not the one that was asked for
├── RegistryError             an OCI registry refused
├── InvalidIndex              that is no index of a chart repository
├── ChartNotFound             no such chart, or not in that version
├── InvalidChart              that is no chart, or it would write where it must not
├── VerificationError         what came is not what was promised; nothing was kept
│   ├── DigestMismatch        the archive's sha256 is not the index's
│   └── SignatureError        the provenance file does not vouch for it
├── EngineError               rendering or releasing failed
│   └── EngineMissing         neither helm-python-sdk nor a helm binary is there
├── ClusterUnreachable        no answer from the Kubernetes API, or a refusal
└── ReleaseError              a release cannot be brought where it should be
    ├── ReleaseNotFound       no release of that name, or not that revision
    ├── NameInUse             a release of that name is there
    ├── ReleaseConflict       another operation is in progress, or another manager owns a field
    └── ReleaseTimeout        the cluster did not get there in time
"""


class HelmClientError(Exception):
    """Everything that this package raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(HelmClientError):
    """A file or variable of the user's cannot be read, or says what cannot be."""


class RepositoryUnavailable(HelmClientError):
    """No answer, or not the one that was asked for; `status` is its HTTP status, None without an answer."""

    status: int | None = None


class RegistryError(HelmClientError):
    """An OCI registry refused, or did not answer; `status` is its HTTP status, None without an answer."""

    status: int | None = None


class InvalidIndex(HelmClientError):
    """The index is none, or has a URL that nothing can be fetched from."""


class ChartNotFound(HelmClientError):
    """The repository has no such chart, or not in that version."""


class InvalidChart(HelmClientError):
    """The file or folder is no chart, or would write outside its folder."""


class VerificationError(HelmClientError):
    """What came is not what was promised; nothing was kept."""

    exit_code = 4


class DigestMismatch(VerificationError):
    """The archive's sha256 is not the one in the index; nothing was kept."""


class SignatureError(VerificationError):
    """The provenance file is absent, was not made by a known key, or speaks of another archive."""


class EngineError(HelmClientError):
    """Helm's engine could not render, lint, sign or build."""


class EngineMissing(EngineError):
    """Neither helm-python-sdk nor a helm binary is there."""


class ClusterUnreachable(HelmClientError):
    """The Kubernetes API did not answer, or refused; `status` is its HTTP status, None without an answer."""

    status: int | None = None


class ReleaseError(HelmClientError):
    """A release could not be brought where it should be."""


class ReleaseNotFound(ReleaseError):
    """There is no release of that name, or not that revision of it."""


class NameInUse(ReleaseError):
    """A release of that name is there already."""


class ReleaseConflict(ReleaseError):
    """Another operation is in progress, or another manager owns a field."""


class ReleaseTimeout(ReleaseError):
    """The cluster did not get there in time."""
