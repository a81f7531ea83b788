"""What was lost or found damaged is stored again by the next session that has it, and read from where it is sound."""

import time
from collections.abc import Iterator

import pytest

from siltstone.store import (
    Corrupt,
    ObjectMissing,
    PackList,
    PackName,
    Store,
    listed_packs,
    pack_object,
    verified_notes,
)
from siltstone.store import index as index_module
from siltstone.store.index import INDEX

from .backends import FaultyBackend, Killed, MemoryBackend
from .stores import back_up, grains, make, names, put, read_back, reopen, small_packs

ONE, TWO, THREE = (f"backups/host/0/{level}" for level in range(3))
CONTENTS = grains(1, 60)


@pytest.fixture
def backend() -> Iterator[MemoryBackend]:
    """A store of several packs, and a root."""
    backend = MemoryBackend()
    with small_packs():
        back_up(make(backend), CONTENTS, ONE)
        yield backend


def packs_of(backend: MemoryBackend) -> list[PackName]:
    return [PackName(name[-64:]) for name in names(backend, "packs/")]


def rot(backend: MemoryBackend, name: str, at: int = 100) -> None:
    content = bytearray(backend.objects[name])
    content[at] ^= 1
    backend.objects[name] = bytes(content)


def spoil(backend: MemoryBackend, pack: PackName) -> None:
    """Damage a frame of the pack; a verification found it."""
    rot(backend, pack_object(pack))
    store = reopen(backend)
    packs = PackList(listed_packs(store.backend))
    number = packs.number(pack)
    assert number is not None
    verified_notes(store.opened, packs).remember(time.time_ns(), [], [number])


def chunks_in(store: Store, pack: PackName) -> int:
    return sum(len(frame.ids) for frame in store.footer(pack).frames)


