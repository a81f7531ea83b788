"""Padding: lengths are those of Padmé, frames cannot be told apart, and everybody who reads notices nothing of it."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import Budget, apply_remedies, plan_repair, verify_store
from siltstone.engine.forgotten import forget_level
from siltstone.store import Footer, PackName, Store, recover
from siltstone.store.pack import decode_end, end_length
from siltstone.store.padding import padded_size
from siltstone.store.seal import NONCE_SIZE, OVERHEAD
from tests.backed_up import KEY, back_up, delete, flip, ignore, reopened
from tests.backing_up import picture, recorded
from tests.garbage import ref, run
from tests.store.backends import MemoryBackend
from tests.store.stores import names, small_packs

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    Store.init(backend, [(KEY, "test")], padded=True)
    return backend


def make_levels(backend: MemoryBackend, tree: Path, count: int) -> None:
    for number in range(count):
        (tree / "changes").write_bytes(Random(number).randbytes(150_000 + 777 * number))
        (tree / "small").write_bytes(b"grains" * 3_000)
        with small_packs(pack=600 << 10, frame=32 << 10):
            back_up(reopened(backend), tree)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_lengths(one: int, two: int) -> None:
    for size in (one, two):
        padded = padded_size(size)
        assert size <= padded <= size * 1.12
        assert padded_size(padded) == padded
        assert size < 1 << 16 or padded <= size * 1.032
    assert (one <= two) <= (padded_size(one) <= padded_size(two))


def test_few_lengths_are_left() -> None:
    assert len({padded_size(size) for size in range(1 << 16, 1 << 17)}) == 33
    assert [padded_size(size) for size in (0, 1, 9, 1025, 100_000)] == [0, 1, 10, 1088, 100_352]


def test_of_a_pack_only_rounded_lengths_are_to_be_seen(backend: MemoryBackend, tmp_path: Path) -> None:
    make_levels(backend, tmp_path, 3)
    packs = names(backend, "packs/")
    assert len(packs) == 3
    for name in packs:
        content = backend.objects[name]
        assert padded_size(len(content)) == len(content)
        end = content[-end_length(_pack(name), content) :]
        rows = len(decode_end(_pack(name), end).footer) - OVERHEAD
        assert padded_size(rows) == rows


def test_frames_begin_with_nothing_that_counts(backend: MemoryBackend, tmp_path: Path) -> None:
    make_levels(backend, tmp_path, 1)
    (name,) = names(backend, "packs/")
    content, footer = backend.objects[name], _footer(backend, name)
    nonces = [content[frame.offset : frame.offset + NONCE_SIZE] for frame in footer.frames]
    assert len(set(nonces)) == len(footer.frames) > 3
    assert not any(nonce.startswith(bytes(4)) for nonce in nonces)
    assert [len(frame.ids) > 0 for frame in footer.frames] == [True] * (len(nonces) - 1) + [False]


def test_a_store_that_is_not_padded_stays_as_it_was(tmp_path: Path) -> None:
    plain = MemoryBackend()
    Store.init(plain, [(KEY, "test")])
    make_levels(plain, tmp_path, 1)
    (name,) = names(plain, "packs/")
    footer = _footer(plain, name)
    assert all(frame.ids for frame in footer.frames)
    assert plain.objects[name][footer.frames[0].offset :].startswith(bytes(4))


def test_it_is_verified_collected_and_restored_like_any_other(backend: MemoryBackend, tmp_path: Path) -> None:
    make_levels(backend, tmp_path, 4)
    for level in (0, 1):
        forget_level(reopened(backend), ref(level), "test", window_ns=0)
    removed = sum(run(backend).removed.packs for _ in range(3))
    assert removed > 0
    sizes = [len(backend.objects[name]) for name in names(backend, "packs/")]
    assert sizes == list(map(padded_size, sizes))
    store = reopened(backend)
    again = back_up(store, tmp_path)
    assert recorded(store, again) == picture(tmp_path)
    assert verify_store(reopened(backend), budget=Budget(1.0), report=ignore).damaged == []


def test_damaged_padding_is_damage_and_is_mended(backend: MemoryBackend, tmp_path: Path) -> None:
    make_levels(backend, tmp_path, 1)
    (name,) = names(backend, "packs/")
    padding = _footer(backend, name).frames[-1]
    assert padding.stored > OVERHEAD
    flip(backend, name, padding.offset + NONCE_SIZE)
    damaged = verify_store(reopened(backend), budget=Budget(1.0), report=ignore).damaged
    assert [each.object for each in damaged] == [name]
    apply_remedies(plan_repair(recover(backend, KEY)), ignore)
    assert names(backend, "packs/") != [name]
    assert verify_store(reopened(backend), budget=Budget(1.0), report=ignore).damaged == []


def test_a_config_that_was_lost_pads_again(backend: MemoryBackend, tmp_path: Path) -> None:
    make_levels(backend, tmp_path, 1)
    delete(backend, "config")
    apply_remedies(plan_repair(recover(backend, KEY)), ignore)
    assert reopened(backend).config.padded


def _pack(name: str) -> PackName:
    return PackName(name.rpartition("/")[2])


def _footer(backend: MemoryBackend, name: str) -> Footer:
    return reopened(backend).footer(_pack(name))
