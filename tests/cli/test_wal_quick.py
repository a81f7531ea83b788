"""The quick ways of `silt wal push` and `silt wal fetch`, in Python and in C: the same answers in the same cases."""

import fcntl
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from siltstone.cli import wal_quick
from siltstone.cli.wal_quick import (
    LONGEST_LAYING,
    LONGEST_WAIT,
    WAITED,
    place_of,
)

from .wal_place import HANDED_ON, SEGMENTS, SYSTEM, Place, need_program

Twin = Callable[..., bool]


@pytest.fixture(params=["python", "c"])
def quick(request: pytest.FixtureRequest, place: Place) -> Twin:
    if request.param == "python":
        return place.in_python
    need_program()
    return place.in_c


class TestPush:
    def test_what_was_noted_is_archived(self, place: Place, quick: Twin) -> None:
        place.archived(SEGMENTS[0])
        for path in (f"pg_wal/{SEGMENTS[0]}", str(place.wal / SEGMENTS[0])):
            assert quick("push", path, "--store", str(place.store), "-q")
        assert not quick("push", f"pg_wal/{SEGMENTS[1]}", "--store", str(place.store))

    @pytest.mark.parametrize("what", ["touched", "replaced", "lost", "other object", "other store", "other cluster"])
    def test_a_note_speaks_for_nothing_else(self, place: Place, quick: Twin, what: str) -> None:
        kept = place.archived(SEGMENTS[0])
        file = place.wal / SEGMENTS[0]
        if what == "touched":
            os.utime(file, ns=(1, 1))
        elif what == "replaced":
            file.write_bytes(b"waL")
        elif what == "lost":
            kept.unlink()
        elif what == "other object":
            kept.write_bytes(b"other root")
        elif what == "other store":
            (place.store / "config").write_bytes(bytes(100))
        else:
            (place.data / "global" / "pg_control").write_bytes(bytes(8192))
        assert not quick("push", f"pg_wal/{SEGMENTS[0]}", "--store", str(place.store))

    def test_it_waits_for_who_archives_ahead(self, place: Place, quick: Twin) -> None:
        place.archived(SEGMENTS[0])
        lock = Path(place.environment["XDG_STATE_HOME"], "silt", "wal", f"{place_of(str(place.store), '.')}.ahead")
        program = (
            "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
            " print(flush=True); time.sleep(0.3)"
        )
        for name, found in ((SEGMENTS[0], True), (SEGMENTS[1], False)):
            holder = subprocess.Popen([sys.executable, "-c", program, lock], stdout=subprocess.PIPE)
            assert holder.stdout is not None
            holder.stdout.readline()
            begun = time.monotonic()
            assert quick("push", f"pg_wal/{name}", "--store", str(place.store)) is found
            assert found or time.monotonic() - begun > 0.1
            holder.communicate()


