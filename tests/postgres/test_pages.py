"""Pages: checksums as the server's own program computes them, damage found, changes found; both twins the same."""

import os
import random
import subprocess
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from siltstone.engine.postgres import pages_plain
from siltstone.engine.postgres.page_digest import KEY_BYTES
from siltstone.engine.postgres.pages import (
    PAGE,
    SEGMENT_BLOCKS,
    Digester,
    changed_pages,
    checksums,
    judge,
    page_lsns,
)

from .installations import no_groups, user
from .servers import Server, Templates

compiled: ModuleType | None
try:
    from siltstone.engine.postgres import _pages as compiled
except ImportError:
    compiled = None

needs_both = pytest.mark.skipif(compiled is None, reason="the C module was not built")
each_twin = pytest.mark.parametrize("twin", [pages_plain, pytest.param(compiled, marks=needs_both)], ids=["plain", "C"])

LATEST = (1 << 64) - 1
RANDOM = random.Random(5)


@dataclass
class Stopped:
    """A cluster that was stopped cleanly: its server, and the files of its relations, the main forks and others."""

    server: Server
    files: list[Path]

    def largest(self) -> Path:
        return max(self.files, key=lambda path: path.stat().st_size)


@pytest.fixture(scope="module")
def stopped(servers: Templates) -> Iterator[Stopped]:
    with servers.server(15) as server:
        server.start()
        server.sql(
            "CREATE TABLE rows AS SELECT n, repeat(md5(n::text), 4) AS text FROM generate_series(1, 30000) n",
            "CREATE INDEX ON rows (n)",
            "DELETE FROM rows WHERE n % 3 = 0",
            "VACUUM rows",
            "UPDATE rows SET n = n WHERE n % 7 = 1",
        )
        server.stop()
        found = [*server.data.glob("base/*/*"), *server.data.glob("global/*")]
        names = [path for path in found if path.name.split("_")[0].isdigit() and path.stat().st_size]
        yield Stopped(server, names)


def pg_checksums(server: Server) -> str:
    """What pg_checksums says of a stopped cluster; empty when all is well."""
    program = server.programs.tool("pg_checksums")
    assert program is not None
    command: list[str | Path] = [program, "--check", "-D", server.data]
    done = subprocess.run(command, user=user(), extra_groups=no_groups(), capture_output=True, timeout=60, cwd="/")
    return done.stderr.decode() if done.returncode else ""


