"""How much of the packs is read, in which order, and what is remembered of it in the store.

Rule: what was read is told by the results of real verifications; the choice itself is pure and tried by itself.
"""

import os
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import Budget, ConfigError, Event, Noted, Progress, Warned, verify_store
from siltstone.engine.read_plan import Marks, choose_packs
from siltstone.engine.verify_result import ALL_DATA
from siltstone.store import Backend, BackendError, PackList, PackName, listed_packs, verified_notes
from siltstone.store.backend import Buffer
from tests.backed_up import back_up, copied, delete, flip, flip_middle, ignore, new_store, objects, reopened
from tests.damage import Sample, assert_concerns, sample, verified
from tests.store.backends import MemoryBackend, lost_mount

__all__ = ["sample"]  # a fixture

DAY = 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("none", 0), ("all", 1_000_000), (" ALL ", 1_000_000), ("10%", 100_000), ("0.5%", 5000), ("100%", 1_000_000),
        ("5000", 5000), ("5000B", 5000), ("2k", 2048), ("2KiB", 2048), ("2KB", 2000), ("0.5 KiB", 512),
        ("9TiB", 1_000_000),
    ],
)  # fmt: skip
def test_budgets(text: str, limit: int) -> None:
    assert Budget.parse(text).limit(1_000_000) == limit


@pytest.mark.parametrize("text", ["", "some", "101%", "-1", "1e3", "5 apples", "10 %%", "k"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigError, match="no amount"):
        Budget.parse(text)


@given(
    packs=st.lists(st.tuples(st.integers(1, 100), st.integers(0, 5)), max_size=20),
    limit=st.integers(0, 500),
    marks=st.tuples(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19))),
    due=st.integers(0, 6),
)
def test_the_choice(packs: list[tuple[int, int]], limit: int, marks: tuple[set[int], set[int]], due: int) -> None:
    sizes, times = [size for size, _ in packs], [at for _, at in packs]
    first, never = ({number for number in mark if number < len(packs)} for mark in marks)
    chosen = choose_packs(sizes, times, limit, Marks(first, never, due))
    assert len(set(chosen)) == len(chosen)
    assert not never & set(chosen)
    assert first - never <= set(chosen)
    by_time = [number for number in chosen if number not in first]
    left = [number for number in range(len(packs)) if number not in {*chosen, *first, *never}]
    assert all(times[read] <= times[other] for read in by_time for other in left)
    assert all(times[number] >= due for number in left), "what is due is read"
    taken = sum(sizes[number] for number in by_time)
    assert taken >= limit or not left
    assert taken - (sizes[by_time[-1]] if by_time else 0) < max(limit, 1) or times[by_time[-1]] < due


@pytest.fixture(scope="module")
def many(sample: Sample) -> MemoryBackend:
    """A store of a dozen packs."""
    backend = MemoryBackend()
    new_store(backend)
    for number in range(12):
        (sample.tree / "more").write_bytes(os.urandom(50_000 + number))
        back_up(reopened(backend), sample.tree / "more")
    (sample.tree / "more").unlink()
    assert len(objects(backend, "packs/")) >= 12
    return backend


def test_the_longest_unverified_come_first(many: MemoryBackend) -> None:
    """A budget of a quarter comes round in four runs, and then begins anew."""
    backend = copied(many)
    total = len(objects(backend, "packs/"))
    share, seen, oldest = 0.0, 0, None
    while share < 1:
        result = verify_store(reopened(backend), budget=Budget(0.25), report=ignore)
        assert result.coverage.share > share
        share, seen = result.coverage.share, seen + result.packs_read
        oldest = result.coverage.oldest_ns
        assert (oldest is None) == (share < 1)
    assert total <= seen <= total + 3
    again = verify_store(reopened(backend), budget=Budget(0.25), report=ignore)
    assert oldest is not None
    assert again.packs_read > 0
    assert again.coverage.oldest_ns is not None
    assert again.coverage.oldest_ns >= oldest


def test_coverage_looks_back_so_many_days(many: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = copied(many)
    store = reopened(backend)
    packs = PackList(listed_packs(backend))
    notes = verified_notes(store.opened, packs)
    now = 2_000_000_000 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: now)
    notes.remember(now - 31 * DAY, [0, 1], [])
    notes.remember(now - 3 * DAY, [2], [])
    notes.remember(now + 40 * DAY, [3], [])  # a clock that is far ahead is not believed
    coverage = verify_store(store, report=ignore).coverage
    assert coverage.share == packs.sizes[2] / packs.bytes
    assert verify_store(store, days=32, report=ignore).coverage.share == sum(packs.sizes[:3]) / packs.bytes
    assert verify_store(store, days=2, report=ignore).coverage.share == 0


def test_damage_is_named_again_until_it_is_gone(many: MemoryBackend) -> None:
    backend = copied(many)
    name = objects(backend, "packs/")[5]
    flip_middle(backend, name)
    assert verified(backend, data=False).damaged == []
    assert [damage.object for damage in verified(backend).damaged] == [name]
    for _ in range(12):
        result = verify_store(reopened(backend), budget=Budget(bytes=1), report=ignore)
        assert [damage.object for damage in result.damaged] == [name]
        assert result.packs_read == 2
        assert result.coverage.oldest_ns is None
    assert [damage.object for damage in verified(backend, data=False).damaged] == [name]
    flip_middle(backend, name)
    assert verified(backend, data=False).damaged == []
    assert verified(backend, data=False).coverage.share == 1


