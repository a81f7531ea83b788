"""All that a golden store says, as plain JSON: what `make.py` writes down once, and the test reads again ever after.

Rule: chunks are taken from the packs by their footers, and found by the index; files are put together from the extents
of their entries. Bytes are hex, and long ones a checksum.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict

from siltstone.engine import Entry, entries, extents_of, list_levels
from siltstone.engine.levels import to_root
from siltstone.store import PackList, Place, Store, list_packs, listed_packs, verified_notes
from siltstone.store.lease import leases


def describe(store: Store) -> dict[str, Any]:
    """Everything in the store. Raises what reading raises."""
    packs = PackList(listed_packs(store.backend))
    notes = verified_notes(store.opened, packs)
    notes.load()
    levels, held = list_levels(store), leases(store.backend, lease_key(store))
    found = {
        "config": asdict(store.config),
        "chunks": dict(chunks(store)),
        "levels": {level.name: to_root(level) for level in levels},
        "entries": {level.name: [entry_of(store, entry) for entry in entries(store, level)] for level in levels},
        "leases": [[lease.name, lease.session, lease.started_ns, lease.renewed_ns, lease.generation] for lease in held],
        "verified": {name: notes.times[number] for number, name in enumerate(packs.names)},
    }
    plain: dict[str, Any] = as_json(found)
    return plain


def lease_key(store: Store) -> bytes:
    return store.ring.derive("lease") if store.config.encrypted else b""


def chunks(store: Store) -> Iterator[tuple[str, list[object]]]:
    """(id, [pack, frame, slot, length, checksum]) of every chunk."""
    for pack in sorted(list_packs(store.opened)):
        footer = store.footer(pack)
        for number, plain in store.read_frames(pack, range(len(footer.frames))):
            frame = footer.frames[number]
            for slot, (chunk, start, length) in enumerate(zip(frame.ids, frame.starts, frame.lengths, strict=True)):
                assert store.index.find(chunk) == Place(pack, number, slot)
                yield chunk.hex(), [pack, number, slot, length, checksum(plain[start : start + length])]


def entry_of(store: Store, entry: Entry) -> dict[str, Any]:
    """An entry, with the checksum of its content in the place of its extents."""
    row = asdict(entry)
    del row["cells"]  # of database files, which these stores do not hold
    row["extents"] = len(entry.extents)
    row["content"] = checksum(content(store, entry))
    return row


def content(store: Store, entry: Entry) -> bytes:
    parts = []
    for extent in extents_of(store, entry):
        chunk = bytes(extent.offset + extent.length) if extent.id is None else store.read_chunk(extent.id)
        parts.append(chunk[extent.offset : extent.offset + extent.length])
    return b"".join(parts)


def checksum(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def as_json(value: Any) -> Any:
    """What JSON gives back for it: keys are text, tuples are lists, and bytes are hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {key.hex() if isinstance(key, bytes) else str(key): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
    return value
