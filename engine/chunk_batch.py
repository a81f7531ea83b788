"""Many chunks at once, each frame read once: for a thread that needs them all before it goes on.

Rule: what cannot be read is left out, whatever the reason: who asks can do without.
"""

from collections import defaultdict
from collections.abc import Iterable

from siltstone.store import ChunkId, PackName, Store, StoreError


def read_chunks(store: Store, chunks: Iterable[ChunkId]) -> dict[ChunkId, bytes]:
    """The chunks that can be read. From any thread."""
    packs: dict[PackName, dict[int, list[tuple[int, ChunkId]]]] = defaultdict(dict)
    for chunk in chunks:
        if (place := store.find(chunk)) is not None:
            packs[place.pack].setdefault(place.frame, []).append((place.slot, chunk))
    found: dict[ChunkId, bytes] = {}
    for pack, frames in packs.items():
        try:
            infos = store.footer(pack).frames
            for number, plain in store.read_frames(pack, sorted(number for number in frames if number < len(infos))):
                info = infos[number]
                for slot, chunk in frames[number]:
                    if slot < len(info.ids) and info.ids[slot] == chunk:
                        start = info.starts[slot]
                        found[chunk] = bytes(plain[start : start + info.lengths[slot]])
        except StoreError:
            continue
    return found
