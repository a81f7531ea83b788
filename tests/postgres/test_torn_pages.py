"""Pages that are wrong when they are read: torn ones are read again, and only what stays wrong is called damaged."""

import os
import random
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from siltstone.engine import entries, parse_deployment
from siltstone.engine.entry import unpack_extents
from siltstone.engine.postgres.cell_store import CellStore, Piece
from siltstone.engine.postgres.gather import Gatherer, StillBad
from siltstone.engine.postgres.grid import CELL, PAGE
from siltstone.engine.postgres.pages_plain import checksums
from tests.backed_up import new_store
from tests.backing_up import content_of

from .clusters import Backups
from .servers import Templates

START = 1 << 32


def relation(count: int, *, lsn: int) -> bytearray:
    """Sound pages whose last change was at this LSN."""
    rng, made = random.Random(count + lsn), bytearray()
    for block in range(count):
        head = struct.pack("<IIHHHHHHI", lsn >> 32, lsn & 0xFFFFFFFF, 0, 0, 24, 100, PAGE, PAGE | 4, 0)
        page = bytearray(head + rng.randbytes(PAGE - len(head)))
        struct.pack_into("<H", page, 8, int(checksums(page, block)[0]))
        made += page
    return made


def torn(pages: bytearray, number: int) -> bytearray:
    """The second half of a page is not of the same time."""
    copy = bytearray(pages)
    at = number * PAGE + PAGE // 2
    copy[at : at + PAGE // 2] = bytes(PAGE // 2)
    return copy


def stored(read: bytearray, now: bytearray | None) -> tuple[list[int], bytes]:
    """Which blocks are damaged when `read` came first and `now` is there, and what was stored."""
    store = new_store()

    def again(block: int) -> bytes | None:
        return None if now is None else bytes(now[block * PAGE : (block + 1) * PAGE])

    with store.writer() as writer:
        cells = CellStore(writer, store.ring.id_key, checksummed=True)
        cells.start_lsn = START
        (piece,) = cells.store(memoryview(read), [Piece(0, len(read), 0, [None] * (len(read) // CELL), again)])
        writer.flush()
    chunks = [extent.id for extent in unpack_extents(piece.extents) if extent.id is not None]
    return piece.bad, b"".join(map(store.read_chunk, chunks))


class TestReadAgain:
    def test_what_is_right_by_then_is_stored(self) -> None:
        now = relation(32, lsn=START - 1)
        assert stored(torn(now, 19), now) == ([], bytes(now))

    def test_what_was_changed_since_the_start_comes_from_the_wal(self) -> None:
        old, new = relation(16, lsn=START - 1), relation(16, lsn=START + 1)
        bad, content = stored(torn(old, 3), new)
        assert bad == []
        assert content[3 * PAGE : 4 * PAGE] == new[3 * PAGE : 4 * PAGE]

    def test_what_stays_wrong_is_damaged_and_kept(self) -> None:
        read = torn(torn(relation(32, lsn=START - 1), 19), 3)
        assert stored(bytearray(read), read) == ([3, 19], bytes(read))

    def test_what_is_gone_is_no_damage(self) -> None:
        read = torn(relation(16, lsn=START - 1), 3)
        assert stored(bytearray(read), None) == ([], bytes(read))


@pytest.mark.parametrize("version", [15])
def test_a_page_torn_while_a_real_cluster_is_read(
    backups: Backups, servers: Templates, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backups.mode == "local"
    ((name,),) = backups.server.sql("SELECT pg_relation_filepath('changing')")
    path = backups.server.data / str(name)
    real, tearing = os.preadv, threading.Event()

    def tear(fd: int, buffers: Sequence[memoryview], at: int) -> int:
        count = real(fd, buffers, at)
        if os.readlink(f"/proc/self/fd/{fd}") == str(path) and at == 0:
            buffers[0][3 * PAGE + 5000 : 3 * PAGE + 6000] = bytes(1000)
            tearing.set()
        return count

    monkeypatch.setattr(os, "preadv", tear)
    level = backups.level()
    assert tearing.is_set()
    assert backups.warned == []
    (entry,) = (each for each in entries(backups.store, level) if os.fsdecode(each.path) == str(path))
    assert content_of(backups.store, entry) == path.read_bytes()


@pytest.mark.parametrize("version", [18])
class TestOverTheWire:
    """A page that is torn on the disk while it is sent, and mended or not before it is read again."""

    @staticmethod
    def torn_page(backups: Backups) -> tuple[Path, bytes]:
        """The file of a table of which a page is torn now, and what it was."""
        assert backups.mode == "wire"
        ((name,),) = backups.server.sql("SELECT pg_relation_filepath('changing')")
        path = backups.server.data / str(name)
        sound = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(3 * PAGE + 5000)
            file.write(bytes(1000))
        return path, sound

    def test_what_is_sound_by_then_is_no_damage(
        self, backups: Backups, version: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, sound = self.torn_page(backups)
        tell = Gatherer.tell_damage

        def mend(gatherer: Gatherer, still_bad: StillBad) -> None:
            path.write_bytes(sound)
            tell(gatherer, still_bad)

        monkeypatch.setattr(Gatherer, "tell_damage", mend)
        backups.level()
        assert backups.warned == []

    def test_what_stays_wrong_is_damaged(self, backups: Backups, version: int) -> None:
        path, _ = self.torn_page(backups)
        backups.level()
        (warned,) = backups.warned
        assert (warned.path, warned.message) == (str(path), "damaged on the server: page of block 3")

    def test_who_may_not_read_files_cannot_tell(self, backups: Backups, version: int) -> None:
        self.torn_page(backups)
        backups.server.sql(
            "CREATE ROLE plain LOGIN REPLICATION PASSWORD 'plain'", "GRANT pg_read_all_settings TO plain"
        )
        backups.deployment = parse_deployment(
            f'name = "x"\n[postgres]\ndsn = "{backups.server.dsn("plain", password="plain")}"\nmode = "wire"\n'
        )
        backups.level()
        (warned,) = backups.warned
        assert "damaged on the server, or it was writing there" in warned.message
