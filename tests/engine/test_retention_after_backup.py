"""The retention of a deployment: applied once its backup is committed, never before, and never to the backup's harm."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from siltstone.engine import (
    BackupResult,
    ConfigError,
    Event,
    Noted,
    SourceError,
    Warned,
    back_up,
    list_levels,
    parse_deployment,
    quick_deployment,
)
from siltstone.engine.keep_rules import WINDOW_NS, KeepRules, Retention
from siltstone.engine.pins import pin_level
from siltstone.engine.span import DAY_NS
from siltstone.store import Store, StoreError
from siltstone.store.opening import OpenStore
from tests.backed_up import copied, new_store, objects, reopened
from tests.store.backends import FaultyBackend, lost_mount


class Daily:
    """A tree that is backed up with retention; a new group each time."""

    def __init__(self, tree: Path, rules: KeepRules) -> None:
        self.tree, self.retention = tree, Retention(rules)
        self.backend = new_store().backend
        self.events: list[Event] = []

    def back_up(self, store: Store | None = None, *, tree: Path | None = None, dry_run: bool = False) -> BackupResult:
        self.events.clear()
        deployment = replace(quick_deployment([str(tree or self.tree)], "t"), retention=self.retention)
        return back_up(
            store or reopened(self.backend), deployment, kind="full", dry_run=dry_run, report=self.events.append
        )

    @property
    def there(self) -> list[int]:
        return [level.group for level in list_levels(reopened(self.backend))]


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    (tmp_path / "file").write_bytes(b"content")
    return Daily(tmp_path, KeepRules(groups=2))


def test_the_oldest_group_goes_when_the_next_backup_has_run(daily: Daily) -> None:
    forgotten = [[ref.group for ref in daily.back_up().forgotten] for _ in range(4)]
    assert forgotten == [[], [], [0], [1]]
    assert daily.there == [2, 3]
    assert Noted("forgot t:1/0: beyond the 2 newest groups") in daily.events
    assert len(objects(daily.backend, "forgotten/")) == 2


def test_a_limit_by_itself_removes_nothing(daily: Daily) -> None:
    for _ in range(2):
        daily.back_up()
    daily.retention = Retention(KeepRules(groups=1))
    assert daily.back_up(dry_run=True).forgotten == ()
    with pytest.raises(SourceError):
        daily.back_up(tree=daily.tree / "absent")
    assert daily.there == [0, 1]
    daily.back_up()
    assert daily.there == [2]


def test_a_backup_that_commits_nothing_forgets_nothing(daily: Daily) -> None:
    """At whichever change it is cut off: as many good levels as were to be kept are there."""
    for _ in range(2):
        daily.back_up()
    (daily.tree / "file").write_bytes(b"other content")
    before, at = copied(daily.backend), 0
    while True:
        one = copied(before)
        faulty = FaultyBackend(one, at, error=lost_mount)
        try:
            daily.back_up(reopened(faulty))
        except StoreError:
            pass
        levels = list_levels(reopened(one))
        assert len(levels) >= 2
        assert levels[0].group == 0 or len(levels) == 2
        if len(faulty.changes) <= at:
            return
        at += 1


def test_what_cannot_be_forgotten_is_a_warning(daily: Daily) -> None:
    for _ in range(2):
        daily.back_up()
    counting = FaultyBackend(copied(daily.backend))
    daily.back_up(reopened(counting))
    at = counting.changes.index(("delete", "backups/t/0/0"))
    result = daily.back_up(reopened(FaultyBackend(daily.backend, at, error=lost_mount, once=True)))
    assert result.level is not None
    assert result.warnings == 1
    assert any(isinstance(event, Warned) and event.kind == "retention" for event in daily.events)
    assert daily.there == [0, 1, 2]
    daily.back_up()
    assert daily.there == [2, 3]


def test_pins_and_other_deployments_stay(daily: Daily) -> None:
    first = daily.back_up()
    pin_level(reopened(daily.backend), first.ref)
    back_up(reopened(daily.backend), quick_deployment([str(daily.tree)], "u"), report=daily.events.append)
    for _ in range(3):
        daily.back_up()
    assert [str(level.ref) for level in list_levels(reopened(daily.backend))] == ["0/0", "2/0", "3/0", "0/0"]


def test_a_host_that_only_writes_notes_that_it_cannot(daily: Daily) -> None:
    store = reopened(daily.backend)
    add_only = Store(OpenStore(store.backend, store.config, store.ring.without_private()))
    result = daily.back_up(add_only)
    assert (result.warnings, result.forgotten) == (0, ())
    assert any(isinstance(event, Noted) and "forgetting levels is refused" in event.message for event in daily.events)


def test_the_table_of_a_deployment_file() -> None:
    sets = '[file-sets.f]\npaths = ["/x"]\n'
    keep = 'keep-groups = 3\nkeep-daily = 14\nkeep-within = "30d"\nminimum-age = "12h"\nundelete-window = "2w"\n'
    read = parse_deployment(f'name = "x"\n[retention]\n{keep}{sets}').retention
    rules = KeepRules(groups=3, daily=14, within_ns=30 * DAY_NS, minimum_age_ns=DAY_NS // 2)
    assert read == Retention(rules, 14 * DAY_NS)
    short = parse_deployment(f'name = "x"\n[retention]\nkeep-last = 1\n{sets}').retention
    assert (short, short and short.window) == (Retention(KeepRules(last=1)), WINDOW_NS)
    assert parse_deployment(f'name = "x"\n{sets}').retention is None


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("keep-groups = 0", "retention.keep-groups", "1 or more"),
        ("keep-daily = true", "retention.keep-daily", "whole number"),
        ('keep-daily = "7"', "retention.keep-daily", "whole number"),
        ('keep-last = 1\nkeep-within = "30"', "retention.keep-within", "no span"),
        ("keep-last = 1\nkeep-within = 30", "retention.keep-within", "must be a string"),
        ("keep_groups = 3", "retention.keep_groups", "not known"),
        ('minimum-age = "1d"', "retention", "no rule keeps anything"),
        ("", "retention", "no rule keeps anything"),
    ],
)
def test_a_mistake_in_it_is_named(line: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_deployment(f'name = "x"\n[retention]\n{line}\n[file-sets.f]\npaths = ["/x"]\n')
    assert caught.value.key == key
    assert message in caught.value.what


def test_a_commented_file_has_the_table_and_leaves_it_out() -> None:
    from siltstone.engine import starting_file

    for preset in (None, "phantom"):
        text = starting_file(preset)
        assert parse_deployment(text).retention is None
        start = text.index("# [retention]")
        table = "".join(line.removeprefix("# ") for line in text[start:].splitlines(keepends=True))
        assert parse_deployment(text[:start] + table).retention is not None
