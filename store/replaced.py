"""Removing a damaged pack, or forgetting a lost one, of which every chunk lies elsewhere, too.

What is intact in it and lies nowhere else is stored again first. Rule: the order is: each chunk is read from another
pack and compared with its id; parity no longer counts on the pack; the index leads elsewhere; then the pack is deleted.
A crash in between leaves a damaged pack, and nothing less.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from .errors import Corrupt, ObjectMissing, StoreError
from .ids import ChunkId, PackName, pack_object
from .protection import retire
from .store import Store


def remove_replaced_pack(store: Store, pack: PackName) -> None:
    """Remove it. Raises Corrupt where a chunk of it cannot be had elsewhere, and leaves everything as it is."""
    _prove_replaced(store, pack)
    if retire(store.backend, [pack]):
        raise StoreError(f"{pack_object(pack)}: parity still needs it", hint="mend the other packs of its stripe first")
    with store.writer() as writer:
        writer.forget_packs({pack})
    try:
        store.backend.delete(pack_object(pack))
    except ObjectMissing:
        pass  # it was lost, and is now forgotten
    store.index.suspect -= {pack}


def is_replaced(store: Store, pack: PackName) -> bool:
    """Whether the index leads elsewhere, to packs not known to be damaged, for every chunk of the pack."""
    try:
        return all(chunk in store.index for chunk in _chunks_of(store, pack))
    except StoreError:
        return False


def is_healed(store: Store, pack: PackName) -> bool:
    """Whether every chunk of a damaged pack can be had: from another pack, or from a frame of it that is intact.

    Reads those frames that hold what is nowhere else.
    """
    if is_replaced(store, pack):
        return True
    try:
        frames = _held_alone(store, pack)
        for _ in store.read_frames(pack, frames):
            pass
    except StoreError:
        return False
    return True


def move_and_remove(store: Store, pack: PackName) -> None:
    """Store again what only a damaged pack holds, from the frames of it that are intact, and remove it.

    Raises Corrupt where one of them is not, and leaves everything as it is.
    """
    with store.writer() as writer:
        frames = store.footer(pack).frames
        for number, plain in store.read_frames(pack, _held_alone(store, pack)):
            ends = list(accumulate(frames[number].lengths))
            writer.store_run(memoryview(bytes(plain)), ends)
        writer.flush()
    remove_replaced_pack(store, pack)


def _held_alone(store: Store, pack: PackName) -> list[int]:
    """The frames with a chunk that lies nowhere else."""
    frames = enumerate(store.footer(pack).frames)
    return [number for number, frame in frames if not all(chunk in store.index for chunk in frame.ids)]


def _chunks_of(store: Store, pack: PackName) -> Iterator[ChunkId]:
    """By its footer, or by the index where that cannot be read. Raises StoreError where neither can."""
    try:
        footer = store.footer(pack)
    except StoreError:
        yield from store.index.chunks_in(pack)
    else:
        for frame in footer.frames:
            yield from frame.ids


def _prove_replaced(store: Store, pack: PackName) -> None:
    frames: dict[PackName, set[int]] = defaultdict(set)
    for chunk in _chunks_of(store, pack):
        place = store.index.find(chunk)
        if place is None or place.pack == pack:
            raise Corrupt(pack_object(pack), "it still holds the one copy of a chunk")
        frames[place.pack].add(place.frame)
    for other, numbers in frames.items():
        for _ in store.read_frames(other, sorted(numbers)):
            pass  # what is read is authenticated, and compared with its ids
