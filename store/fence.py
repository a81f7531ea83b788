"""Fences: how a session that was given up is kept from committing when it wakes after all.

    fences/<session id>/raised   := envelope(msgpack {"session"})        created exclusively, before roots are listed
    fences/<session id>/accepted := envelope(msgpack [names of roots])   created exclusively, after they were listed

A root whose session is fenced, and that is not among the accepted ones, is void: for every reader it is not there. As
long as nothing is accepted the matter is open, and the session's roots are there: whoever removes anything waits for
`accepted`. Rule: a reader reads the root first and asks for the fence then; a void root was created after its fence, so
who sees the one sees the other. A writer asks after it has created its root, and takes it back when it is void.

Fences stay: nobody knows how long a suspended session sleeps. One is a few hundred bytes, one for each session that
ended without removing its lease. Nothing in them is secret, and who can write them could as well delete the roots.
"""

from collections.abc import Collection, Iterator

import msgpack

from .backend import Backend
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, ObjectExists, ObjectMissing

FENCES = "fences/"
_RAISED, _ACCEPTED = "/raised", "/accepted"


def raise_fence(backend: Backend, session: str) -> None:
    """Fence a session. It may be fenced already."""
    try:
        backend.put(FENCES + session + _RAISED, [enclose(ObjectKind.FENCE, msgpack.packb({"session": session}))])
    except ObjectExists:
        pass


def is_fenced(backend: Backend, session: str) -> bool:
    """Whether the session was given up."""
    try:
        backend.size(FENCES + session + _RAISED)
    except ObjectMissing:
        return False
    return True


def fenced_sessions(backend: Backend) -> Iterator[str]:
    """The sessions that were given up."""
    for info in backend.list(FENCES):
        if info.name.endswith(_RAISED):
            yield info.name.removeprefix(FENCES).removesuffix(_RAISED)


def accept(backend: Backend, session: str, roots: Collection[str]) -> frozenset[str]:
    """Record which roots of a fenced session count; those that do, which is what was recorded first."""
    try:
        payload = msgpack.packb(sorted(roots))
        backend.put(FENCES + session + _ACCEPTED, [enclose(ObjectKind.FENCE, payload)])
        return frozenset(roots)
    except ObjectExists:
        accepted = accepted_roots(backend, session)
        assert accepted is not None
        return accepted


def accepted_roots(backend: Backend, session: str) -> frozenset[str] | None:
    """The roots of a fenced session that count; None while that is open. Raises Corrupt."""
    name = FENCES + session + _ACCEPTED
    try:
        payload = disclose(ObjectKind.FENCE, name, backend.get(name))
    except ObjectMissing:
        return None
    try:
        return frozenset(msgpack.unpackb(payload))
    except (ValueError, TypeError):
        raise Corrupt(name, "it does not parse") from None


def is_void(backend: Backend, session: str, root: str) -> bool:
    """Whether a root of that session, which was read before this is asked, is as if it were not there."""
    if not is_fenced(backend, session):
        return False
    accepted = accepted_roots(backend, session)
    return accepted is not None and root not in accepted
