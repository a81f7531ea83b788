"""Overlays: a file put together from a base level and what a server sent, held against a plain model."""

import random
import struct
from collections.abc import Iterator

import pytest

from siltstone.engine.postgres.cells import OldCell
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.grid import CELL, PAGE, PAGES
from siltstone.engine.postgres.overlay import Overlay, OverlayLost, whole_name
from siltstone.store import ChunkId


class Base:
    """A file of the base level whose cells are numbered; `readable` of them can be told."""

    def __init__(self, content: bytes, readable: int = 1 << 30) -> None:
        self.content_, self.size, self.readable = content, len(content), readable
        self.read: list[int] = []

    def cells(self) -> Iterator[OldCell | None]:
        for number, at in enumerate(range(0, self.size, CELL)):
            if number == self.readable:
                return
            pages = min(CELL, self.size - at) // PAGE
            yield OldCell(ChunkId(number.to_bytes(32, "big")), bytes(8 * pages), b"")

    def content(self, cell: OldCell) -> bytes:
        number = int.from_bytes(cell.id, "big")
        self.read.append(number)
        return self.content_[number * CELL : (number + 1) * CELL]


class Made:
    """What came out: the content, and which cells were kept."""

    def __init__(self, base: Base) -> None:
        self.base, self.content, self.kept = base, b"", list[int]()
        self.size = -1

    def begin(self, size: int) -> None:
        self.size = size

    def keep_cell(self, old: OldCell) -> None:
        number = int.from_bytes(old.id, "big")
        assert len(self.content) == number * CELL
        self.kept.append(number)
        self.content += self.base.content_[number * CELL : (number + 1) * CELL]

    def put_cell(self, data: memoryview, old: OldCell | None) -> None:
        assert old is None or len(self.content) == int.from_bytes(old.id, "big") * CELL
        self.content += data


def sent(blocks: dict[int, bytes], length: int) -> bytes:
    """As PostgreSQL writes it."""
    head = struct.pack(f"=III{len(blocks)}I", 0xD3AE1F0D, len(blocks), length, *sorted(blocks))
    if blocks:
        head = head.ljust(-(-len(head) // PAGE) * PAGE, b"\0")
    return head + b"".join(blocks[number] for number in sorted(blocks))


def model(base: bytes, blocks: dict[int, bytes], length: int) -> bytes:
    """Block by block, as pg_combinebackup does."""
    count = max(length, *(number + 1 for number in blocks), 0)
    result = b""
    for number in range(count):
        old = base[number * PAGE : (number + 1) * PAGE] if number < length else b""
        result += blocks.get(number, old or bytes(PAGE))
    return result


def overlaid(base: Base, data: bytes, rng: random.Random) -> Made:
    made = Made(base)
    overlay = Overlay("INCREMENTAL.1", base, made, made.begin)
    view = memoryview(data)
    while view:
        step = rng.choice([1, 7, 4000, 32768])
        overlay.feed(view[:step])
        view = view[step:]
    overlay.finish()
    return made


@pytest.mark.parametrize("seed", range(60))
def test_it_is_what_the_model_says(seed: int) -> None:
    rng = random.Random(seed)
    base = Base(rng.randbytes(rng.randrange(60) * PAGE))
    now = max(0, base.size // PAGE + rng.randrange(-20, 40))
    length = rng.choice([now, now, rng.randrange(now + 1)])
    blocks = {number: rng.randbytes(PAGE) for number in rng.sample(range(now), rng.randrange(min(now, 12) + 1))}
    made = overlaid(base, sent(blocks, length), rng)
    expected = model(base.content_, blocks, length)
    assert made.content == expected
    assert made.size == len(expected)
    untouched = set(range(length // PAGES)) - {number // PAGES for number in blocks}
    whole = {number for number in untouched if (number + 1) * CELL <= base.size}
    assert whole <= set(made.kept), "what nothing touched is not read"
    assert not whole & set(base.read)


def test_what_the_base_level_cannot_give_is_an_error() -> None:
    rng = random.Random(1)
    base = Base(rng.randbytes(64 * PAGE), readable=2)
    assert overlaid(base, sent({}, 32), rng).content == base.content_[: 32 * PAGE]
    with pytest.raises(OverlayLost):
        overlaid(base, sent({}, 64), rng)
    with pytest.raises(OverlayLost):
        overlaid(base, sent({40: bytes(PAGE)}, 64), rng)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (struct.pack("=III", 0xD3AE1F0C, 0, 1), "which is no incremental file"),
        (struct.pack("=III", 0xD3AE1F0D, 0, 1)[:-1], "it breaks off"),
        (sent({3: bytes(PAGE)}, 9)[:-1], "it breaks off"),
        (sent({3: bytes(PAGE)}, 9) + bytes(PAGE), "longer than its head says"),
        (struct.pack("=IIIII", 0xD3AE1F0D, 2, 1, 5, 5).ljust(PAGE, b"\0") + bytes(2 * PAGE), "not in order"),
    ],
)
def test_what_is_no_such_file_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        overlaid(Base(bytes(10 * PAGE)), data, random.Random(2))


def test_names() -> None:
    assert whole_name(b"base/5/INCREMENTAL.16384_vm") == b"base/5/16384_vm"
    assert whole_name(b"pg_tblspc/9/PG_18_1/5/INCREMENTAL.16384.1") == b"pg_tblspc/9/PG_18_1/5/16384.1"
    assert whole_name(b"base/5/16384") is None
    assert whole_name(b"INCREMENTAL.backup_label") is None
