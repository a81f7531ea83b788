"""The worked example of docs/format.md: a small store without encryption, every byte of two of its objects explained.

    python -m tests.store.format_example        prints both dumps, as they stand in the page

Rule: the bytes are what the program writes, with counted bytes in the place of random ones; what they mean is said here
by hand, field by field, and the fields must fill the object exactly.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from unittest.mock import patch

from siltstone.store import Store
from siltstone.store import keyring as keyring_module

from .backends import MemoryBackend

CHUNKS = (b"first grain", b"second grain")
Field = tuple[int | None, str]  # bytes (None: what the others leave), and what they are

PACK: Sequence[Field] = (
    (8, 'magic "SILTPK1\\n"'),
    (12, "frame 0: nonce (a counter where there is encryption)"),
    (11, "  chunk 0"),
    (12, "  chunk 1"),
    (16, "  tag"),
    (16, "key slot 0: session id"),
    (2, "  length of the sealed data key: 0, no encryption"),
    (12, "footer: nonce"),
    (4, "  frames: 1"),
    (4, "  frame 0: offset 8"),
    (4, "    stored length 51 = 12 + 23 + 16"),
    (4, "    plain length 23"),
    (4, "    chunks: 2"),
    (2, "    key slot 0"),
    (1, "    codec 0: not compressed"),
    (1, "    always 0"),
    (32, "  chunk 0: id"),
    (4, "    length 11"),
    (32, "  chunk 1: id"),
    (4, "    length 12"),
    (16, "  tag"),
    (4, "tail: length of the key slots, 18"),
    (4, "  length of the footer, 124"),
    (2, "  key slots: 1"),
    (2, "  format 1"),
    (8, '  magic "\\nTLISKP1"'),
)
SEGMENT: Sequence[Field] = (
    (8, 'magic "SILTIX1\\n"'),
    (32, "salt"),
    (8, "entries: 2"),
    (4, "packs: 1"),
    (4, "stored length of the head"),
    (4, "  of the fences, 24"),
    (4, "  of the pack table, 48"),
    (4, "  of the filter, 18"),
    (24, "block 0: entry 0: first 24 bytes of the chunk id"),
    (4, "    pack number 0 (big-endian, as all of an entry)"),
    (2, "    frame 0"),
    (2, "    slot: which chunk of the frame"),
    (24, "  entry 1: first 24 bytes of the chunk id"),
    (4, "    pack number 0"),
    (2, "    frame 0"),
    (2, "    slot"),
    (16, "  tag"),
    (None, "head: msgpack {replaces: [], session: its id}"),
    (16, "  tag"),
    (8, "fences: first 8 bytes of block 0"),
    (16, "  tag"),
    (32, "pack table: name of pack 0"),
    (16, "  tag"),
    (2, "filter: 16 bits, of which each entry sets four or fewer"),
    (16, "  tag"),
)


def example() -> MemoryBackend:
    """The store: one pack of one frame of two chunks, its index segment, and a root."""
    numbers, backend = itertools.count(0xA0), MemoryBackend()

    def counted(size: int) -> bytes:
        return bytes([next(numbers)]) * size

    with patch.object(os, "urandom", counted), patch.object(keyring_module, "urandom", counted):
        store = Store.init(backend, [], compression="none")
        with store.writer() as writer:
            ids = writer.store_run(memoryview(b"".join(CHUNKS)), [11, 23])
            writer.commit("backups/example/0/0", {"chunks": ids})
    return backend


def dump(data: bytes, fields: Sequence[Field]) -> str:
    """Offset, bytes and meaning; at most 16 bytes a line, and each field begins a line."""
    rest = len(data) - sum(size or 0 for size, _ in fields)
    sizes = [rest if size is None else size for size, _ in fields]
    assert min(sizes) > 0
    assert sum(sizes) == len(data)
    starts = itertools.accumulate(sizes, initial=0)
    return "\n".join(line for start, size, (_, said) in zip(starts, sizes, fields, strict=False)
                     for line in _lines(data, start, size, said))  # fmt: skip


def _lines(data: bytes, start: int, size: int, said: str) -> Iterator[str]:
    for at in range(start, start + size, 16):
        row = data[at : min(at + 16, start + size)].hex(" ")
        yield f"{at:04x}  {row:47}  {said if at == start else ''}".rstrip()


def dumps() -> dict[str, str]:
    """Object name -> its dump: the pack's, then the segment's."""
    objects = example().objects
    (pack,) = [name for name in objects if name.startswith("packs/")]
    (segment,) = [name for name in objects if name.startswith("index/")]
    return {pack: dump(objects[pack], PACK), segment: dump(objects[segment], SEGMENT)}


if __name__ == "__main__":
    for name, text in dumps().items():
        os.write(1, f"{name}\n\n{text}\n\n".encode())
