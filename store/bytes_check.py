"""Checking the bytes of objects without any key: by their names, and by the checksums of envelopes.

Rule: an object whose name ends in 64 hex digits is named by the BLAKE3 of its bytes (packs, index segments, parity);
every other is in an envelope, which ends with a checksum. That is all that can be known without a key: it finds what
storage did to bytes, and does not find what was written wrongly, nor that an object is gone. What is wrong becomes a
`BytesReport`, never an exception: only the storage as a whole going away raises.
"""

from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .check import fault_of
from .envelope import check_envelope
from .errors import StoreError
from .ids import is_content_named
from .workspace import buffers

# 4 MiB a read: past the page cache it is as quick as 32, and the hash finds it in the processor's cache.
RUN = 4 << 20


class BytesReport(Struct, frozen=True):
    """What reading an object showed; `error` is empty, or one clause."""

    object: str
    bytes_read: int
    error: str = ""


class BytesChecker:
    """Checks objects. Any thread may call it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._buffers = buffers(RUN)

    def check(self, name: str) -> BytesReport:
        """Read the object whole. Raises BackendError when the storage is away."""
        try:
            if is_content_named(name):
                return self._check_name(name)
            data = self._backend.get(name)
            check_envelope(name, data)
        except StoreError as error:
            return BytesReport(name, 0, fault_of(name, error, self._backend).error)
        return BytesReport(name, len(data))

    def _check_name(self, name: str) -> BytesReport:
        hasher, at = blake3(), 0
        with self._buffers.borrow() as buffer:
            while got := self._backend.read(name, at, buffer):
                hasher.update(got)
                at += len(got)
                if len(got) < len(buffer):
                    break
        whole = hasher.hexdigest() == name[-64:]
        return BytesReport(name, at, "" if whole else "bytes of it have changed, or it was cut off")
