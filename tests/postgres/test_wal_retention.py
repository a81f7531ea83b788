"""What WAL is needed and what may go; what was reachable from a kept level stays so, on random archives."""

import random

import pytest

from siltstone.engine.database_info import DatabaseInfo
from siltstone.engine.postgres.archive_catalog import Catalog
from siltstone.engine.postgres.archive_names import object_name, open_name, other_name, parse_stored_name
from siltstone.engine.postgres.history import Ancestor, History
from siltstone.engine.postgres.wal_names import WalSegment, backup_name
from siltstone.engine.postgres.wal_retention import Window, plan_wal, windows

from .catalogs import SIZE, catalog_of, whole

DIGEST = bytes(32)


def database(start: int, stop: int, *, timeline: int = 1, system: int = 1) -> DatabaseInfo:
    return DatabaseInfo(
        system_identifier=system,
        version_num=180000,
        catalog_version=1,
        timeline=timeline,
        start_lsn=start,
        stop_lsn=stop,
        wal_segment_size=SIZE,
        data_checksums=True,
        from_standby=False,
        data_directory=b"/data",
        tablespaces=(),
    )


def going(catalog: Catalog, levels: dict[str, DatabaseInfo], *kept: str) -> set[str]:
    plan = plan_wal(catalog, levels, kept)
    assert {*plan.needed, *plan.may_go} == {object_name(1, name) for name in catalog.names}
    assert len(plan.needed) + len(plan.may_go) == len(catalog.names)
    return {name.rpartition("/")[2] for name in plan.may_go}


def test_what_is_older_than_the_oldest_kept_level_goes() -> None:
    levels = {"a": database(SIZE + 40, SIZE + 99), "b": database(3 * SIZE + 40, 3 * SIZE + 99)}
    note, aside = backup_name(WalSegment(1, 1), 40, SIZE), other_name(WalSegment(1, 1).name(SIZE), DIGEST)
    catalog = catalog_of(*whole(1, *range(6)), note, aside)
    assert going(catalog, levels, "a", "b") == set(whole(1, 0))
    assert going(catalog, levels, "b") == {*whole(1, 0, 1, 2), note, aside}
    plan = plan_wal(catalog, levels, ["b"])
    assert plan.before == (Window("a", 1, SIZE + 99, 6 * SIZE), Window("b", 1, 3 * SIZE + 99, 6 * SIZE))
    assert plan.after == (Window("b", 1, 3 * SIZE + 99, 6 * SIZE),)


def test_a_cluster_of_which_no_level_is_kept_loses_nothing() -> None:
    levels = {"a": database(SIZE + 40, SIZE + 99), "other": database(4 * SIZE, 4 * SIZE + 99, system=2)}
    assert going(catalog_of(*whole(1, *range(6))), levels, "other") == set()
    assert going(catalog_of(*whole(1, *range(6))), {}) == set()


def test_a_level_that_comes_back_after_its_wal_went() -> None:
    """It reaches its own end and nothing more: what was removed is seen in the names."""
    levels = {"a": database(SIZE + 40, SIZE + 99), "b": database(4 * SIZE + 40, 4 * SIZE + 99)}
    catalog = catalog_of(*whole(1, *range(7)))
    plan = plan_wal(catalog, levels, ["b"])
    left = catalog.without({name.rpartition("/")[2] for name in plan.may_go})
    assert list(windows(left, levels)) == [
        Window("a", 1, SIZE + 99, SIZE + 99),
        Window("b", 1, 4 * SIZE + 99, 7 * SIZE),
    ]


def test_a_gap_changes_nothing() -> None:
    levels = {"a": database(SIZE + 40, SIZE + 99), "b": database(5 * SIZE + 40, 5 * SIZE + 99)}
    catalog = catalog_of(*whole(1, 0, 1, 2, 4, 5, 6))
    assert going(catalog, levels, "a", "b") == set(whole(1, 0))
    assert plan_wal(catalog, levels, ["a", "b"]).after == (
        Window("a", 1, SIZE + 99, 3 * SIZE),
        Window("b", 1, 5 * SIZE + 99, 7 * SIZE),
    )


def test_open_parts_go_once_the_segment_is_whole() -> None:
    parts = [open_name(WalSegment(1, 4), SIZE, used) for used in (4096, 8192)]
    last = open_name(WalSegment(1, 6), SIZE, 4096)
    catalog = catalog_of(*whole(1, *range(6)), *parts, last)
    assert going(catalog, {"a": database(SIZE, SIZE + 9)}, "a") == {*whole(1, 0), *parts}
    assert going(catalog, {}) == set(parts)


def test_branches_that_no_kept_level_leads_to_go_and_histories_stay() -> None:
    second = History(2, (Ancestor(1, 3 * SIZE + 50),))
    third = History(3, (Ancestor(1, 5 * SIZE + 50),))
    catalog = catalog_of(*whole(1, *range(7)), *whole(2, 3, 4, 5), *whole(3, 5, 6), histories=(second, third))
    levels = {
        "early": database(2 * SIZE, 2 * SIZE + 9),
        "late": database(4 * SIZE, 4 * SIZE + 9),
        "second": database(4 * SIZE, 4 * SIZE + 9, timeline=2),
    }
    assert going(catalog, levels, "early") == set(whole(1, 0, 1))
    assert going(catalog, levels, "late") == {*whole(1, 0, 1, 2, 3), *whole(2, 3, 4, 5)}
    assert going(catalog, levels, "second") == {*whole(1, *range(7)), *whole(2, 3), *whole(3, 5, 6)}


def test_a_timeline_whose_history_is_lost_stays() -> None:
    catalog = catalog_of(*whole(1, *range(4)), *whole(7, 2, 3, 4))
    assert going(catalog, {"a": database(3 * SIZE, 3 * SIZE + 9)}, "a") == {*whole(1, 0, 1, 2), *whole(7, 2)}


@pytest.mark.parametrize("seed", range(60))
def test_what_a_kept_level_reached_it_reaches_afterwards(seed: int) -> None:
    rng = random.Random(seed)
    second = History(2, (Ancestor(1, rng.randrange(1, 12 * SIZE)),))
    third = History(3, (*rng.choice([second.ancestors, ()]), Ancestor(rng.choice([1, 2]), 14 * SIZE + 5)))
    third = History(3, tuple(sorted(set(third.ancestors), key=lambda each: each.timeline)))
    catalog = catalog_of(histories=(second, third) if third.ancestors[0] in (*second.ancestors, third.parent) else ())
    for timeline in (1, 2, 3):
        for number in range(20):
            if rng.random() < 0.95:
                (name,) = whole(timeline, number)
                catalog.add(name, parse_stored_name(name, SIZE))
    levels = {}
    for each in range(6):
        start = rng.randrange(SIZE, 18 * SIZE)
        levels[str(each)] = database(start, start + rng.randrange(2 * SIZE), timeline=rng.choice([1, 2, 3]))
    kept = rng.sample(sorted(levels), 3)
    plan = plan_wal(catalog, levels, kept)
    assert plan.after == tuple(window for window in plan.before if window.level in kept)
    left = catalog.without({name.rpartition("/")[2] for name in plan.may_go})
    for name in kept:
        info = levels[name]
        for number in range(info.start_lsn // SIZE, info.stop_lsn // SIZE + 1):
            assert (number in left.whole_of(info.timeline)) == (number in catalog.whole_of(info.timeline))
