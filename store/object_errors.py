"""What an object store answered, as an error of the store: the reason in words, whether asking again may help.

Rule: an answer says "no such object" only where it names the object; a bucket that is missing, a refusal, or silence is
never absence. obstore gives a text with the status, the XML of S3 and Azure or the JSON of Google in it, and the causes
of a lost connection; all of it is read here and nowhere else.
"""

import re

from .errors import BackendError, ObjectLocked, ObjectMissing, StoreFull

_STATUS = re.compile(r"status code: (\d{3}) ?([^:\n]*)")
_CODE = re.compile(r'<Code>(\w+)</Code>|"reason": "(\w+)"')
_CAUSE = re.compile(r'(?:message|error): "([^"\n]+)"')
_FULL = re.compile(r"Quota|StorageFull|InsufficientStorage|[Nn]o free volume|[Nn]o writable volume|status code: 507")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
# Of S3 with retention, of Azure's immutability policies, of Google's retention policies and holds.
_LOCKED = re.compile(r"ObjectLock|BlobImmutable|retentionPolicy|objectUnderActiveHold|InvalidRequest|WORM")
_NO_ROLE = re.compile(r"169\.254\.169\.254|metadata\.google\.internal|instance metadata", re.IGNORECASE)

_CREDENTIALS = "set the credentials as for the storage's own tools: docs/object-stores.md names the variables"
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)")
_NO_TLS = "InvalidMessage"

_HINTS = {
    "SignatureDoesNotMatch": "the secret key is not the one of this access key",
    "InvalidAccessKeyId": "the access key is not known there: is it the right endpoint?",
    "ExpiredToken": "the session token has run out: get a new one and repeat the command",
    "RequestTimeTooSkewed": "the clock of this host is wrong",
    "AccessDenied": "the key may not do this: docs/object-stores.md lists what a host needs",
    "NoSuchBucket": "make the bucket first, or check its name and the endpoint",
}


class Refused(Exception):
    """The condition of a request does not hold: the name is taken, or the object is another by now."""


class Unsupported(Exception):
    """The storage does not know conditional requests."""


def status_of(error: Exception) -> int | None:
    """The status of the answer, or None where there was none."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later: no answer, a busy or a failing server."""
    said, status = str(error), status_of(error)
    if type(error).__name__ != "GenericError" or _FULL.search(said) or _NO_ROLE.search(said):
        return False
    if status is not None:
        return status in (408, 409, 429) or (status >= 500 and status not in (501, 505))
    return not re.search(r"builder error|URL scheme|InvalidCertificate|InvalidMessage|credential", said)


def is_missing(error: Exception) -> bool:
    """Whether the answer proves that there is no such object."""
    return isinstance(error, FileNotFoundError) and not _NO_BUCKET.search(str(error))


def is_past_the_end(error: Exception) -> bool:
    """Whether a range was asked for that begins behind the object's end."""
    return status_of(error) == 416


def explained(error: Exception, action: str, name: str, location: str) -> Exception:
    """What the error means; `action` and `name` are what was asked: "read", "packs/...".

    ObjectMissing, StoreFull, ObjectLocked, BackendError, Refused, Unsupported; or the error itself where it is not
    one of obstore's.
    """
    kind = type(error).__name__
    if kind in ("AlreadyExistsError", "PreconditionError"):
        return Refused()
    if isinstance(error, NotImplementedError) or kind == "NotSupportedError" or status_of(error) == 501:
        return Unsupported()
    if is_missing(error):
        return ObjectMissing(name)
    if not isinstance(error, OSError) and not type(error).__module__.startswith("obstore"):
        return error
    said = str(error)
    found = _CODE.search(said)
    code = (found[1] or found[2]) if found else ""
    sentence = f"{location}: cannot {action} {name}: {_reason(error, code)}"
    if _FULL.search(said):
        return StoreFull(sentence, hint="make room there, or raise the quota: nothing that was stored is lost")
    if action == "delete" and (_LOCKED.search(said) or status_of(error) == 403):
        return ObjectLocked(sentence, hint="it is locked, or this key may not delete: 'silt' leaves it where it is")
    if _NO_ROLE.search(said):
        return BackendError(f"{location}: no credentials were found", hint=_CREDENTIALS)
    if _NO_BUCKET.search(said):
        return BackendError(f"{location}: there is no such bucket", hint=_HINTS["NoSuchBucket"])
    return BackendError(
        sentence, hint=_HINTS.get(code, _CREDENTIALS if status_of(error) in (401, 403) else _hint(error))
    )


def _reason(error: Exception, code: str) -> str:
    said = str(error)
    status = _STATUS.search(said)
    if status:
        words = f"{status[1]} {status[2].strip()}".strip()
        return f"{words} ({code})" if code else words
    cause = _CAUSE.search(said)
    if cause:
        return "the connection broke off" if cause[1] == "Broken pipe" else cause[1]
    certificate = _CERTIFICATE.search(said)
    if certificate:
        return f"the storage's certificate is not trusted ({certificate[1]})"
    if _NO_TLS in said:
        return "what answers there does not speak TLS"
    if "TimedOut" in said or "timed out" in said:
        return "no answer in time"
    if "error sending request" in said:
        return "the connection broke off"
    return said.partition("\n")[0].rpartition(" - ")[2] or type(error).__name__


def _hint(error: Exception) -> str:
    said = str(error)
    if _CERTIFICATE.search(said):
        return "name the file with its certificate authority in AWS_CA_BUNDLE, and the endpoint as the certificate does"
    if _NO_TLS in said:
        return "does the endpoint begin with http://?"
    if status_of(error) is None:
        return "check the network and the endpoint; what was stored before is still there: repeat the command"
    return "repeat the command: nothing that was stored is lost"
