"""The quick ways of `silt wal push` and `silt wal fetch`, in Python and in C: the same answers in the same cases.

`silt-wal` lies in a folder of its own here, beside a `silt` that notes what it was handed and ends with 99.
"""

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from siltstone.cli import wal_quick
from siltstone.cli.wal_quick import (
    HISTORY,
    LONGEST_LAYING,
    LONGEST_WAIT,
    NOT_ARCHIVED,
    SEGMENT,
    WAITED,
    archive_state,
    asked,
    becomes_archived,
    from_spool,
    note,
    place_of,
    spool_of,
    write_notes,
)

SYSTEM = 7_405_123_456_789_012_345
SEGMENTS = [f"00000001000000000000000{number}" for number in range(1, 8)]
PROGRAM = Path(sys.executable).parent / "silt-wal"
HANDED_ON = 99


class Place:
    """A store, a data directory and a state folder, and both twins on them. Each answers: was it quick?"""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.data = folder, folder / "store", folder / "data"
        self.wal = self.data / "pg_wal"
        for path in (self.wal, self.data / "global", self.store / "wal" / str(SYSTEM) / "00000001", folder / "bin"):
            path.mkdir(parents=True)
        (self.store / "config").write_bytes(b"config" + bytes(range(100)))
        (self.data / "global" / "pg_control").write_bytes(struct.pack("=Q", SYSTEM) + bytes(8184))
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.environment.pop("SILT_STORE", None)
        self.program = folder / "bin" / "silt-wal"
        shutil.copy(PROGRAM, self.program)
        silt = folder / "bin" / "silt"
        silt.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/handed\nexit {HANDED_ON}\n')
        silt.chmod(0o755)

    def archived(self, name: str) -> Path:
        """A segment that was archived and noted: its object."""
        file, object_path = self.wal / name, self.store / "wal" / str(SYSTEM) / "00000001" / name
        file.write_bytes(b"wal")
        object_path.write_bytes(b"root")
        status = file.stat()
        known = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        write_notes(place_of(str(self.store), str(self.data)), [note(str(file), known, str(object_path))])
        return object_path

    def spool(self, *names: str) -> Path:
        """The spool with these files in it."""
        spool = Path(spool_of(place_of(str(self.store), str(self.data))))
        spool.mkdir(parents=True, exist_ok=True)
        for name in names:
            (spool / name).write_text(name)
        return spool

    def note(self, *names: str, until: float = 1.5) -> None:
        """Note in the spool that these are beyond the archive's end; the archive is as old as it has to be."""
        folders = [self.store / "wal" / str(SYSTEM), self.store / "wal" / str(SYSTEM) / "00000001"]
        for folder in folders:
            os.utime(folder, (1, time.time() - 3))
        state = archive_state(str(self.store), SYSTEM)
        assert state is not None
        clock = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + round(until * 1e9)
        (self.spool() / ".beyond").write_text("".join(f"{line}\n" for line in (clock, *state, *names)))

    def handed(self) -> list[str]:
        """The words that `silt` was given."""
        noted = self.folder / "handed"
        return noted.read_text().split("\n")[:-1] if noted.exists() else []

    def code_in_c(self, *words: str) -> int | None:
        """The exit code; None where it was handed on."""
        done = subprocess.run([self.program, *words], cwd=self.data, env=self.environment, timeout=30)
        return None if done.returncode == HANDED_ON else done.returncode

    def code_in_python(self, *words: str) -> int | None:
        """The exit code; None where there is no quick way."""
        which, plain, store, system = asked(["wal", *words])
        if not store or len(plain) != (1 if which == "push" else 2):
            return None
        if which == "push":
            return 0 if becomes_archived(plain[0], store, system) else None
        found = from_spool(plain[0], plain[1], store, system) if len(plain[0]) in (SEGMENT, HISTORY) else None
        return None if found is None else found[1]

    def in_c(self, *words: str) -> bool:
        code = self.code_in_c(*words)
        assert code in (0, None)
        return code == 0

    def in_python(self, *words: str) -> bool:
        code = self.code_in_python(*words)
        assert code in (0, None)
        return code == 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.chdir(made.data)
    monkeypatch.setenv("XDG_STATE_HOME", made.environment["XDG_STATE_HOME"])
    monkeypatch.delenv("SILT_STORE", raising=False)
    return made


Twin = Callable[..., bool]