def test_notes_stay_few_and_forget_nothing(many: MemoryBackend) -> None:
    backend = copied(many)
    packs = objects(backend, "packs/")
    for number in range(30):
        verify_store(reopened(backend), budget=Budget(bytes=1), report=ignore)
        assert 1 <= len(objects(backend, "verified/")) <= 8, number
    coverage = verified(backend, data=False).coverage
    assert coverage.share == 1
    assert coverage.oldest_ns is not None
    gone, kept = packs[0], len(packs) - 1
    delete(backend, gone)
    for _ in range(8):
        verify_store(reopened(backend), budget=Budget(bytes=1), report=ignore)
    notes = verified_notes(reopened(backend).opened, PackList(listed_packs(backend)))
    notes.load()
    assert sum(map(bool, notes.times)) == kept


def test_two_verifications_at_once_merge_without_loss(many: MemoryBackend) -> None:
    backend = copied(many)
    packs = PackList(listed_packs(backend))
    both = [verified_notes(reopened(backend).opened, packs) for _ in range(2)]
    for notes in both:
        notes.load()
    for number in range(len(packs)):
        both[number % 2].remember(number + 1, [number], [])
    seen = verified_notes(reopened(backend).opened, packs)
    seen.load()
    assert list(seen.times) == [number + 1 for number in range(len(packs))]
    assert len(objects(backend, "verified/")) <= 16


def test_every_flip_in_a_note(many: MemoryBackend) -> None:
    backend = copied(many)
    verified(backend)
    (note,) = objects(backend, "verified/")
    for at in range(0, backend.size(note), 13):
        flip(backend, note, at)
        assert [damage.object for damage in verified(backend, data=False).damaged] == [note]
        flip(backend, note, at)


class ReadOnly(MemoryBackend):
    """Storage that this host may only read."""

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        raise BackendError("read-only")

    replace = put


def test_a_store_that_takes_no_notes(many: MemoryBackend) -> None:
    events: list[Event] = []
    backend = ReadOnly()
    backend.objects = dict(many.objects)
    result = verify_store(reopened(backend), budget=ALL_DATA, report=events.append)
    assert result.damaged == []
    assert not [event for event in events if isinstance(event, Warned)]
    (noted,) = [event for event in events if isinstance(event, Noted)]
    assert noted.message.endswith("read-only; this reading is not remembered")


def on_first_pack(call: Callable[[], None]) -> Callable[[Event], None]:
    """A report that makes the call once, when the first packs were read."""
    waiting = [call]

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "packs" and waiting:
            waiting.pop()()

    return report


def test_an_interrupted_verification_is_remembered(many: MemoryBackend) -> None:
    backend = copied(many)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_store(reopened(backend), budget=ALL_DATA, report=on_first_pack(interrupt))
    result = verified(backend, data=False)
    assert 0 < result.coverage.share < 1
    rest = verify_store(reopened(backend), budget=Budget(1 - result.coverage.share), report=ignore)
    assert rest.coverage.share == 1


class UnreadableBackend(MemoryBackend):
    """A pack that is listed and cannot be read: the disk says no."""

    def __init__(self, inner: Backend, bad: str) -> None:
        super().__init__()
        self.objects = {info.name: inner.get(info.name) for info in inner.list("")}
        self.bad = bad

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        if name == self.bad and offset + len(room) > 20_000 > offset:
            raise BackendError(f"cannot read {name}: Input/output error")
        return super().read(name, offset, room)


def test_an_unreadable_stretch_is_damage_of_its_pack(sample: Sample) -> None:
    name = max(objects(sample.backend, "packs/"), key=sample.backend.size)
    backend = UnreadableBackend(sample.backend, name)
    (damage,) = verified(backend).damaged
    assert damage.object == name
    assert "Input/output error" in damage.error
    footer = reopened(sample.backend).footer(PackName(name.rpartition("/")[2]))
    lost = next(frame for frame in footer.frames if frame.offset + frame.stored > 20_000)
    assert_concerns(damage, sample, lost.ids)


def test_a_pack_that_vanishes_on_the_way(many: MemoryBackend) -> None:
    backend = copied(many)
    names = objects(backend, "packs/")
    result = verify_store(reopened(backend), budget=ALL_DATA, report=on_first_pack(lambda: delete(backend, names[-1])))
    assert [(damage.object, damage.error) for damage in result.damaged] == [(names[-1], "it is missing")]
    assert result.damaged[0].levels


class LostBackend(MemoryBackend):
    """A storage that goes away after so many reads of packs."""

    def __init__(self, inner: Backend, reads: int) -> None:
        super().__init__()
        self.objects = {info.name: inner.get(info.name) for info in inner.list("")}
        self.reads = reads

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.reads -= name.startswith("packs/")
        if self.reads < 0:
            raise lost_mount()
        return super().get(name, offset, length)

    def size(self, name: str) -> int:
        return len(self.get(name))


def test_a_storage_that_goes_away_is_an_error(many: MemoryBackend) -> None:
    whole = LostBackend(many, 1000)
    assert verified(whole).damaged == []
    needed = 1000 - whole.reads
    for reads in range(needed):
        with pytest.raises(BackendError, match="vanished"):
            verified(LostBackend(many, reads))
