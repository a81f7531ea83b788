"""The spool, filled from a real archive: what follows is laid ready, the last segment twice, what is beyond noted."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siltstone.cli.wal_quick import archive_state, is_beyond
from siltstone.engine.postgres import spool as filled
from siltstone.engine.postgres.archive import archive_files
from siltstone.engine.postgres.incoming import incoming_bytes
from siltstone.engine.postgres.lsn import format_lsn
from siltstone.engine.postgres.spool import BEYOND, IDLE, fill_spool
from siltstone.engine.postgres.wal_names import WalSegment, parse_segment
from siltstone.store import Backend, Store
from siltstone.store.directory import DirectoryBackend
from tests.backed_up import new_store, reopened

from .archiving import until
from .wal_making import SIZE, MadeWal

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("version", [18])]
STATE = ["7 wal", "8 wal/1"]


class Archived:
    """An archive of the first segments, and a spool."""

    def __init__(self, made: MadeWal, folder: Path, count: int, backend: Backend | None = None) -> None:
        self.made, self.spool, self.store = made, folder, new_store(backend)
        self.names = sorted(made.segments)
        self.add(*self.names[:count])

    def add(self, *names: str) -> None:
        files = [incoming_bytes(name, self.made.segments[name]) for name in names]
        assert all(each.error is None for each in archive_files(self.store, self.made.system_identifier, files))

    @contextmanager
    def filling(self, state: Callable[[], list[str] | None] = lambda: STATE) -> Iterator[threading.Thread]:
        """What follows the first segment is laid ready meanwhile."""
        opened: Store = reopened(self.store.backend)
        arguments = (opened, self.made.system_identifier, self.names[0], self.spool, state)
        thread = threading.Thread(target=fill_spool, args=arguments)
        thread.start()
        try:
            yield thread
        finally:
            thread.join(60)
            assert not thread.is_alive()
        assert not {BEYOND, IDLE} & set(self.there())

    def there(self) -> list[str]:
        return sorted(path.name for path in self.spool.iterdir())

    def laid(self) -> list[str]:
        return [name for name in self.there() if not name.startswith(".")]

    def beyond(self) -> list[str]:
        """What is noted, without the first line."""
        try:
            return (self.spool / BEYOND).read_text().splitlines()[1:]
        except FileNotFoundError:
            return []

    def following(self, name: str) -> list[str]:
        number = parse_segment(name, SIZE).number
        return [WalSegment(1, number + more).name(SIZE) for more in (1, 2)]


@pytest.fixture
def archived(made: MadeWal, tmp_path: Path) -> Archived:
    return Archived(made, tmp_path, 4)


def test_at_the_end(archived: Archived) -> None:
    names = archived.names
    with archived.filling() as thread:
        until(lambda: IDLE in archived.there(), "it does not come to the end")
        assert archived.laid() == names[1:4]
        assert archived.beyond() == [*STATE, *archived.following(names[3]), "00000002.history", "00000001.history"]
        for _ in range(2):
            (archived.spool / names[3]).unlink()
            until(lambda: names[3] in archived.there(), "the last one does not come again")
            assert (archived.spool / names[3]).read_bytes() == archived.made.segments[names[3]]
        archived.add(names[4])
        until(lambda: names[4] in archived.there(), "what was archived since does not come")
        expected = archived.following(names[4])
        until(lambda: archived.beyond()[2:4] == expected, "what is beyond now is not noted")
        assert thread.is_alive()
    assert archived.laid() == names[1:5], "only what was laid a second time goes"


def test_silt_wal_believes_the_note(made: MadeWal, tmp_path: Path) -> None:
    """Until the archive changes: what is written here is what `silt wal fetch` reads (tests/cli/test_wal_beyond.py)."""
    place, spool = tmp_path / "store", tmp_path / "spool"
    spool.mkdir()
    archived = Archived(made, spool, 4, DirectoryBackend(place, create=True))
    wal = place / "wal" / str(made.system_identifier)
    for folder in (wal, wal / "00000001"):
        os.utime(folder, (1, time.time() - 3))
    absent = [*archived.following(archived.names[3]), "00000002.history", "00000001.history"]
    with archived.filling(lambda: archive_state(str(place), made.system_identifier)):
        until(lambda: IDLE in archived.there(), "it does not come to the end")
        assert all(is_beyond(str(spool), name, str(place)) for name in absent)
        assert not any(is_beyond(str(spool), name, str(place)) for name in archived.names[:4])
        archived.add(archived.names[4])
        assert not any(is_beyond(str(spool), name, str(place)) for name in absent)


def test_it_gives_up(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "PATIENCE", 0.3)
    with archived.filling():
        until(lambda: IDLE in archived.there(), "it does not come to the end")
        (archived.spool / archived.names[3]).unlink()
    assert archived.laid() == archived.names[1:3]


def test_a_note_counts_for_two_seconds(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "PATIENCE", 0.1)
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with archived.filling():
        until(lambda: IDLE in archived.there(), "it does not come to the end")
        noted = int((archived.spool / BEYOND).read_text().splitlines()[0])
        assert before < noted - 2_000_000_000 < time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_nothing_is_noted_while_the_archive_changes(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "PATIENCE", 0.5)
    with archived.filling(lambda: None):
        until(lambda: IDLE in archived.there(), "it does not come to the end")
        assert BEYOND not in archived.there()


def test_where_another_timeline_goes_on_it_ends_at_once(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "PATIENCE", 1e6)
    left = format_lsn(parse_segment(archived.names[3], SIZE).start(SIZE) + 4000)
    history = incoming_bytes("00000002.history", f"1\t{left}\tfor a test\n".encode())
    (outcome,) = archive_files(archived.store, archived.made.system_identifier, [history])
    assert outcome.error is None
    with archived.filling():
        pass
    assert archived.laid() == archived.names[1:4]
