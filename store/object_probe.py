"""Does an object store keep its conditions? Asked with objects of its own under probe/, which are gone afterwards.

Rule: what is believed was seen: of two creations of one name at the same moment one succeeds and its bytes stay, and a
replacement with a stale tag is refused. So a storage that passes over a condition without a word is found out. It is
no proof: a storage may keep its conditions mostly.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from .backend import Buffer
from .errors import ObjectExists, ObjectMissing
from .object_errors import Refused, Unsupported
from .parallel import in_parallel

_WRITERS = 2  # SeaweedFS lets every further one wait for a second


# What tells an object from any other of its name: e_tag and version, of which storages give one or both.
Tag = tuple[str | None, str | None]


class Probed(Protocol):
    """What of a backend is asked here."""

    def put(self, name: str, pieces: Sequence[Buffer]) -> None: ...

    def swap(self, name: str, pieces: Sequence[Buffer], tag: Tag) -> None: ...

    def tag(self, name: str) -> Tag | None: ...

    def get(self, name: str) -> bytes: ...

    def delete(self, name: str) -> None: ...


def probe(backend: Probed) -> bool:
    """Whether both conditions hold. Raises BackendError where the storage cannot be asked."""
    name = "probe/" + os.urandom(16).hex()
    try:
        return _creates_once(backend, name) and _refuses_stale(backend, name)
    finally:
        with suppress(ObjectMissing):
            backend.delete(name)


def _creates_once(backend: Probed, name: str) -> bool:
    def create(content: bytes) -> bool:
        try:
            backend.put(name, [content])
        except ObjectExists:
            return False
        return True

    contents = [os.urandom(16) for _ in range(_WRITERS)]
    won = [content for content, first in zip(contents, in_parallel(create, contents, _WRITERS), strict=True) if first]
    return len(won) == 1 and backend.get(name) == won[0]


def _refuses_stale(backend: Probed, name: str) -> bool:
    tag = backend.tag(name)
    if tag is None:
        return False
    try:
        backend.swap(name, [b"second"], tag)
        backend.swap(name, [b"third"], tag)
    except Refused:
        return backend.get(name) == b"second"
    except (Unsupported, ObjectMissing):
        return False
    return False
