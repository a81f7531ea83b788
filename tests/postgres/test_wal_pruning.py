"""WAL goes when no level needs it that is there or can be undeleted, the oldest first; and is told of before.

Rule: the roots are as the archive writes them, in a store of their own; they have no bytes, which nobody here reads.
"""

import pytest
from msgspec.structs import replace

from siltstone.engine import Event, LevelRef, Noted, Part, Warned, list_levels
from siltstone.engine.forgetting import carry_out, judge_by_name, undelete
from siltstone.engine.keep_rules import WINDOW_NS
from siltstone.engine.levels import part_object, to_root
from siltstone.engine.postgres.archive_catalog import read_catalog
from siltstone.engine.postgres.archive_names import object_name
from siltstone.engine.postgres.archive_record import ArchivedFile
from siltstone.engine.postgres.archive_record import to_root as record_to_root
from siltstone.engine.postgres.lsn import format_lsn
from siltstone.engine.postgres.wal_names import history_name
from siltstone.engine.postgres.wal_pruning import prune_wal, wal_outlook
from siltstone.store import Store
from tests.backed_up import copied, flip_middle, ignore, new_store, objects, reopened
from tests.engine.test_levels import LEVEL
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

from .catalogs import SIZE, segment
from .test_wal_retention import database

DAY = 86400 * 10**9


def archive(store: Store, timeline: int, *numbers: int, stored_ns: int = 0) -> None:
    """Segments, stored on the day of their number."""
    with store.writer() as writer:
        for number in numbers:
            name = segment(timeline, number)
            record = ArchivedFile(
                name=name,
                system_identifier=1,
                timeline=timeline,
                start=number * SIZE,
                size=SIZE,
                used=SIZE,
                digest=b"",
                times=(number * 1000, number * 1000 + 7) if number < 8 else None,
                stored_ns=stored_ns or number * DAY,
            )
            writer.commit(object_name(1, name), record_to_root(record))


def level(
    store: Store, number: int, segment_number: int, *, timeline: int = 1, system: int = 1, part: Part | None = None
) -> None:
    """Level 0/number, or a part of it, whose backup began and ended in that segment, on that day."""
    start = segment_number * SIZE
    info = database(start + 40, start + 99, timeline=timeline, system=system)
    made = replace(LEVEL, ref=LevelRef("app", 0, number), database=info, sets=(), finished_ns=segment_number * DAY)
    if part is not None:
        made = replace(made, part=part, expected=(part, Part("files", "node1")))
    with store.writer() as writer:
        writer.commit(made.name, to_root(made))


@pytest.fixture
def store() -> Store:
    """Segments 0 to 9; levels in segments 2, 5 and 8."""
    store = new_store()
    archive(store, 1, *range(10))
    for number, at in enumerate((2, 5, 8)):
        level(store, number, at)
    return reopened(store.backend)


def left(store: Store) -> list[str]:
    return [name.rpartition("/")[2] for name in objects(store.backend, "wal/")]


def forget(store: Store, *words: str, window_ns: int = WINDOW_NS) -> None:
    carry_out(store, judge_by_name(store, words), window_ns, ignore)


def segments(*numbers: int) -> list[str]:
    return [segment(1, number) for number in numbers]


def test_what_is_older_than_every_level_goes(store: Store) -> None:
    events: list[Event] = []
    assert prune_wal(store, events.append) == 2
    assert left(store) == segments(*range(2, 10))
    (noted,) = events
    assert isinstance(noted, Noted)
    assert segment(1, 1) in noted.message
    assert prune_wal(store, ignore) == 0


def test_wal_of_a_level_that_can_be_undeleted_stays(store: Store) -> None:
    forget(store, "0/0", "0/1")
    assert prune_wal(store, ignore) == 2
    undelete(store, ["0/0"])
    plan = wal_outlook(store, list_levels(store), [])[0].plan
    assert [format_lsn(each.end) for each in plan.before] == ["0/A000000", "0/A000000"]


def test_wal_of_a_level_that_waits_for_parts_stays(store: Store) -> None:
    part = Part("postgres", "db")
    level(store, 3, 1, part=part)
    assert prune_wal(store, ignore) == 1
    assert left(store) == segments(*range(1, 10))
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    flip_middle(backend, part_object(LevelRef("app", 0, 3), part))
    forget(store, "0/0", "0/1", window_ns=-1)
    events: list[Event] = []
    assert prune_wal(store, events.append) == 0  # nobody knows which WAL it needs
    assert [type(event) for event in events] == [Warned]


def test_it_goes_when_the_window_has_passed(store: Store) -> None:
    forget(store, "0/0", "0/1", window_ns=-1)
    assert prune_wal(store, ignore) == 8
    assert left(store) == segments(8, 9)
    assert read_catalog(store, 1).gaps() == []


def test_a_dry_run_tells_the_windows_before_and_after(store: Store) -> None:
    (cluster,) = wal_outlook(store, list_levels(store), {LevelRef("app", 0, 0)})
    assert [each.level for each in cluster.plan.before] == ["app:0/0", "app:0/1", "app:0/2"]
    assert cluster.plan.after == cluster.plan.before[1:]
    assert len(cluster.plan.may_go) == 5
    assert list(cluster.commits.values()) == [7007, 7007, None]  # segments 8 and 9 hold no commit
    assert len(left(store)) == 10


def test_a_cluster_without_a_level_keeps_all(store: Store) -> None:
    forget(store, "0", window_ns=-1)
    assert prune_wal(store, ignore) == 0
    assert len(left(store)) == 10


def test_a_damaged_root_keeps_all(store: Store) -> None:
    """It may be of a level that needs the oldest WAL."""
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    flip_middle(backend, "backups/app/0/0")
    events: list[Event] = []
    assert prune_wal(store, events.append) == 0
    assert [type(event) for event in events] == [Warned]
    assert len(left(store)) == 10


def test_a_damaged_archive_is_left_alone(store: Store) -> None:
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    backend.put(object_name(1, history_name(2)), [b"no root"])
    events: list[Event] = []
    assert prune_wal(store, events.append) == 0
    assert [type(event) for event in events] == [Warned]


def test_a_crash_leaves_no_gap(store: Store) -> None:
    forget(store, "0/0", "0/1", window_ns=-1)
    for at in range(8):
        for lands in (False, True):
            one = copied(store.backend)
            with pytest.raises(Killed):
                prune_wal(reopened(FaultyBackend(one, at, lands=lands)), ignore)
            after = reopened(one)
            assert read_catalog(after, 1).gaps() == []
            assert left(after) == segments(*range(at + lands, 10))


def test_a_timeline_that_no_level_leads_to(store: Store) -> None:
    """What was stored after the newest level may be of the first backup there; what is older goes."""
    archive(store, 3, 4, stored_ns=7 * DAY)
    archive(store, 3, 5, stored_ns=9 * DAY)
    history = b"1\t0/1000000\tno reason\n"
    name = history_name(3)
    record = ArchivedFile(
        name=name, system_identifier=1, timeline=3, size=len(history), used=0, digest=b"", content=history
    )
    with store.writer() as writer:
        writer.commit(object_name(1, name), record_to_root(record))
    prune_wal(store, ignore)
    assert left(store) == [*segments(*range(2, 10)), name, segment(3, 5)]
