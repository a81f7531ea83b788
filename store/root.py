"""Roots: the commit of a backup or a WAL file. Before a root is created nothing of it exists; after, everything does.

    backups/<deployment>/<group>/<level>, wal/<system identifier>/<timeline>/<name>,
    pins/..., absent/<deployment>/<group>/<level>
        := envelope(session id (16) | length (u16) | sealed data key | sealed msgpack)

The sealed part's associated data is the object's own name, so a root cannot be passed off as another; a copy that lies
elsewhere (forgotten/...) is read by the name under which it was written. What a root says is the engine's business:
here it is a msgpack map.
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgpack

from .backend import Backend
from .envelope import HEAD_SIZE, ObjectKind, disclose, enclose
from .errors import Corrupt, VoidRoot, WrongKey
from .fence import is_void
from .keyring import SESSION_ID_SIZE
from .keys import SessionKey
from .opening import OpenStore
from .seal import Sealer, Tampered, seal, sealer_for, unseal

ROOTS = "backups/"
FORGOTTEN = "forgotten/"
# Where roots lie that refer to chunks. Parts become the root of a level, and that one moves when it is forgotten: so
# they are listed in this order.
ROOT_FOLDERS = ("parts/", ROOTS, FORGOTTEN, "wal/")
_KEY = struct.Struct("<16sH")


def seal_root(name: str, content: dict[str, Any], key: SessionKey, sealer: Sealer) -> bytes:
    """The root as it lies in the store. `sealer` is the session's own: it counts its nonces."""
    body = seal(sealer, msgpack.packb(content, use_bin_type=True), _aad(name))
    head = _KEY.pack(key.session_id, len(key.sealed)) + key.sealed
    return enclose(ObjectKind.ROOT, head + body)


def write_alone(store: OpenStore, name: str, content: dict[str, Any]) -> None:
    """Create a root outside of any session, for what refers to no chunk. Raises ObjectExists."""
    key = store.ring.new_session()
    store.backend.put(name, [seal_root(name, content, key, sealer_for(key.data_key))])


def read_root(store: OpenStore, name: str, written_as: str = "") -> dict[str, Any]:
    """The content of a root, or of a copy of one that was `written_as` another name. Raises ObjectMissing
    (VoidRoot, where it does not count: see fence.py), Corrupt, NoKey.
    """
    payload = disclose(ObjectKind.ROOT, name, store.backend.get(name))
    try:
        session_id, length = _KEY.unpack_from(payload)
        sealed, body = payload[_KEY.size : _KEY.size + length], payload[_KEY.size + length :]
        data_key = store.ring.open_session(session_id, sealed)
        content: dict[str, Any] = msgpack.unpackb(
            unseal(sealer_for(data_key), body, _aad(written_as or name)), strict_map_key=False
        )
    except (Tampered, WrongKey, struct.error):
        raise Corrupt(name, "it is not the root that was written under this name") from None
    if is_void(store.backend, session_id.hex(), written_as or name):
        raise VoidRoot(name, hint="its session had been given up when it was created; 'silt gc' removes it")
    return content


def session_of(backend: Backend, name: str) -> str:
    """The session that created a root, which needs no key to be read. Raises ObjectMissing."""
    return backend.get(name, HEAD_SIZE, SESSION_ID_SIZE).hex()


def written_name(name: str) -> str:
    """The name under which a root was created: a copy in forgotten/ has that of its level, and a number behind it."""
    return ROOTS + name.removeprefix(FORGOTTEN).rpartition("/")[0] if name.startswith(FORGOTTEN) else name


def root_names(store: OpenStore, prefix: str = ROOTS) -> Iterator[str]:
    """Names of all roots below a folder (ends in '/'), by default those of backups, sorted as text."""
    return (info.name for info in store.backend.list(prefix))


def _aad(name: str) -> bytes:
    return b"silt root 1 " + name.encode()