class TestFetch:
    def test_it_comes_out_of_the_spool(self, place: Place, quick: Twin) -> None:
        spool = place.spool(*SEGMENTS)
        assert quick("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store), "--key-file", "no")
        assert (place.wal / "RECOVERYXLOG").read_text() == SEGMENTS[0]
        assert not (spool / SEGMENTS[0]).exists()
        assert not quick("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store))
        assert not quick("fetch", "00000002.history", "pg_wal/RECOVERYHISTORY", "--store", str(place.store))
        assert not quick("fetch", SEGMENTS[1], "nowhere/RECOVERYXLOG", "--store", str(place.store))

    def test_not_for_another_cluster_or_store(self, place: Place, quick: Twin) -> None:
        place.spool(*SEGMENTS)
        fetch = ("fetch", SEGMENTS[1], "pg_wal/RECOVERYXLOG")
        assert not quick(*fetch)
        assert not quick(*fetch, "--store", str(place.folder))
        assert not quick(*fetch, "--store", str(place.store), "--system", "1")
        assert not quick(*fetch, "--store", str(place.store), "--json")
        assert quick(*fetch, "--system", str(SYSTEM), f"--store={place.store}")
        (place.store / "config").write_bytes(bytes(100))
        assert not quick("fetch", SEGMENTS[2], "pg_wal/RECOVERYXLOG", "--store", str(place.store))

    def test_it_waits_while_the_spool_is_filled(self, place: Place, quick: Twin) -> None:
        spool = place.spool()
        program = (
            "import fcntl, pathlib, sys, time; spool = pathlib.Path(sys.argv[1]); file = open(spool / '.lock', 'w');"
            " fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(0.2);"
            " (spool / '.new').write_text('late'); (spool / '.new').rename(spool / sys.argv[2]); time.sleep(30)"
        )
        holder = subprocess.Popen([sys.executable, "-c", program, spool, SEGMENTS[3]], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            assert quick("fetch", SEGMENTS[3], "pg_wal/RECOVERYXLOG", "--store", str(place.store))
            assert (place.wal / "RECOVERYXLOG").read_text() == "late"
            (spool / ".idle").touch()
            assert not quick("fetch", SEGMENTS[4], "pg_wal/RECOVERYXLOG", "--store", str(place.store))
        finally:
            holder.kill()
            holder.communicate()


class TestSomebodyIsStopped:
    """Who archives ahead or fills the spool stands still with the lock held: SIGSTOP, or a disk without an answer."""

    @pytest.fixture
    def stopped(self, place: Place) -> Iterator[None]:
        spool = place.spool()
        ahead = spool.parent / f"{place_of(str(place.store), '.')}.ahead"
        with (spool / ".lock").open("w") as filling, ahead.open("w") as archiving:
            fcntl.flock(filling, fcntl.LOCK_EX)
            fcntl.flock(archiving, fcntl.LOCK_EX)
            yield

    def test_he_is_waited_for_in_vain(self, place: Place, stopped: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wal_quick, "LONGEST_WAIT", 0.2)
        monkeypatch.setattr(wal_quick, "LONGEST_LAYING", 0.2)
        (place.wal / SEGMENTS[0]).write_bytes(b"wal")
        assert not place.in_python("push", f"pg_wal/{SEGMENTS[0]}", "--store", str(place.store))
        assert not place.in_python("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("words", "longest"),
        [(("push", f"pg_wal/{SEGMENTS[0]}"), LONGEST_WAIT), (("fetch", SEGMENTS[0], "pg_wal/R"), LONGEST_LAYING)],
    )
    def test_silt_is_told_and_waits_no_second_time(
        self, place: Place, stopped: None, words: tuple[str, ...], longest: float
    ) -> None:
        need_program()
        (place.wal / SEGMENTS[0]).write_bytes(b"wal")
        begun = time.monotonic()
        assert not place.in_c(*words, "--store", str(place.store))
        assert time.monotonic() - begun >= longest - 1
        assert place.handed() == ["wal", *words, "--store", str(place.store), WAITED]

    def test_what_says_that_it_waited_is_for_the_long_way(self, place: Place, quick: Twin, stopped: None) -> None:
        place.spool(*SEGMENTS)
        assert not quick("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store), WAITED)


def test_both_read_a_command_line_alike(place: Place) -> None:
    need_program()
    known: list[tuple[str, ...]] = [("-q",), ("--quiet",), ("--key-file", "k"), ("--key-file=k",), ("--json",), ("-v",)]
    known += [("--store", str(place.store)), (f"--store={place.store}",), ("--store", "/nowhere"), ("--store",)]
    known += [("--system", str(SYSTEM)), ("--system", "1"), ("more",), (f"--system={SYSTEM}",)]
    quick = 0
    for _ in range(40):
        parts = [("pg_wal/RECOVERYXLOG",), *random.sample(known, random.randint(0, 4))]
        random.shuffle(parts)
        words = ["fetch", SEGMENTS[0], *(word for part in parts for word in part)]
        answers = []
        for twin in (place.in_c, place.in_python):
            place.spool(*SEGMENTS)
            answers.append(twin(*words))
        assert answers[0] == answers[1], words
        quick += answers[0]
    assert quick < 40


class TestProgram:
    def test_it_fills_the_spool_when_it_runs_low(self, place: Place) -> None:
        spool = place.spool(*SEGMENTS[:3])
        fetch = ["fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store)]
        need_program()
        silt = place.folder / "bin" / "silt"
        silt.write_text(silt.read_text().replace("exit", f"read -r _ < {place.folder}/held; exit"))
        os.mkfifo(place.folder / "held")
        assert place.in_c(*fetch)
        end = time.monotonic() + 20
        while (handed := place.handed()) != ["wal", *fetch, "--only-ahead"]:
            assert time.monotonic() < end, handed
            time.sleep(0.01)
        with (spool / ".lock").open() as lock:  # is held by who fills it, and let go when that ends
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (place.folder / "held").write_text("go\n")
            fcntl.flock(lock, fcntl.LOCK_EX)

    def test_words_and_exit_code_are_those_of_silt(self, place: Place) -> None:
        for words in ([], ["push"], ["fetch", "a b", "*"], ["status", "--json"]):
            done = subprocess.run([place.program, *words], cwd=place.data, env=place.environment, timeout=30)
            assert done.returncode == HANDED_ON
            assert place.handed() == ["wal", *words]
        (place.folder / "bin" / "silt").unlink()
        fetch = ("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG")
        done = subprocess.run(
            [place.program, *fetch], cwd=place.data, env=place.environment, timeout=30, capture_output=True
        )
        assert done.returncode > 125  # PostgreSQL stops
