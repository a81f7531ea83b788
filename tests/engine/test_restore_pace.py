"""How long a restore onto another deployment is said to take: which measured run is asked, and what it comes to."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.engine import (
    Level,
    OntoPlan,
    RestoreNote,
    RestoreResult,
    Step,
    expected_times,
    measured_restores,
    read_restores,
    remember_pace,
)
from siltstone.engine.levels import LevelRef
from siltstone.engine.restore_matrix import Nature
from siltstone.engine.restore_notes import Ended
from siltstone.engine.restore_pace import ASSUMED_BYTES, ASSUMED_FILES, LEAST_BYTES, Measured, seconds_for
from tests.backed_up import new_store

GIB, SECOND = 1 << 30, 10**9
REF = LevelRef("app", 0, 0)
FULL = Level(
    REF, kind="full", parent=None, started_ns=0, finished_ns=0, host="h", product_version="", privilege="", sets=(),
    stats={"files": 5000, "read_bytes": GIB, "duration_ns": 20 * SECOND}, warnings=(), owners={}, groups={},
)  # fmt: skip
INCREMENTAL = replace(FULL, ref=LevelRef("app", 0, 1), kind="incr", stats={"files": 5000, "duration_ns": 9**20})


def plan(*hosts: str) -> OntoPlan:
    nature = Nature("cluster")
    return OntoPlan(tuple(Step(host, "files", "", (), 1000, GIB) for host in hosts), None, (), (), nature, nature)


def note(onto: str, begun: int, seconds: int, *, size: int = GIB) -> RestoreNote:
    return RestoreNote(REF, begun, "h", onto, "cluster", (), Ended(begun + seconds * SECOND, 1000, size, 0))


def test_the_newest_restore_onto_the_same_host_is_asked_first() -> None:
    notes = [note("node1", 1, 7), note("node1", 2, 8), note("node2", 3, 9)]
    first, second, third = expected_times(plan("node1", "node2", "node3"), FULL, FULL, notes)
    assert [first.seconds, second.seconds, third.seconds] == pytest.approx([8, 9, 9])
    assert {each.by.basis for each in (first, second, third)} == {"restore"}


def test_what_was_small_or_cut_off_tells_nothing() -> None:
    cut_off = replace(note("node1", 1, 7), ended=None)
    (found,) = expected_times(plan("node1"), INCREMENTAL, FULL, [cut_off, note("node1", 2, 9, size=1 << 10)])
    assert found.by.basis == "backup"
    wanted = 20 * (GIB / ASSUMED_BYTES + 1000 / ASSUMED_FILES) / (GIB / ASSUMED_BYTES + 5000 / ASSUMED_FILES)
    assert found.seconds == pytest.approx(wanted)


def test_plain_restores_are_measured_too_the_newest_of_a_host() -> None:
    store = new_store()
    now = time.time_ns()
    for begun, size, dry_run in ((1, LEAST_BYTES, False), (2, LEAST_BYTES - 1, False), (3, LEAST_BYTES, True)):
        result = RestoreResult(9, size, size, 2, 0, (), False, (), 0, dry_run)
        remember_pace(store, REF, now - begun * SECOND, result)
        (found,) = measured_restores(store)  # what is small or was only tried is not
        assert (found.begun_ns, found.onto, found.ended and found.ended.files) == (now - SECOND, os.uname().nodename, 7)
    remember_pace(store, REF, now, RestoreResult(0, GIB, GIB, 0, 0, (), False, (), 0, False))
    (found,) = measured_restores(store)
    assert found.begun_ns == now
    assert read_restores(store) == []  # of those onto other deployments there is none
    (expected,) = expected_times(plan("anywhere"), INCREMENTAL, None, measured_restores(store))
    assert expected.by.basis == "restore"


def test_where_nothing_was_measured_it_is_assumed() -> None:
    (found,) = expected_times(plan(""), INCREMENTAL, None, [])
    assert (found.by.basis, found.files, found.bytes) == ("assumed", 1000, GIB)
    assert found.seconds == pytest.approx(GIB / ASSUMED_BYTES + 1000 / ASSUMED_FILES)


@given(
    st.integers(0, 10**7), st.integers(0, 10**13), st.integers(2000, 10**7), st.integers(0, 10**13), st.floats(1, 1e6)
)
def test_a_run_foretells_itself(files: int, size: int, more: int, larger: int, seconds: float) -> None:
    by = Measured("restore", more, larger, seconds)
    assert seconds_for(more, larger, by) == pytest.approx(seconds)
    assert seconds_for(files, size, by) <= seconds_for(files + more, size + larger, by)
