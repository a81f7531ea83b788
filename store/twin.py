"""Twins: copies of one store, with the same id and the same keys, each of which may lack what the other has.

Rule: a pack is named by its content, so it is the same object in both, and is copied as it is, compared with its name
on the way. A root is created by a session of the twin that it goes to, whose garbage collection knows that session.
Keys are written before the config, as by `init`. A copy of a store that was made with rsync is a twin like one that was
made here.

It does not promise that twins stay equal: each has sessions, an index, notes and garbage of its own, and a key that is
added to one is not in the other.
"""

from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .check import fault_of
from .config import CONFIG, CONFIG_COPY
from .envelope import check_envelope
from .errors import Corrupt, ObjectExists, StoreError
from .ids import PackName, pack_object
from .key_objects import KEYS
from .making import refuse_occupied
from .opening import OpenStore, read_config
from .reader import PackReader


def are_twins(one: OpenStore, other: OpenStore) -> bool:
    """Whether both are copies of the same store: equal ids, and equal names for equal chunks."""
    return one.config.store_id == other.config.store_id and one.ring.id_key == other.ring.id_key


def make_twin(source: Backend, target: Backend) -> None:
    """Make an empty place a twin: the same config, the same keys, and nothing else yet. Raises StoreError."""
    refuse_occupied(target)
    copy = [] if read_config(source).encrypted else [CONFIG_COPY]
    for name in (*(info.name for info in source.list(KEYS)), CONFIG, *copy):
        _copy(source, target, name)


def _copy(source: Backend, target: Backend, name: str) -> None:
    data = source.get(name)
    check_envelope(name, data)
    try:
        target.put(name, [data])
    except ObjectExists:
        pass  # of a copy that was cut off


class CopiedPack(Struct, frozen=True):
    """What came of one pack. `error` is empty, or says in one clause why it was not copied."""

    pack: PackName
    bytes: int
    error: str = ""


class PackCopier:
    """Copies packs from one twin to another. Any thread may call it."""

    def __init__(self, reader: PackReader, source: Backend, target: Backend) -> None:
        self._reader, self._source, self._target = reader, source, target

    def copy(self, pack: PackName, *, replace: bool = False) -> CopiedPack:
        """Copy one pack; `replace` puts right bytes in the place of damaged ones.

        Only the source's own faults are reported; raises what the target raised, and BackendError when the source is
        away.
        """
        name = pack_object(pack)
        with self._reader.workspaces.borrow() as workspace:
            try:
                data = workspace.read(name, 0, self._source.size(name))
                if blake3(data).hexdigest() != pack:
                    raise Corrupt(name, "bytes of it have changed, or it was cut off")
            except StoreError as error:
                return CopiedPack(pack, 0, fault_of(name, error, self._source).error)
            if replace:
                self._target.replace(name, [data])
                return CopiedPack(pack, len(data))
            try:
                self._target.put(name, [data])
            except ObjectExists:
                pass  # the same bytes, or damaged ones: then a verification, and a repair, sees to it
        return CopiedPack(pack, len(data))