class TestLostPacks:
    """A pack that an index segment names and that is gone."""

    def test_the_next_session_stores_its_chunks_again(self, backend: MemoryBackend) -> None:
        lost = packs_of(backend)[0]
        held = chunks_in(reopen(backend), lost)
        backend.delete(pack_object(lost))
        with pytest.raises(ObjectMissing) as caught:
            read_back(reopen(backend), ONE)
        assert caught.value.name == pack_object(lost)
        assert reopen(backend).dry_writer().store_run(memoryview(CONTENTS[0]), [1000])
        with reopen(backend).writer("none") as writer:
            ids = put(writer, CONTENTS)
            assert writer.new_chunks == held
            writer.commit(TWO, {"chunks": ids})
        for root in (ONE, TWO):
            assert read_back(reopen(backend), root) == CONTENTS
        assert reopen(backend).index.packs() == set(packs_of(backend))

    def test_all_of_them(self, backend: MemoryBackend) -> None:
        for pack in packs_of(backend):
            backend.delete(pack_object(pack))
        back_up(reopen(backend), CONTENTS, TWO)
        assert read_back(reopen(backend), ONE) == CONTENTS

    @pytest.mark.parametrize("lands", [False, True])
    def test_a_root_leads_nobody_to_where_nothing_is(self, backend: MemoryBackend, lands: bool) -> None:
        """Wherever the session that stores it again is killed."""
        backend.delete(pack_object(packs_of(backend)[0]))
        whole = dict(backend.objects)
        counting = FaultyBackend(backend)
        back_up(reopen(counting), CONTENTS, TWO)
        segments = [number for number, (_, name) in enumerate(counting.changes) if name.startswith(INDEX)]
        assert len(segments) == 3  # one is new, one written anew, one deleted
        for at in range(len(counting.changes)):
            backend.objects = dict(whole)
            with pytest.raises(Killed):
                back_up(reopen(FaultyBackend(backend, at, lands=lands)), CONTENTS, TWO)
            store = reopen(backend)
            if TWO in names(backend, "backups/"):
                places = [store.find(chunk) for chunk in store.read_root(TWO)["chunks"]]
                assert all(place is not None and place.pack in packs_of(backend) for place in places)
            back_up(reopen(backend), CONTENTS, THREE)
            assert read_back(reopen(backend), ONE) == read_back(reopen(backend), THREE) == CONTENTS

    def test_a_chunk_is_read_from_another_pack(self, backend: MemoryBackend) -> None:
        """Where the index still leads to the one that is gone, or damaged."""
        first, *_ = packs_of(backend)
        whole = dict(backend.objects)
        backend.delete(pack_object(first))
        with reopen(backend).writer("none") as writer:
            put(writer, CONTENTS)  # and no commit, which would drop what is lost from the index
        assert read_back(reopen(backend), ONE) == CONTENTS
        backend.objects[pack_object(first)] = whole[pack_object(first)]
        rot(backend, pack_object(first))
        assert read_back(reopen(backend), ONE) == CONTENTS

    def test_a_segment_that_proves_damaged_then_does_not_fail_it(self, backend: MemoryBackend) -> None:
        (segment,) = names(backend, INDEX)
        backend.delete(pack_object(packs_of(backend)[0]))
        rot(backend, segment)
        back_up(reopen(backend), [b"something else"], TWO)
        back_up(reopen(backend), CONTENTS, THREE)
        assert read_back(reopen(backend), ONE) == CONTENTS

    def test_named_by_a_damaged_segment_alone(self, backend: MemoryBackend) -> None:
        """And a pack without a readable footer keeps that segment from being forgotten."""
        (segment,) = names(backend, INDEX)
        lost, unreadable, *_ = packs_of(backend)
        back_up(reopen(backend), [b"something else"], TWO)
        backend.delete(next(name for name in names(backend, INDEX) if name != segment))  # so that packs are looked into
        backend.delete(pack_object(lost))
        rot(backend, pack_object(unreadable), -1)
        rot(backend, segment)
        with reopen(backend).writer("none") as writer:
            ids = put(writer, CONTENTS)
            assert writer.new_chunks > 0
            writer.flush()
            assert all(chunk in writer._index for chunk in ids)
        assert segment in names(backend, INDEX)

    def test_found_by_its_footer_before_it_went(self, backend: MemoryBackend) -> None:
        """An open store knows of it from memory alone."""
        (segment,) = names(backend, INDEX)
        backend.delete(segment)
        store = reopen(backend)
        assert read_back(store, ONE) == CONTENTS
        backend.delete(pack_object(packs_of(backend)[0]))
        back_up(store, CONTENTS, TWO)
        assert read_back(reopen(backend), TWO) == CONTENTS


class TestDamagedPacks:
    """A pack of which a note of verification says that it is damaged."""

    @pytest.mark.parametrize("more", [0, 200])
    def test_what_it_held_is_stored_again_and_stays_healed(
        self, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, more: int
    ) -> None:
        """Also when segments are merged, whichever of them is the larger one."""
        spoil(backend, packs_of(backend)[0])
        with pytest.raises(Corrupt):
            read_back(reopen(backend), ONE)
        back_up(reopen(backend), CONTENTS + grains(2, more), TWO)
        assert read_back(reopen(backend), ONE) == CONTENTS
        monkeypatch.setattr(index_module, "MERGE_WHEN", 2)
        back_up(reopen(backend), [b"one more"], THREE)
        assert len(names(backend, INDEX)) == 1
        assert read_back(reopen(backend), ONE) == CONTENTS
        with reopen(backend).writer() as writer:
            put(writer, CONTENTS)
            assert writer.new_chunks == 0

    def test_what_is_not_stored_again_is_still_damage(self, backend: MemoryBackend) -> None:
        pack = packs_of(backend)[0]
        spoil(backend, pack)
        back_up(reopen(backend), [b"something else"], TWO)
        with pytest.raises(Corrupt) as caught:
            read_back(reopen(backend), ONE)
        assert caught.value.name == pack_object(pack)


