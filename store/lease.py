"""Leases: how the sessions of a store know of each other.

    sessions/<session id> := envelope(msgpack {"session", "started_ns", "renewed_ns", "generation", "owner": sealed,
                                               "follows": session id or ""})

A session writes its lease before its first pack, renews it while it works, and removes it when it ends. `generation` is
that of the newest condemnation it has read: what was condemned later is not removed before the session has ended, or
was fenced. `owner` (host, boot, process) is sealed, under a key of each session's own (nonces count from 1 in each): it
lets a host see that a lease of its own is dead. `follows` names the session that this one waits for, since both store
the same (following.py). Rule: nothing is deleted because a clock says so. Only its own session
removes a lease, or who has fenced that session before: also of a dead one a request may be on its way to the storage.
"""

import os
import threading
import time

import msgpack
from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat, ObjectMissing, StoreError
from .fence import is_fenced, raise_fence
from .opening import OpenStore
from .parallel import asked_of
from .seal import Sealer, Tampered, seal, sealer_for, unseal

SESSIONS = "sessions/"
RENEW_SECONDS = 60.0
_OWNER_AAD = b"silt lease 1"


class Lease(Struct, frozen=True):
    """One session as another sees it. `dead` only when it is proved: its process was on this host and is gone.
    `digest` changes with each renewal.
    """

    name: str
    session: str
    started_ns: int
    renewed_ns: int
    generation: int
    dead: bool
    digest: bytes = b""


def lease_key(store: OpenStore) -> bytes:
    """The store's key for the owners of leases; empty without encryption."""
    return store.ring.derive("lease") if store.config.encrypted else b""


def _owner() -> dict[str, str | int]:
    return {
        "host": f"{os.uname().nodename} {_line('/etc/machine-id')}",  # two machines may be called localhost
        "boot": _line("/proc/sys/kernel/random/boot_id"),
        "pids": _pid_namespace(),
        "pid": os.getpid(),
        "start": _start_time(os.getpid()),
    }


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """Which processes can be seen from here: a container sees none of its neighbours, and they may live."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """When a process started, in ticks since boot: tells a process from a later one of the same number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_dead(owner: dict[str, str | int]) -> bool:
    mine = _owner()
    if owner.get("host") != mine["host"] or not owner.get("boot") or not mine["boot"]:
        return False
    if owner["boot"] != mine["boot"]:
        return True
    return owner.get("pids") == mine["pids"] and _start_time(int(owner["pid"])) != owner.get("start")


def _sealer(key: bytes, session: str) -> Sealer:
    return sealer_for(blake3(session.encode(), key=key).digest() if key else b"")


class HeldLease:
    """The lease of a session of this process, renewed by a thread until `end`. `key` is the store's for leases,
    `generation` that of the newest condemnation that the session has read. `fenced` once a renewal found it given up.
    """

    def __init__(self, backend: Backend, session: str, key: bytes, generation: int = 0) -> None:
        self._backend, self.session, self._generation = backend, session, generation
        self.fenced = False
        self.follows = ""
        self._owner = seal(_sealer(key, session), msgpack.packb(_owner()), _OWNER_AAD)
        self._name = SESSIONS + session
        self.started_ns = time.time_ns()
        self._ended = threading.Event()
        self._renewing = threading.Lock()
        backend.put(self._name, [self._payload()])
        self._thread = threading.Thread(target=self._renew, name="silt-lease", daemon=True)
        self._thread.start()

    def _payload(self) -> bytes:
        return enclose(
            ObjectKind.LEASE,
            msgpack.packb(
                {
                    "session": self.session,
                    "started_ns": self.started_ns,
                    "renewed_ns": time.time_ns(),
                    "generation": self._generation,
                    "owner": self._owner,
                    "follows": self.follows,
                }
            ),
        )

    def _renew(self) -> None:
        while not self.fenced and not self._ended.wait(RENEW_SECONDS):
            self.renew()

    def renew(self) -> None:
        """Renew the lease once, unless the session was given up, or has ended. Never raises."""
        with self._renewing:
            if self._ended.is_set():
                return
            try:
                self.fenced = is_fenced(self._backend, self.session)
                if not self.fenced:
                    self._backend.replace(self._name, [self._payload()])
            except StoreError:
                pass  # the storage will tell the writer itself; the next renewal may succeed

    def follow(self, session: str) -> None:
        """Say in the lease which session this one waits for, or '' for none. Never raises."""
        if session != self.follows:
            self.follows = session
            self.renew()

    def end(self, *, keep: bool = False) -> None:
        """Stop renewing and remove the lease; or `keep` it, for the next session to look for packs that no segment
        names. Never raises: a lease that stays is only looked at again.
        """
        self._ended.set()
        self._thread.join()
        if keep:
            return
        with self._renewing:  # what renews now would bring it back
            try:
                self._backend.delete(self._name)
            except StoreError:
                pass


def leases(backend: Backend, key: bytes, own: str = "") -> list[Lease]:
    """Every lease in the store, but for that of one's own session; `key` is the store's for leases. One that cannot be
    read is of an unknown session.
    """
    names = [info.name for info in backend.list(SESSIONS) if info.name != SESSIONS + own]
    return [lease for lease in asked_of(backend, lambda name: _read(backend, key, name), names) if lease is not None]


def _read(backend: Backend, key: bytes, name: str) -> Lease | None:
    """None where its session ended meanwhile."""
    session = name.removeprefix(SESSIONS)
    try:
        content = backend.get(name)
    except ObjectMissing:
        return None
    digest = blake3(content).digest(length=16)
    try:
        row = msgpack.unpackb(disclose(ObjectKind.LEASE, name, content))
        dead = _is_dead(msgpack.unpackb(unseal(_sealer(key, session), row["owner"], _OWNER_AAD)))
        return Lease(name, session, row["started_ns"], row["renewed_ns"], row["generation"], dead, digest)
    except (Corrupt, NewerFormat, Tampered, KeyError, TypeError, ValueError):
        return Lease(name, session, 0, 0, 0, False, digest)


def bury(backend: Backend, lease: Lease) -> None:
    """Fence a dead session, and remove its lease, once what it left is adopted: a request of it may be under way."""
    try:
        raise_fence(backend, lease.session)
        backend.delete(lease.name)
    except StoreError:
        pass


def standing(backend: Backend, session: str) -> tuple[int, str]:
    """When a session began, as its host's clock had it, and for whom it waits: '' for nobody. 0 and '' where its lease
    cannot be read. Raises ObjectMissing where it has ended.
    """
    name = SESSIONS + session
    try:
        row = msgpack.unpackb(disclose(ObjectKind.LEASE, name, backend.get(name)))
        return int(row["started_ns"]), str(row["follows"])
    except (Corrupt, NewerFormat, KeyError, TypeError, ValueError):
        return 0, ""
