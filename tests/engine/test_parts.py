"""Levels to which several hosts send their parts: joining, missing, racing, and what is left by a crash."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.engine import (
    EngineError,
    Level,
    Limits,
    Noted,
    Part,
    collect,
    incomplete_levels,
    level_refs,
    list_levels,
    verify_store,
)  # fmt: skip
from siltstone.engine import parts as module
from siltstone.engine.backup_parts import Open, choose_level
from siltstone.engine.levels import LevelRef, part_object
from siltstone.engine.live import Live
from siltstone.engine.parts import assembled, complete, part_names, parts_there
from siltstone.engine.verify_damage import DamageLog
from siltstone.store import StoreError
from siltstone.store.fence import raise_fence
from siltstone.store.root import session_of
from tests.backed_up import ignore
from tests.backing_up import recorded
from tests.hosts import Site, cluster_text

NODES = ("node1", "node2")
ALL = {"conf@node1", "conf@node2", "vault@node1", "apps@node1"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A cluster of two nodes whose `conf` differs."""
    made = Site(tmp_path, cluster_text(NODES), NODES, tmp_path / "store")
    made.fill("node1", {"etc/name": "one\n", "vault/a": "a" * 5000, "apps/x": "x\n"})
    made.fill("node2", {"etc/name": "two\n"})
    return made


def names(parts: tuple[Part, ...]) -> set[str]:
    return set(map(str, parts))


def test_a_level_is_there_when_all_parts_are(site: Site) -> None:
    first = site.back_up("node1")
    assert (first.level, names(first.missing)) == (None, {"conf@node2"})
    assert list_levels(site.store()) == []
    (waiting,) = incomplete_levels(site.store())
    assert (names(waiting.missing), names(waiting.there)) == ({"conf@node2"}, ALL - {"conf@node2"})
    second = site.back_up("node2")
    assert second.level is not None
    assert not second.missing
    (level,) = list_levels(site.store())
    assert level == second.level
    assert {(files.name, files.host) for files in level.sets} == {tuple(name.split("@")) for name in ALL}
    assert level.origin is not None
    assert level.origin.configuration == "cluster"
    assert {host: values["ROOT"] for host, values in level.origin.variables.items()} == {
        host: str(site.root(host)) for host in NODES
    }
    assert part_names(site.store()) == []
    assert incomplete_levels(site.store()) == []


def test_each_host_compares_with_its_own_copy(site: Site) -> None:
    for host in NODES:
        site.back_up(host)
    site.fill("node2", {"etc/more": "more\n"})
    first, second = (site.back_up(host) for host in reversed(NODES))
    assert first.stats["new"] == 1
    assert second.stats["read_bytes"] == 0
    assert second.level is not None
    assert (str(second.level.ref), second.level.kind, second.level.parent) == ("0/1", "incr", 0)


def test_parts_may_be_sent_one_by_one(site: Site) -> None:
    site.back_up("node2", "conf@node2")
    site.back_up("node1", "vault@node1")
    assert names(site.back_up("node1", "apps@node1").missing) == {"conf@node1"}
    assert site.back_up("node1", "conf@node1").level is not None


def test_a_part_that_is_there_opens_the_next_level(site: Site) -> None:
    site.back_up("node1")
    again = site.back_up("node1")
    assert (str(again.ref), names(again.missing)) == ("1/0", {"conf@node2"})
    assert any(isinstance(event, Noted) and "stays incomplete" in event.message for event in site.events)
    joined = site.back_up("node2")
    assert joined.level is not None
    assert str(joined.level.ref) == "1/0"
    (waiting,) = incomplete_levels(site.store())
    assert str(waiting.ref) == "0/0"
    assert site.back_up("node2").ref == LevelRef("app", 1, 1)  # what is older than a whole level is not joined


def test_hosts_that_do_not_agree_are_refused(site: Site) -> None:
    site.back_up("node1")
    other = replace(site, text=cluster_text((*NODES, "node3")))
    with pytest.raises(EngineError, match=r"was made for other parts: .*; here they are .*node3"):
        other.back_up("node2")


def test_a_part_of_another_host_is_refused(site: Site) -> None:
    with pytest.raises(EngineError, match="part 'vault@node1' is not of this host, node2"):
        site.back_up("node2", "vault@node1")
    with pytest.raises(EngineError, match="has no part 'vault@node2'"):
        site.back_up("node2", "vault@node2")


