"""Damaged packs: each is named with exactly the levels and files that need what was in it, and the rest verifies.

Rule: damage is done to copies of one real store. See tests/damage.py for what it must concern.
"""

import random

import pytest

from siltstone.engine import Event, Progress, VerifyResult
from siltstone.store import PackName, PackScrubber, pack_object
from siltstone.store.scrub import MOST_MEMORY
from tests.backed_up import back_up, copied, delete, flip, flip_middle, needs, new_store, objects, reopened, truncate
from tests.damage import WAYS, Sample, assert_concerns, sample, verified
from tests.store.backends import MemoryBackend

__all__ = ["sample"]  # a fixture


def pack_of(name: str) -> PackName:
    return PackName(name.rpartition("/")[2])


def test_every_frame(sample: Sample) -> None:
    store = reopened(sample.backend)
    for name in objects(sample.backend, "packs/"):
        for number, frame in enumerate(store.footer(pack_of(name)).frames):
            backend = copied(sample.backend)
            flip(backend, name, frame.offset + frame.stored // 2)
            (damage,) = verified(backend).damaged
            assert damage.object == name
            assert f"frame {number} " in damage.error
            assert_concerns(damage, sample, set(frame.ids))


def test_several_frames_are_one_damage(sample: Sample) -> None:
    backend = copied(sample.backend)
    name = max(objects(backend, "packs/"), key=backend.size)
    frames = reopened(backend).footer(pack_of(name)).frames[1:4]
    for frame in frames:
        flip(backend, name, frame.offset + 20)
    (damage,) = verified(backend).damaged
    assert_concerns(damage, sample, {chunk for frame in frames for chunk in frame.ids})


def test_a_flip_anywhere_is_found(sample: Sample) -> None:
    backend = copied(sample.backend)
    rng = random.Random(6)
    for name in objects(backend, "packs/"):
        size = backend.size(name)
        for at in (0, 7, 8, *(rng.randrange(size) for _ in range(8)), *range(size - 1500, size, 97), size - 1):
            flip(backend, name, at)
            assert [damage.object for damage in verified(backend).damaged] == [name], f"at {at} of {size}"
            flip(backend, name, at)
    assert verified(backend).damaged == []


@pytest.mark.parametrize("run", [1, 50_000])
def test_packs_that_are_read_in_parts(sample: Sample, run: int) -> None:
    """As many threads leave no memory for a whole one."""
    for name in objects(sample.backend, "packs/"):
        backend = copied(sample.backend)
        store, pack = reopened(backend), pack_of(name)
        scrubber = PackScrubber(store.opened, store.reader, MOST_MEMORY // run)
        assert scrubber.check(pack).error == ""
        frames = store.footer(pack).frames
        for number in {0, len(frames) // 2, len(frames) - 1}:
            at = frames[number].offset + frames[number].stored - 1
            flip(backend, name, at)
            assert scrubber.check(pack).frames == (number,)
            flip(backend, name, at)
        for outside in (0, backend.size(name) - 1):
            flip(backend, name, outside)
            found = scrubber.check(pack)
            assert (found.frames, "outside its frames" in found.error) == ((), True)
            flip(backend, name, outside)


def test_bytes_outside_the_frames_lose_nothing(sample: Sample) -> None:
    backend = copied(sample.backend)
    name = objects(backend, "packs/")[0]
    flip(backend, name, 3)
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.chunks, damage.levels, damage.unlisted) == (name, 0, {}, {})


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("how", ["truncated", "deleted", "footer"])
def test_whole_packs(sample: Sample, how: str, data: bool) -> None:
    for name in objects(sample.backend, "packs/"):
        backend = copied(sample.backend)
        if how == "footer":
            flip(backend, name, -100)
        else:
            WAYS[how](backend, name)
        (damage,) = verified(backend, data=data).damaged
        assert damage.object == name
        assert_concerns(damage, sample, sample.chunks_of(name))


def test_all_packs_at_once(sample: Sample) -> None:
    backend = copied(sample.backend)
    names = objects(backend, "packs/")
    for name in names:
        delete(backend, name)
    damaged = verified(backend).damaged
    assert [damage.object for damage in damaged] == names
    assert sum(damage.chunks for damage in damaged) == len(sample.needs.keys() | sample.manifests.keys())


def test_structure_alone_sees_no_contents(sample: Sample) -> None:
    """But what it reads of packs, the manifests, it compares."""
    for chunk, found in ((next(iter(sample.needs)), 0), (next(iter(sample.manifests)), 1)):
        backend = copied(sample.backend)
        store = reopened(backend)
        place = store.find(chunk)
        assert place is not None
        flip(backend, pack_object(place.pack), store.footer(place.pack).frames[place.frame].offset)
        assert len(verified(backend, data=False).damaged) == found
        assert len(verified(backend).damaged) == 1


@pytest.fixture(scope="module")
def doubled(sample: Sample) -> MemoryBackend:
    """A store into which two hosts stored the same at once: each has packs of its own."""
    backend = MemoryBackend()
    mine, yours = new_store(backend), reopened(backend)
    waiting = [yours]

    def meanwhile(event: Event) -> None:
        if isinstance(event, Progress) and waiting:
            back_up(waiting.pop(), sample.tree, name="yours")

    back_up(mine, sample.tree, name="mine", report=meanwhile)
    return backend


@pytest.mark.parametrize("how", WAYS)
def test_what_has_another_copy_concerns_nobody(doubled: MemoryBackend, how: str) -> None:
    for name in objects(doubled, "packs/"):
        backend = copied(doubled)
        WAYS[how](backend, name)
        (damage,) = verified(backend).damaged
        assert (damage.object, damage.chunks, damage.levels, damage.unlisted) == (name, 0, {}, {})
        assert damage.copies > 0
        assert "another copy" in damage.error


def test_the_other_copy_is_damaged_too(doubled: MemoryBackend) -> None:
    backend = copied(doubled)
    store = reopened(backend)
    chunk = next(chunk for chunk, by in needs(store).items() if any(b"same as 0" in path for path in by["mine:0/0"]))
    damaged = []
    for name in objects(backend, "packs/"):
        for frame in store.footer(pack_of(name)).frames:
            if chunk in frame.ids:
                flip(backend, name, frame.offset)
                damaged.append(name)
    result = verified(backend)
    assert packs_of(result) == damaged
    assert len(damaged) == 2
    for damage in result.damaged:
        assert damage.levels.keys() == {"mine:0/0", "yours:0/0"}
        for paths in damage.levels.values():
            assert {path.rpartition(b"/")[2] for path in paths} >= {b"0", b"same as 0"}


def test_a_copy_that_proves_damaged_is_found_without_reading_all(doubled: MemoryBackend) -> None:
    """Structure finds a pack gone; looking for copies of its chunks then finds the frames that do not open."""
    backend = copied(doubled)
    small, large = sorted(objects(backend, "packs/"), key=lambda name: len(backend.objects[name]))[-2:]
    truncate(backend, large)
    flip_middle(backend, small)  # its chunks, or a part of them, are the other's
    result = verified(backend, data=False)
    assert sorted(packs_of(result)) == sorted([small, large])
    assert all(damage.chunks > 0 and damage.levels for damage in result.damaged)


def packs_of(result: VerifyResult) -> list[str]:
    return [damage.object for damage in result.damaged]