@pytest.fixture(params=["python", "c"])
def quick(request: pytest.FixtureRequest, place: Place) -> Twin:
    if request.param == "python":
        return place.in_python
    if PROGRAM.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("there was no compiler")
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


Coded = Callable[..., int | None]


class TestBeyondTheEnd:
    """A note of what is beyond the archive's end: both twins end with NOT_ARCHIVED, or look themselves."""

    @pytest.fixture(params=["python", "c"])
    def fetched(self, request: pytest.FixtureRequest, place: Place) -> Coded:
        """The exit code of a fetch of a name."""
        if request.param == "c" and PROGRAM.read_bytes()[:4] != b"\x7fELF":
            pytest.skip("there was no compiler")
        code = place.code_in_python if request.param == "python" else place.code_in_c
        return lambda name: code("fetch", name, "pg_wal/RECOVERYXLOG", "--store", str(place.store))

    def test_what_is_noted(self, place: Place, fetched: Coded) -> None:
        place.note(SEGMENTS[2], "0000000100000000000000AB", "00000002.history")
        for name in (SEGMENTS[2], "00000002.history", "0000000100000000000000AB"):
            assert fetched(name) == NOT_ARCHIVED
        for name in (SEGMENTS[3], "00000003.history", SEGMENTS[2][:16], SEGMENTS[2][8:] + ".history", "wal", "\n"):
            assert fetched(name) is None
        assert not (place.wal / "RECOVERYXLOG").exists()
        place.spool(SEGMENTS[2])
        assert fetched(SEGMENTS[2]) == 0

    @pytest.mark.parametrize("until", [-0.01, -1e9, 2.5, 1e9])
    def test_not_for_ever(self, place: Place, fetched: Coded, until: float) -> None:
        place.note(SEGMENTS[2], until=until)
        assert fetched(SEGMENTS[2]) is None

    @pytest.mark.parametrize("what", ["a file", "another timeline", "a folder is gone", "another cluster's"])
    def test_until_something_comes_into_the_archive(self, place: Place, fetched: Coded, what: str) -> None:
        place.note(SEGMENTS[2])
        wal = place.store / "wal" / str(SYSTEM)
        if what == "a file":
            (wal / "00000001" / SEGMENTS[2]).write_bytes(b"root")
        elif what == "another timeline":
            (wal / "00000002").mkdir()
        elif what == "a folder is gone":
            (wal / "00000001").rmdir()
        else:
            (wal.parent / "1" / "00000001").mkdir(parents=True)
        assert fetched(SEGMENTS[2]) == (NOT_ARCHIVED if what == "another cluster's" else None)

    @pytest.mark.parametrize(
        "text",
        ["", "\n", "soon\n{name}\n", "{clock} {name}\n", "{clock}\n{name}", "{clock}\n{name}\n", "{name}\n{clock}\n"],
    )
    def test_what_is_no_note(self, place: Place, fetched: Coded, text: str) -> None:
        clock = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 1_000_000_000
        (place.spool() / ".beyond").write_text(text.format(clock=clock, name=SEGMENTS[2]))
        assert fetched(SEGMENTS[2]) is None

    def test_a_change_would_show(self, place: Place) -> None:
        place.note()
        assert archive_state(str(place.store), SYSTEM) is not None
        (place.store / "wal" / str(SYSTEM) / "00000001" / SEGMENTS[0]).write_bytes(b"root")
        assert archive_state(str(place.store), SYSTEM) is None


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
        if PROGRAM.read_bytes()[:4] != b"\x7fELF":
            pytest.skip("there was no compiler")
        (place.wal / SEGMENTS[0]).write_bytes(b"wal")
        begun = time.monotonic()
        assert not place.in_c(*words, "--store", str(place.store))
        assert time.monotonic() - begun >= longest - 1
        assert place.handed() == ["wal", *words, "--store", str(place.store), WAITED]

    def test_what_says_that_it_waited_is_for_the_long_way(self, place: Place, quick: Twin, stopped: None) -> None:
        place.spool(*SEGMENTS)
        assert not quick("fetch", SEGMENTS[0], "pg_wal/RECOVERYXLOG", "--store", str(place.store), WAITED)


def test_both_read_a_command_line_alike(place: Place) -> None:
    if PROGRAM.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("there was no compiler")
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
        if PROGRAM.read_bytes()[:4] != b"\x7fELF":
            pytest.skip("there was no compiler")
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
