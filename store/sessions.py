"""The sessions of others as garbage collection sees them: which are at work, which are given up, and what these left.

Rule: a session is over when it has removed its lease itself, or when it was fenced and its roots were listed after
that. It is given up only when its process is proved dead, or when its lease did not change since an earlier run and for
`patience` seconds of this one, by this host's own monotonic clock. Nothing is compared with the times in leases. Giving
up a session that lives costs that session its work and nobody a chunk: its fence makes its later roots void.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from .errors import ObjectMissing
from .fence import accept, accepted_roots, fenced_sessions, raise_fence
from .lease import Lease, lease_key, leases
from .opening import OpenStore
from .root import ROOT_FOLDERS, session_of, written_name


class OtherSessions:
    """Those that have a lease now, but for one's own. Made after packs were listed, and before roots are."""

    def __init__(self, store: OpenStore, own: str) -> None:
        self._store, self._own = store, own
        self.alive: dict[str, Lease] = self._read()
        self.fenced: set[str] = set()

    def _read(self) -> dict[str, Lease]:
        found = leases(self._store.backend, lease_key(self._store))
        return {lease.session: lease for lease in found if lease.session != self._own}

    def in_the_way_of(self, generation: int) -> list[Lease]:
        """Sessions that may rely on what this generation condemned."""
        return [lease for lease in self.alive.values() if lease.generation < generation]

    def give_up(self, seen_before: Mapping[str, bytes], patience: float, sleep: Callable[[float], None]) -> list[str]:
        """Fence those that are dead, or were not seen to live; `seen_before` are digests of leases as earlier runs saw
        them. Returns whom it fenced now.
        """
        found = self.alive.values()
        over = [lease.session for lease in found if lease.dead]
        silent = {lease.session: lease.digest for lease in found if seen_before.get(lease.session) == lease.digest}
        for session in over:
            silent.pop(session, None)
        if silent:
            _wait(patience, sleep)
            later = self._read()
            over += [
                session for session, digest in silent.items() if session in later and later[session].digest == digest
            ]
        for session in over:
            raise_fence(self._store.backend, session)
        return over

    def settle(self) -> list[str]:
        """Record which roots of fenced sessions count; remove those that do not, and the leases. These sessions are
        over then. Returns the roots that were removed.
        """
        backend = self._store.backend
        self.fenced = set(fenced_sessions(backend))
        if not self.fenced:
            return []
        accepted = {session: accepted_roots(backend, session) for session in self.fenced}
        roots = _roots_of(self._store, self.fenced)
        removed = []
        for session in sorted(self.fenced):
            counted = accepted[session]
            if counted is None:
                counted = accept(backend, session, {written_name(name) for name in roots.get(session, ())})
            void = [name for name in roots.get(session, ()) if written_name(name) not in counted]
            _delete_all(self._store, void)
            removed += void
            if self.alive.pop(session, None) is not None:
                _delete_all(self._store, [f"sessions/{session}"])
        return removed


def _wait(seconds: float, sleep: Callable[[float], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        sleep(min(left, 1.0))


def _roots_of(store: OpenStore, sessions: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in ROOT_FOLDERS:
        for info in store.backend.list(folder):
            try:
                session = session_of(store.backend, info.name)
            except ObjectMissing:
                continue  # forgotten, or undeleted, meanwhile
            if session in sessions:
                found.setdefault(session, []).append(info.name)
    return found


def _delete_all(store: OpenStore, names: Iterable[str]) -> None:
    for name in names:
        try:
            store.backend.delete(name)
        except ObjectMissing:
            pass  # another collector was quicker