def test_two_hosts_finish_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second makes the level whole while the first is about to: one root, and both hosts say so."""
    site.back_up("node1")
    ahead = list[Level | None]()

    def others_first(_: object, ref: LevelRef) -> list[Level]:
        found = parts_there(site.store(), ref)
        if len(found) == len(ALL) and not ahead:
            ahead.append(None)
            ahead[0] = complete(site.store(), ref)[0]
        return found

    monkeypatch.setattr(module, "parts_there", others_first)
    result = site.back_up("node2")
    assert result.level == ahead[0] == list_levels(site.store())[0]
    assert part_names(site.store()) == []


@pytest.mark.parametrize("at", ["before the root", "before the parts go"])
def test_a_crash_is_mended_by_the_next_backup(site: Site, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    site.back_up("node1")

    def crash(*_: object) -> None:
        raise StoreError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(module, "to_root" if at == "before the root" else "drop_parts", crash)
        with pytest.raises(StoreError):
            site.back_up("node2")
    assert len(level_refs(site.store())) == (at == "before the parts go")
    assert len(part_names(site.store())) == 4
    assert [str(each.ref) for each in incomplete_levels(site.store())] == ["0/0"] * (at == "before the root")
    assert not verify_store(site.store(), report=ignore).damaged
    assert str(site.back_up("node1").ref) == "0/1"
    assert [str(ref) for ref in level_refs(site.store())] == ["0/0"]
    assert {str(ref) for ref, _ in part_names(site.store())} == {"0/1"}
    level = list_levels(site.store())[0]
    seen = recorded(site.store(), replace(level, sets=tuple(s for s in level.sets if s.host == "node2")))
    assert seen[bytes(site.root("node2") / "etc/name")].content == b"two\n"


def test_parts_are_live_and_verified(site: Site) -> None:
    site.back_up("node1")
    store = site.store()
    live = Live(store, DamageLog(ignore))
    assert sum(keys.size for keys, _ in live.references(lambda _: None)) >= 3
    assert live.complete
    assert not verify_store(store, report=ignore).damaged
    victim = site.store_folder / part_object(*part_names(store)[0])
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-3])
    damaged = Live(site.store(), DamageLog(ignore))
    assert not damaged.complete
    assert verify_store(site.store(), report=ignore).damaged


def test_a_part_counts_although_its_session_was_given_up(site: Site) -> None:
    """Its host died right after the part was there, before the lease went."""
    site.back_up("node1")
    backend = site.store().backend
    for each in part_names(site.store()):
        raise_fence(backend, session_of(backend, part_object(*each)))
    collect(site.store(), limits=Limits(share=1.0, patience=0.0), report=ignore)
    assert len(parts_there(site.store(), LevelRef("app", 0, 0))) == 3
    assert site.back_up("node2").level is not None


def test_collecting_garbage_finishes_levels(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that may only add cannot: whoever collects garbage may."""
    with monkeypatch.context() as patch:
        patch.setattr("siltstone.engine.backup_parts.complete", lambda *_: (None, ()))
        for host in NODES:
            site.back_up(host)
    assert list_levels(site.store()) == []
    collect(site.store(), report=ignore, dry_run=True)
    assert list_levels(site.store()) == []
    collect(site.store(), report=ignore)
    assert [str(level.ref) for level in list_levels(site.store())] == ["0/0"]
    assert part_names(site.store()) == []


def test_levels_are_the_same_whoever_puts_them_together(site: Site) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "complete", lambda *_: (None, ()))
        patch.setattr("siltstone.engine.backup_parts.complete", lambda *_: (None, ()))
        for host in NODES:
            site.back_up(host)
    parts = parts_there(site.store(), LevelRef("app", 0, 0))
    assert len(parts) == 4
    assert assembled(parts) == assembled(parts[::-1]) == assembled([*parts[2:], *parts[:2]])


part = st.sampled_from([Part("conf", "a"), Part("conf", "b"), Part("vault", "a")])
levels = st.builds(LevelRef, st.just("app"), st.integers(0, 3), st.integers(0, 3))
opens = st.builds(
    Open,
    levels,
    st.lists(part, unique=True).map(tuple),
    st.sampled_from(["full", "incr", "diff"]),
    st.none(),
    st.integers(0, 10),
)


@given(part, st.sampled_from(["auto", "full", "incr", "diff"]), st.lists(opens), st.lists(levels), st.integers(0, 10))
def test_a_part_joins_only_what_it_belongs_to(
    mine: Part, kind: str, unfinished: list[Open], whole: list[LevelRef], oldest: int
) -> None:
    joined = choose_level(mine, kind, unfinished, whole, oldest)  # type: ignore[arg-type]  # of the four words
    newest = max(unfinished, key=lambda each: each.ref, default=None)
    fits = (
        newest is not None
        and mine not in newest.there
        and newest.started_ns >= oldest
        and all(ref <= newest.ref for ref in whole)
        and (kind != "full" or newest.kind == "full")
    )
    assert joined == (newest if fits else None)
