"""What is beyond the archive's end, by a note in the spool: the same answers in Python and in C."""

import time
from collections.abc import Callable

import pytest

from siltstone.cli.wal_quick import NOT_ARCHIVED, archive_state

from .wal_place import SEGMENTS, SYSTEM, Place, need_program

Coded = Callable[..., int | None]


class TestBeyondTheEnd:
    """A note of what is beyond the archive's end: both twins end with NOT_ARCHIVED, or look themselves."""

    @pytest.fixture(params=["python", "c"])
    def fetched(self, request: pytest.FixtureRequest, place: Place) -> Coded:
        """The exit code of a fetch of a name."""
        if request.param == "c":
            need_program()
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
