"""Headers of usual members, made in one go, are those that are made piece by piece."""

import random
import stat

from siltstone.engine.archive_header import member_header, usual_header
from siltstone.engine.entry import Entry

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