class TestRealPages:
    def test_all_are_sound(self, stopped: Stopped) -> None:
        assert pg_checksums(stopped.server) == ""
        pages = 0
        for path in stopped.files:
            found = judge(path.read_bytes(), 0, LATEST)
            assert (found.bad.tolist(), found.renewed.tolist()) == ([], []), path
            pages += path.stat().st_size // PAGE
        assert pages > 1000

    def test_flipped_bits_are_found_where_pg_checksums_finds_them(self, stopped: Stopped) -> None:
        path = stopped.largest()
        sound = path.read_bytes()
        blocks = sorted(RANDOM.sample(range(len(sound) // PAGE), 12))
        bad = bytearray(sound)
        for block in blocks:
            bad[block * PAGE + RANDOM.choice([0, 8, 9, 25, 4000, PAGE - 1])] ^= 1 << RANDOM.randrange(8)
        path.write_bytes(bad)
        try:
            said = pg_checksums(stopped.server)
        finally:
            path.write_bytes(sound)
        assert judge(bad, 0, LATEST).bad.tolist() == blocks
        assert [block for block in range(len(sound) // PAGE) if f", block {block}:" in said] == blocks

    def test_a_block_in_another_place_is_bad(self, stopped: Stopped) -> None:
        data = stopped.largest().read_bytes()[: 20 * PAGE]
        assert len(judge(data, 1, LATEST).bad) == 20
        assert judge(data[5 * PAGE :], 5, LATEST).bad.tolist() == []
        moved = data[: 3 * PAGE] + data[4 * PAGE : 5 * PAGE] + data[4 * PAGE :]
        assert judge(moved, 0, LATEST).bad.tolist() == [3]

    def test_the_number_of_a_block_counts_through_the_segments(self, stopped: Stopped) -> None:
        """As in a second file of a relation: its pages bear checksums of higher numbers."""
        data = bytearray(stopped.largest().read_bytes()[: 4 * PAGE])
        for number, each in enumerate(checksums(data, SEGMENT_BLOCKS).tolist()):
            data[number * PAGE + 8 : number * PAGE + 10] = each.to_bytes(2, "little")
        assert judge(data, SEGMENT_BLOCKS, LATEST).bad.tolist() == []
        assert len(judge(data, 0, LATEST).bad) == 4

    def test_lsns_are_those_of_the_server(self, stopped: Stopped) -> None:
        data = stopped.largest().read_bytes()
        texts = [data[at : at + 8] for at in range(0, len(data), PAGE)]
        lsns = [int.from_bytes(text[:4], "little") << 32 | int.from_bytes(text[4:], "little") for text in texts]
        assert page_lsns(data).tolist() == lsns
        assert max(lsns) > 0x100000


class TestJudging:
    @pytest.fixture
    def data(self, stopped: Stopped) -> bytearray:
        return bytearray(stopped.largest().read_bytes()[: 8 * PAGE])

    def test_new_pages_are_no_damage(self, data: bytearray) -> None:
        data[2 * PAGE : 4 * PAGE] = bytes(2 * PAGE)
        found = judge(data, 0, LATEST)
        assert (found.bad.tolist(), found.new.tolist()) == ([], [2, 3])

    @pytest.mark.parametrize("checksummed", [True, False])
    def test_a_new_page_with_something_in_it_is(self, data: bytearray, checksummed: bool) -> None:
        data[2 * PAGE : 4 * PAGE] = bytes(2 * PAGE)
        data[4 * PAGE - 1] = 1
        found = judge(data, 0, LATEST, checksummed=checksummed)
        assert (found.bad.tolist(), found.new.tolist()) == ([3], [2])

    def test_what_the_wal_replays_is_no_damage(self, data: bytearray) -> None:
        lsns = page_lsns(data)
        start = int(lsns[5])
        data[5 * PAGE + 5000 :] = bytes(len(data) - 5 * PAGE - 5000)
        found = judge(data, 0, start)
        assert 5 in found.renewed
        assert judge(data, 0, start + 1).bad.tolist()[:1] == [5]
        assert (found.new.tolist(), sorted([*found.bad, *found.renewed])) == ([6, 7], [5])

    @pytest.mark.parametrize(
        ("at", "value"),
        [
            (10, b"\xff\xff"),  # flags
            (12, b"\x01\x00"),  # lower: inside the header
            (12, b"\xff\x1f"),  # lower: behind upper
            (14, b"\xff\xff"),  # upper: behind the page
            (16, b"\x01\x20"),  # special: behind the page, and crooked
        ],
    )
    def test_without_checksums_the_header_must_make_sense(self, data: bytearray, at: int, value: bytes) -> None:
        assert judge(data, 0, LATEST, checksummed=False).bad.tolist() == []
        data[6 * PAGE + at : 6 * PAGE + at + 2] = value
        assert judge(data, 0, LATEST, checksummed=False).bad.tolist() == [6]

    def test_no_pages(self) -> None:
        assert len(judge(b"", 0, LATEST).bad) == 0


class TestDigests:
    def test_every_changed_bit_is_seen(self) -> None:
        digester = Digester(bytes(range(32)))
        data = bytearray(RANDOM.randbytes(64 * PAGE))
        old = digester.digests(data)
        assert changed_pages(old, digester.digests(data)).tolist() == []
        for _ in range(300):
            at, bit = RANDOM.randrange(len(data)), 1 << RANDOM.randrange(8)
            data[at] ^= bit
            assert changed_pages(old, digester.digests(data)).tolist() == [at // PAGE]
            data[at] ^= bit

    def test_words_that_change_places_are_seen(self) -> None:
        digester = Digester(bytes(32))
        data = bytearray(RANDOM.randbytes(PAGE))
        old = digester.digests(data)
        for first, second in ((0, 4), (0, PAGE // 2), (100, 104), (4, 8188)):
            other = bytearray(data)
            other[first : first + 4], other[second : second + 4] = data[second : second + 4], data[first : first + 4]
            assert changed_pages(old, digester.digests(other)).tolist() == [0]

    def test_pages_with_the_same_content_have_the_same(self) -> None:
        digester = Digester(bytes(32))
        page = RANDOM.randbytes(PAGE)
        assert len(set(digester.digests(page * 5).tolist())) == 1

    def test_another_secret_makes_others(self) -> None:
        data = RANDOM.randbytes(8 * PAGE) + bytes(PAGE)
        old, new = (Digester(secret).digests(data) for secret in (bytes(32), bytes(31) + b"\1"))
        assert len(changed_pages(old, new)) == 9

    def test_what_was_added_changed(self) -> None:
        digester = Digester(bytes(32))
        data = RANDOM.randbytes(8 * PAGE)
        old = digester.digests(data[: 6 * PAGE])
        assert changed_pages(old, digester.digests(data)).tolist() == [6, 7]
        assert changed_pages(digester.digests(data), old).tolist() == []
        assert changed_pages(old[:0], old).tolist() == list(range(6))

    def test_they_stay_what_they_are(self) -> None:
        """Digests are stored: another result for the same page would make every page look changed."""
        pages = bytes(PAGE) + bytes(range(256)) * 32
        assert Digester(b"siltstone".ljust(32, b".")).digests(pages).tolist() == GOLDEN


GOLDEN = [12529202075537795656, 13999417262532652999]


class TestTwins:
    @each_twin
    def test_checksums_by_the_definition(self, twin: ModuleType) -> None:
        pages = RANDOM.randbytes(3 * PAGE)
        for first in (0, 131071, (1 << 32) - 1):
            out = np.empty(3, np.uint16)
            twin.checksums(pages, first, out)
            each = [defined_checksum(pages[at * PAGE : (at + 1) * PAGE], (first + at) % (1 << 32)) for at in range(3)]
            assert out.tolist() == each

    @each_twin
    def test_digests_by_the_definition(self, twin: ModuleType) -> None:
        pages, key = RANDOM.randbytes(40 * PAGE), RANDOM.randbytes(KEY_BYTES)
        out = bytearray(40 * 8)
        twin.digests(pages, key, out)
        each = [defined_digest(pages[at * PAGE : (at + 1) * PAGE], key) for at in (0, 1, 39)]
        assert np.frombuffer(out, "<u8")[[0, 1, 39]].tolist() == each

    @each_twin
    def test_they_take_what_lies_anywhere(self, twin: ModuleType) -> None:
        data = RANDOM.randbytes(4 * PAGE + 3)
        key = RANDOM.randbytes(KEY_BYTES)
        for pages in (memoryview(data)[3:], bytearray(data[3:]), data[3:]):
            sums, digests = np.empty(4, np.uint16), bytearray(4 * 8)
            twin.checksums(pages, 7, sums)
            twin.digests(pages, key, digests)
            assert sums.tolist() == checksums(data[3:], 7).tolist()
            assert int.from_bytes(digests[:8], "little") == defined_digest(data[3 : PAGE + 3], key)

    @each_twin
    def test_other_lengths_are_refused(self, twin: ModuleType) -> None:
        key = bytes(KEY_BYTES)
        with pytest.raises(ValueError):
            twin.checksums(bytes(PAGE + 1), 0, np.empty(1, np.uint16))
        with pytest.raises(ValueError):
            twin.checksums(bytes(2 * PAGE), 0, np.empty(1, np.uint16))
        with pytest.raises(ValueError):
            twin.digests(bytes(2 * PAGE), key, bytearray(8))
        with pytest.raises(ValueError):
            twin.digests(bytes(PAGE), key[:-4], bytearray(8))

    @needs_both
    def test_they_are_the_same(self) -> None:
        assert compiled is not None
        pages, key = RANDOM.randbytes(100 * PAGE), os.urandom(KEY_BYTES)
        for name, made, extra in (("checksums", np.empty(100, np.uint16), 12345), ("digests", bytearray(800), key)):
            one, other = copy(made), copy(made)
            getattr(compiled, name)(pages, extra, one)
            getattr(pages_plain, name)(pages, extra, other)
            assert bytes(one) == bytes(other)


def defined_checksum(page: bytes, block: int) -> int:
    """checksum_impl.h, word by word."""
    words = [int.from_bytes(page[at : at + 4], "little") for at in range(0, PAGE, 4)]
    words[2] &= 0xFFFF0000
    sums = pages_plain._SEEDS.tolist()
    for row in [words[at : at + 32] for at in range(0, 2048, 32)] + [[0] * 32] * 2:
        mixed = [each ^ word for each, word in zip(sums, row, strict=True)]
        sums = [(each * 16777619 & 0xFFFFFFFF) ^ (each >> 17) for each in mixed]
    result = block
    for each in sums:
        result ^= each
    return int(result) % 65535 + 1


def defined_digest(page: bytes, key: bytes) -> int:
    """What the docstring of pages_plain says, in whole numbers."""
    words = np.frombuffer(page, "<u4").tolist()
    k, c = np.frombuffer(key, "<u4", 4096).tolist(), np.frombuffer(key, "<u8", 10, 16384).tolist()
    limbs = []
    for at in (0, 2048):
        pairs = range(1024)
        left = [(words[i] + k[at + i]) % (1 << 32) for i in pairs]
        right = [(words[i + 1024] + k[at + i + 1024]) % (1 << 32) for i in pairs]
        total = sum(a * b for a, b in zip(left, right, strict=True)) % (1 << 64)
        limbs += [total % (1 << 32), total >> 32]
    halves = [(f[0] + sum(a * b for a, b in zip(f[1:], limbs, strict=True))) % (1 << 64) >> 32 for f in (c[:5], c[5:])]
    return int(halves[0] << 32 | halves[1])
