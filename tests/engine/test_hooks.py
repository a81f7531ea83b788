"""Hooks around a backup: their order, what they are told, and that those after it come whatever happened."""

import time
from pathlib import Path

import pytest

from siltstone.engine import (
    ConfigError,
    Event,
    HookFailed,
    Warned,
    back_up,
    list_levels,
    parse_deployment,
)
from siltstone.store import Store
from tests.backed_up import ignore, new_store, warnings_into


def deployment(place: Path, hooks: str, paths: str = "data") -> str:
    return f'name = "app"\n[file-sets.data]\npaths = ["{place / paths}"]\n[hooks]\n{hooks}\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("grain")
    return tmp_path


def said(place: Path) -> list[str]:
    return (place / "log").read_text().splitlines() if (place / "log").exists() else []


def test_the_order_and_what_they_are_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILT_PASSPHRASE", "nobody else's business")
    log = place / "log"
    hooks = (
        f'before = ["echo one $SILT_DEPLOYMENT ${{SILT_PASSPHRASE-no}} >> {log}", "echo two >> {log}"]\n'
        f'after = ["echo $SILT_RESULT $SILT_LEVEL >> {log}", "echo last >> {log}"]'
    )
    store = new_store()
    back_up(store, parse_deployment(deployment(place, hooks)), report=ignore)
    assert said(place) == ["one app no", "two", "committed 0/0", "last"]
    back_up(store, parse_deployment(deployment(place, hooks)), dry_run=True, report=ignore)
    assert len(said(place)) == 4


def test_a_hook_before_that_fails_ends_it(place: Path) -> None:
    log = place / "log"
    hooks = f'before = ["echo why >&2; exit 7", "echo two >> {log}"]\nafter = ["echo $SILT_RESULT >> {log}"]'
    store = new_store()
    with pytest.raises(HookFailed, match="exit code 7: why"):
        back_up(store, parse_deployment(deployment(place, hooks)), report=ignore)
    assert said(place) == ["failed"]
    assert list_levels(store) == []


def test_a_backup_that_fails_still_has_its_hooks_after(place: Path) -> None:
    hooks = f'after = ["echo $SILT_RESULT >> {place / "log"}"]'
    with pytest.raises(Exception, match="none of the paths"):
        back_up(new_store(), parse_deployment(deployment(place, hooks, "absent")), report=ignore)
    assert said(place) == ["failed"]


def test_a_hook_after_that_fails_is_a_warning(place: Path) -> None:
    events: list[Event] = []
    store: Store = new_store()
    hooks = f'after = ["false", "kill -9 $$", "echo last >> {place / "log"}"]'
    result = back_up(store, parse_deployment(deployment(place, hooks)), report=warnings_into(events))
    assert result.warnings == 2
    assert [event.message for event in events if isinstance(event, Warned)] == ["exit code 1", "killed by signal 9"]
    assert said(place) == ["last"]
    assert len(list_levels(store)) == 1


def test_a_hook_that_hangs_is_killed_with_its_children(place: Path) -> None:
    alive = place / "alive"
    hooks = f'before = ["(sleep 3; touch {alive}) & sleep 60"]\ntimeout = 1'
    with pytest.raises(HookFailed, match="longer than 1 s"):
        back_up(new_store(), parse_deployment(deployment(place, hooks)), report=ignore)
    time.sleep(2.5)
    assert not alive.exists()


@pytest.mark.parametrize("hooks", ['befor = ["x"]', "before = 1", "timeout = 0"])
def test_mistakes_are_named(hooks: str, place: Path) -> None:
    with pytest.raises(ConfigError, match="hooks"):
        parse_deployment(deployment(place, hooks))
