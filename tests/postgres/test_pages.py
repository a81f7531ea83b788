"""Pages: checksums as the server's own program computes them, damage found, changes found; both twins the same."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct

from siltstone.engine.postgres import pages_plain
from siltstone.engine.postgres.grid import DIGEST, PAGE
from siltstone.engine.postgres.page_digest import changed_pages
from siltstone.engine.postgres.pages import SEGMENT_BLOCKS, Digester, judge, page_lsn

from .installations import no_groups, user
from .servers import Server, Templates

LATEST = (1 << 64) - 1
RANDOM = random.Random(5)


class Stopped(Struct):
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
            assert (found.bad, found.renewed) == ([], []), path
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
        assert judge(bad, 0, LATEST).bad == blocks
        assert [block for block in range(len(sound) // PAGE) if f", block {block}:" in said] == blocks

    def test_a_block_in_another_place_is_bad(self, stopped: Stopped) -> None:
        data = stopped.largest().read_bytes()[: 20 * PAGE]
        assert len(judge(data, 1, LATEST).bad) == 20
        assert judge(data[5 * PAGE :], 5, LATEST).bad == []
        moved = data[: 3 * PAGE] + data[4 * PAGE : 5 * PAGE] + data[4 * PAGE :]
        assert judge(moved, 0, LATEST).bad == [3]

    def test_the_number_of_a_block_counts_through_the_segments(self, stopped: Stopped) -> None:
        """As in a second file of a relation: its pages bear checksums of higher numbers."""
        data = bytearray(stopped.largest().read_bytes()[: 4 * PAGE])
        for number, each in enumerate(pages_plain.checksums(data, SEGMENT_BLOCKS).tolist()):
            data[number * PAGE + 8 : number * PAGE + 10] = each.to_bytes(2, "little")
        assert judge(data, SEGMENT_BLOCKS, LATEST).bad == []
        assert len(judge(data, 0, LATEST).bad) == 4

    def test_lsns_are_those_of_the_server(self, stopped: Stopped) -> None:
        data = stopped.largest().read_bytes()
        texts = [data[at : at + 8] for at in range(0, len(data), PAGE)]
        lsns = [int.from_bytes(text[:4], "little") << 32 | int.from_bytes(text[4:], "little") for text in texts]
        assert [page_lsn(data, number) for number in range(len(texts))] == lsns
        assert max(lsns) > 0x100000


class TestJudging:
    @pytest.fixture
    def data(self, stopped: Stopped) -> bytearray:
        return bytearray(stopped.largest().read_bytes()[: 8 * PAGE])

    def test_new_pages_are_no_damage(self, data: bytearray) -> None:
        data[2 * PAGE : 4 * PAGE] = bytes(2 * PAGE)
        found = judge(data, 0, LATEST)
        assert (found.bad, found.new) == ([], [2, 3])

    @pytest.mark.parametrize("checksummed", [True, False])
    def test_a_new_page_with_something_in_it_is(self, data: bytearray, checksummed: bool) -> None:
        data[2 * PAGE : 4 * PAGE] = bytes(2 * PAGE)
        data[4 * PAGE - 1] = 1
        found = judge(data, 0, LATEST, checksummed=checksummed)
        assert (found.bad, found.new) == ([3], [2])

    def test_what_the_wal_replays_is_no_damage(self, data: bytearray) -> None:
        start = page_lsn(data, 5)
        data[5 * PAGE + 5000 :] = bytes(len(data) - 5 * PAGE - 5000)
        found = judge(data, 0, start)
        assert 5 in found.renewed
        assert judge(data, 0, start + 1).bad[:1] == [5]
        assert (found.new, sorted([*found.bad, *found.renewed])) == ([6, 7], [5])

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
        assert judge(data, 0, LATEST, checksummed=False).bad == []
        data[6 * PAGE + at : 6 * PAGE + at + 2] = value
        assert judge(data, 0, LATEST, checksummed=False).bad == [6]

    def test_no_pages(self) -> None:
        assert len(judge(b"", 0, LATEST).bad) == 0


class TestDigests:
    def test_every_changed_bit_is_seen(self) -> None:
        digester = Digester(bytes(range(32)))
        data = bytearray(RANDOM.randbytes(64 * PAGE))
        old = digester.digests(data)
        assert changed_pages(old, digester.digests(data)) == []
        for _ in range(300):
            at, bit = RANDOM.randrange(len(data)), 1 << RANDOM.randrange(8)
            data[at] ^= bit
            assert changed_pages(old, digester.digests(data)) == [at // PAGE]
            data[at] ^= bit

    def test_words_that_change_places_are_seen(self) -> None:
        digester = Digester(bytes(32))
        data = bytearray(RANDOM.randbytes(PAGE))
        old = digester.digests(data)
        for first, second in ((0, 4), (0, PAGE // 2), (100, 104), (4, 8188)):
            other = bytearray(data)
            other[first : first + 4], other[second : second + 4] = data[second : second + 4], data[first : first + 4]
            assert changed_pages(old, digester.digests(other)) == [0]

    def test_pages_with_the_same_content_have_the_same(self) -> None:
        digester = Digester(bytes(32))
        page = RANDOM.randbytes(PAGE)
        found = digester.digests(page * 5)
        assert found == found[:DIGEST] * 5

    def test_another_secret_makes_others(self) -> None:
        data = RANDOM.randbytes(8 * PAGE) + bytes(PAGE)
        old, new = (Digester(secret).digests(data) for secret in (bytes(32), bytes(31) + b"\1"))
        assert len(changed_pages(old, new)) == 9

    def test_what_was_added_changed(self) -> None:
        digester = Digester(bytes(32))
        data = RANDOM.randbytes(8 * PAGE)
        old = digester.digests(data[: 6 * PAGE])
        assert changed_pages(old, digester.digests(data)) == [6, 7]
        assert changed_pages(digester.digests(data), old) == []
        assert changed_pages(b"", old) == list(range(6))

    def test_they_stay_what_they_are(self) -> None:
        """Digests are stored: another result for the same page would make every page look changed."""
        pages = bytes(PAGE) + bytes(range(256)) * 32
        digests = Digester(b"siltstone".ljust(32, b".")).digests(pages)
        assert np.frombuffer(digests, "<u8").tolist() == GOLDEN


GOLDEN = [12529202075537795656, 13999417262532652999]
