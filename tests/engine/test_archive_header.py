"""Headers of usual members, made in one go, are those that are made piece by piece; in C as in Python."""

import random
import stat

from siltstone.engine.archive_header import member_header, row_member, usual_header, usual_member
from siltstone.engine.entry import DIFFERENCE, HEAD, MAX_PIECE, Entry, Extent, extra, make_row, pack_extents
from siltstone.store import ChunkId

NAMES = (
    b"/a",
    b"/folder/file",
    b"/",
    b"/" + b"n" * 99,
    b"/" + b"n" * 100,
    b"/" + b"n" * 101,
    "/über".encode(),
    b"/\xff",
)
TIMES = (0, -1, 999_999_999_999_999_999, 10**18, 1_795_904_379_269_018_203, 1_795_904_379_250_000_000, 8**11 * 10**9)
NUMBERS = (0, 1, 1000, 8**7 - 1, 8**7, 2**32 - 1)
SIZES = (0, 1, 10**6, 8**11 - 1, 8**11)
OWNERS = (b"", b"root", "jürgen".encode(), b"o" * 31, b"o" * 32)


def test_both_ways_give_the_same_bytes() -> None:
    chance, quick = random.Random(5), 0
    for _ in range(5000):
        folder = chance.random() < 0.3
        mode = (stat.S_IFDIR if folder else stat.S_IFREG) | chance.randrange(0o10000)
        path, mtime = chance.choice(NAMES), chance.choice((*TIMES, chance.randrange(10**18, 4 * 10**18)))
        uid, gid, size = chance.choice(NUMBERS), chance.choice(NUMBERS), 0 if folder else chance.choice(SIZES)
        owner, group = chance.choice(OWNERS), chance.choice(OWNERS)
        entry = Entry(path, mode, uid, gid, 1, size, mtime, 0, 0, 0)
        usual = usual_header(path, mode, uid, gid, size, mtime, owner, group)
        assert usual in (None, member_header(entry, size, link=None, owner=owner, group=group))
        quick += usual is not None
    assert quick > 100


def random_row(chance: random.Random) -> bytes:
    kind = chance.choices((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), (6, 3, 1))[0]
    numbers = [chance.choice(NUMBERS) if chance.random() < 0.2 else chance.randrange(3) for _ in range(2)]
    mtime = chance.choice((*TIMES[:-1], *(chance.randrange(10**18, 4 * 10**18) for _ in TIMES)))
    extents = []
    for _ in range(chance.choice((0, 1, 1, 3)) if kind == stat.S_IFREG else 0):
        chunk = None if chance.random() < 0.05 else ChunkId(chance.randbytes(32))
        offset = DIFFERENCE if chance.random() < 0.05 else chance.randrange(DIFFERENCE)
        extents.append(Extent(chunk, offset, chance.choice((1, 511, 512, MAX_PIECE, chance.randrange(10**6)))))
    head = HEAD.pack(kind | chance.randrange(0o10000), *numbers, 1, chance.randrange(10**6), mtime, mtime, 7, 0)
    more = extra(flags=1) if chance.random() < 0.05 else b""
    return make_row(chance.choice(NAMES), head, pack_extents(extents), more)


def test_rows_in_c_and_in_python_give_the_same() -> None:
    chance, quick = random.Random(7), 0
    for _ in range(8000):
        row, before = random_row(chance), chance.choice((0, 1, 511))
        owners, groups = ({number: chance.choice(OWNERS) for number in range(2)} for _ in range(2))
        made = row_member(row, owners, groups, before)
        assert usual_member(row, owners, groups, before) == made
        quick += made is not None
    assert quick > 1000


def test_what_is_no_row_is_nothing_usual() -> None:
    row = make_row(b"/a", HEAD.pack(stat.S_IFREG | 0o644, 0, 0, 1, 0, 10**18, 0, 0, 0), bytes(40))
    for broken in (b"", row[:20], row[:-1], row + b"x"):
        if usual_member is not row_member:  # a twin in Python raises for what is too short, as parse_row does
            assert usual_member(broken, {}, {}, 0) is None
