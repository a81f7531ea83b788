"""A scrub: every kind of object, every way of damage, no key; and that budgets, shards and notes go round.

Rule: damage is done to copies of one real store, and the oracle is which object was damaged.
"""

import os

import pytest

from siltstone.engine import Budget, ConfigError, Event, Reading, ScrubResult, Warned, scrub_store
from siltstone.engine.read_plan import parse_age, parse_shard
from siltstone.engine.verify_result import ALL_DATA, NO_DATA
from siltstone.store import Backend, PackName, Shard, verified_notes
from siltstone.store.verified import noted_damage
from tests.backed_up import back_up, copied, delete, flip, ignore, objects, reopened, truncate
from tests.damage import Sample, sample
from tests.store.backends import MemoryBackend

__all__ = ["sample"]  # a fixture
DAY = 24 * 3600 * 10**9
LATEST = 1 << 62


def scrubbed(backend: Backend, reading: Reading = Reading(ALL_DATA)) -> ScrubResult:  # noqa: B008  # it is frozen
    return scrub_store(backend, reading=reading, report=ignore)


@pytest.fixture(scope="module")
def store(sample: Sample) -> MemoryBackend:
    """A store of a dozen packs, with notes and a lease."""
    backend = copied(sample.backend)
    for number in range(12):
        (sample.tree / "more").write_bytes(os.urandom(50_000 + number))
        back_up(reopened(backend), sample.tree / "more")
    (sample.tree / "more").unlink()
    opened = reopened(backend)
    from siltstone.store import PackList, listed_packs

    packs = PackList(listed_packs(backend))
    verified_notes(opened.opened, packs).remember(1, range(len(packs)), [])
    with opened.writer():
        return copied(backend)


def test_a_whole_store(store: MemoryBackend) -> None:
    result = scrubbed(copied(store))
    assert result.damaged == []
    assert result.packs == result.packs_read == len(objects(store, "packs/"))
    assert result.bytes == result.bytes_read == sum(store.size(name) for name in objects(store, "packs/"))
    assert result.objects == len(objects(store, ""))
    assert result.share == 1


@pytest.mark.parametrize("kind", ["config", "keys/", "packs/", "index/", "backups/", "sessions/", "verified/"])
def test_every_kind_of_damage_is_found(store: MemoryBackend, kind: str) -> None:
    names = [name for name in objects(store, "") if name.startswith(kind)]
    assert names
    for name in (names[0], names[-1]):
        size = store.size(name)
        for at in (0, size // 2, size - 1):
            backend = copied(store)
            flip(backend, name, at)
            events: list[Event] = []
            result = scrub_store(backend, reading=Reading(ALL_DATA), report=events.append)
            assert [fault.object for fault in result.damaged] == [name], f"flipped at {at} of {size}"
            assert [event.path for event in events if isinstance(event, Warned)] == [name]
        backend = copied(store)
        truncate(backend, name)
        assert [fault.object for fault in scrubbed(backend).damaged] == [name]


def test_a_budget_goes_round(store: MemoryBackend) -> None:
    backend = copied(store)
    reading, share = Reading(Budget(0.25)), 0.0
    for _ in range(8):
        result = scrubbed(backend, reading)
        assert result.share > share
        share = result.share
        if share == 1:
            break
    assert share == 1


def test_what_it_found_is_read_again_and_counts_as_absent(store: MemoryBackend) -> None:
    """Until it is whole again."""
    backend = copied(store)
    name = objects(backend, "packs/")[3]
    flip(backend, name, 100)
    assert len(scrubbed(backend).damaged) == 1
    assert [fault.object for fault in scrubbed(backend, Reading(NO_DATA)).damaged] == [name]
    assert noted_damage(reopened(backend).opened) == {PackName(name[-64:])}
    flip(backend, name, 100)
    assert scrubbed(backend, Reading(NO_DATA)).damaged == []
    assert noted_damage(reopened(backend).opened) == frozenset()


def test_shards_are_the_whole(store: MemoryBackend) -> None:
    backend = copied(store)
    read = [scrubbed(backend, Reading(ALL_DATA, shard=Shard(number, 3))).packs_read for number in (1, 2, 3)]
    assert sum(read) == len(objects(store, "packs/"))
    assert scrubbed(backend, Reading(NO_DATA)).share == 1


def test_what_is_too_long_ago_is_read_whatever_the_budget(store: MemoryBackend) -> None:
    backend = copied(store)
    assert scrubbed(backend, Reading(NO_DATA, max_age_ns=30 * DAY)).packs_read == len(objects(store, "packs/"))
    assert scrubbed(backend, Reading(NO_DATA, max_age_ns=30 * DAY)).packs_read == 0
    assert scrubbed(backend, Reading(NO_DATA, max_age_ns=0)).packs_read == len(objects(store, "packs/"))


def test_a_pack_that_goes_meanwhile_is_named(store: MemoryBackend) -> None:
    backend = copied(store)
    name = objects(backend, "packs/")[-1]

    class Vanishing(MemoryBackend):
        def read(self, wanted: str, offset: int, room: memoryview) -> memoryview:
            if wanted == name and name in self.objects:
                delete(self, name)
            return super().read(wanted, offset, room)

    vanishing = Vanishing()
    vanishing.objects = backend.objects
    assert [(fault.object, fault.error) for fault in scrubbed(vanishing).damaged] == [(name, "it is missing")]


@pytest.mark.parametrize("text", ["", "0/8", "9/8", "2", "a/b", "1/0"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match="no shard"):
        parse_shard(text)


def test_ages() -> None:
    assert parse_age("30d") == 30 * DAY == parse_age("720 h")
    assert parse_age("0.5w") == 3.5 * DAY
    for text in ("", "30", "d", "-1d", "30 days"):
        with pytest.raises(ConfigError, match="no age"):
            parse_age(text)
