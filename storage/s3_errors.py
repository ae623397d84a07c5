"""What the errors of boto3 mean for whoever asked: one of the tree in `storage/errors.py`.

Messages name the bucket and the endpoint, never a key id, a secret or a signature. boto3 is imported here
only when something has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from storage.errors import ObjectNotFound, StorageDenied, StorageError, StorageFull, StorageUnavailable

_ABSENT = {"NoSuchKey", "NotFound", "404"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507"}
_LATER = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "OperationAborted",
    "NoSuchUpload",  # completing was tried again after it had worked, or somebody aborted: whole or absent
}
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of this machine or pod"
_RIGHTS = (
    "allow s3:ListBucket, s3:ListBucketMultipartUploads on the bucket and s3:GetObject, s3:PutObject, "
    "s3:DeleteObject, s3:AbortMultipartUpload on its objects"
)
_REGION = "set the region of the bucket, and an endpoint of that region"
_ADVICE = {
    "NoSuchBucket": "create the bucket, or correct its name, the endpoint or the region in the settings",
    "AccessDenied": _RIGHTS,
    "403": _RIGHTS,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": _KEYS,
    "InvalidToken": _KEYS,
    "RequestTimeTooSkewed": "set the clock of this machine",
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
}


class RangePastEnd(StorageError):
    """The range begins at the end of the object or after it. Never leaves the backend."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which bucket, where: for messages. A user name and password in the endpoint are not shown."""

    bucket: str
    endpoint: str | None

    def __str__(self) -> str:
        if self.endpoint is None:
            return f"bucket {self.bucket!r} at Amazon S3"
        parts = urlsplit(self.endpoint)
        return f"bucket {self.bucket!r} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def failure(error: Exception, key: str | None, place: Place) -> StorageError:
    """Say what failed, why, and what to do. `key` is None where the question was about the bucket."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        answer = error.response
        code = str(answer.get("Error", {}).get("Code", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _answered(code or str(status), status, key, place)
    return _unanswered(error, place)


def _answered(code: str, status: int, key: str | None, place: Place) -> StorageError:
    if code in _ABSENT:
        if key is not None:
            return ObjectNotFound(f"there is no object {key!r} in {place}")
        code = "NoSuchBucket"
    if code in {"InvalidRange", "416"}:
        return RangePastEnd(f"{key!r} in {place} ends before the range")
    if code in _FULL or status == 507:
        return StorageFull(f"{place} has no space left ({code}): free some, or raise the quota")
    if code in _LATER or status == 429 or status >= 500:
        return StorageUnavailable(f"{place} answered {code} (status {status}): try again later")
    about = "" if key is None else f" about {key!r}"
    advice = _ADVICE.get(code, "look this code up in the manual of the server")
    kind = StorageDenied if code in {"AccessDenied", "403"} else StorageError
    return kind(f"{place} answered {code} (status {status}){about}: {advice}")


def _unanswered(error: Exception, place: Place) -> StorageError:
    from botocore import exceptions as boto
    from urllib3.exceptions import HTTPError

    kind = type(error).__name__
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return StorageError(f"the certificate of {place} is not trusted: give the CA bundle that signed it")
    if isinstance(error, (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, HTTPError)):
        return StorageUnavailable(f"{place} cannot be reached or broke off ({kind}): try again later")
    if "Credential" in kind or "Token" in kind or isinstance(error, boto.ProfileNotFound):
        return StorageError(f"no usable credentials for {place} ({kind}): {_KEYS}")
    return StorageError(f"cannot ask {place} ({kind}): check the bucket, the endpoint and the region")