def test_a_suspect_is_better_than_nothing() -> None:
    """Not all of a pack that was found damaged is, and all of a lost one is lost."""
    for lost in range(2):
        backend = MemoryBackend()
        one, two = make(backend), reopen(backend)
        with one.writer("none") as mine:
            back_up(two, CONTENTS, ONE)
            put(mine, CONTENTS)
        packs = packs_of(backend)
        spoil(backend, packs[1 - lost])
        rot(backend, pack_object(packs[1 - lost]))  # whole again; nobody knows
        backend.delete(pack_object(packs[lost]))
        assert read_back(reopen(backend), ONE) == CONTENTS


class TestDamagedSegments:
    """They go when sound ones say all that they said, and not before."""

    def test_two_of_them_one_of_which_shows_late(self) -> None:
        """A block is read, and found damaged, only when it is asked for something."""
        backend, contents = MemoryBackend(), [grains(1, 5), grains(2, 5)]
        store = make(backend)
        for each, root in zip(contents, (ONE, TWO), strict=True):
            back_up(store, each, root)
        one, two = names(backend, INDEX)
        rot(backend, one, 2)  # its head
        rot(backend, two)  # a block
        with reopen(backend).writer("none") as writer:
            ids = put(writer, contents[0] + contents[1])
            writer.commit(THREE, {"chunks": ids})
        assert not {one, two} & set(names(backend, INDEX))
        after = reopen(backend)
        assert not after.index.damaged
        assert after.index.packs() == set(packs_of(backend))
        assert [read_back(after, root) for root in (ONE, TWO)] == contents

    def test_one_shows_when_it_is_to_be_merged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backend, contents = MemoryBackend(), [number.to_bytes(2, "big") for number in range(300)]
        ids = back_up(make(backend), contents, ONE)
        (segment,) = reopen(backend).index._segments
        (other,) = back_up(reopen(backend), [b"something else"], TWO)
        (second,) = set(names(backend, INDEX)) - {segment.name}
        block = next(number for number in range(3) if number != segment.block_of(other))
        rot(backend, segment.name, 68 + block * (128 * 32 + 16))
        rot(backend, second, 2)
        monkeypatch.setattr(index_module, "MERGE_WHEN", 1)
        with reopen(backend).writer() as writer:
            assert put(writer, contents) == ids
            assert writer.new_chunks == 0
        assert len(names(backend, INDEX)) == 1

    def test_one_is_forgotten_and_then_another_shows(self) -> None:
        backend, contents = MemoryBackend(), [grains(1, 5), grains(2, 5)]
        back_up(make(backend), contents[0], ONE)
        (first,) = names(backend, INDEX)
        rot(backend, first, 2)
        store = reopen(backend)
        assert read_back(store, ONE) == contents[0]  # packs were looked through
        with store.writer() as writer:  # the first is forgotten
            ids = put(writer, contents[1])
            writer.commit(TWO, {"chunks": ids})
        assert not store.index.damaged
        late = next(s for s in store.index._segments if store.index.find(ids[0]) and s.passing([ids[0]]))
        for segment in store.index._segments:
            rot(backend, segment.name)
        store.index._segments = [type(late)(s.name, backend.view(s.name), store.ring.index_key)
                                 for s in store.index._segments]  # fmt: skip
        store.index._blocks._blocks.clear()
        assert [read_back(store, root) for root in (ONE, TWO)] == contents

    def test_not_while_a_pack_cannot_be_read(self, backend: MemoryBackend) -> None:
        (segment,) = names(backend, INDEX)
        rot(backend, segment, 2)
        first, *_ = packs_of(backend)
        rot(backend, pack_object(first), -1)
        back_up(reopen(backend), CONTENTS, TWO)
        assert segment in names(backend, INDEX)
        rot(backend, pack_object(first), -1)  # whole again
        back_up(reopen(backend), CONTENTS, THREE)
        assert segment not in names(backend, INDEX)
        assert read_back(reopen(backend), ONE) == CONTENTS
