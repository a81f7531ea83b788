"""What is live, held against plain walks over every level and every WAL file, and what happens where a root is bad."""

import json
import random
from pathlib import Path

import numpy
import pytest
import zstandard

from siltstone.engine.entry import EXTENT
from siltstone.engine.live import Live
from siltstone.engine.postgres.archive import archive_files
from siltstone.engine.postgres.archive_record import read_object
from siltstone.engine.postgres.incoming import incoming_bytes
from siltstone.engine.verify_damage import DamageLog
from siltstone.engine.verify_manifests import key_of
from siltstone.store import Corrupt, Store
from tests.backed_up import back_up, delete, flip_middle, ignore, needs, new_store, objects, reopened
from tests.store.backends import MemoryBackend

GOLDEN = Path(__file__).parents[1] / "postgres" / "golden"
SEGMENT = 1 << 20


def archive_golden(store: Store, version: int) -> str:
    """Archive the golden WAL of a version; its object."""
    about = json.loads((GOLDEN / f"wal_{version}.json").read_text())
    data = zstandard.decompress((GOLDEN / f"wal_{version}.zst").read_bytes()).ljust(SEGMENT, b"\0")
    (outcome,) = archive_files(store, about["system_identifier"], [incoming_bytes(about["name"], data)])
    assert outcome.error is None
    return outcome.object


@pytest.fixture
def backend(tmp_path: Path) -> MemoryBackend:
    """A store of two levels and the WAL of two clusters."""
    backend = MemoryBackend()
    store = new_store(backend)
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(1_000_000))
    back_up(store, tmp_path)
    (tmp_path / "small").write_bytes(b"another")
    back_up(store, tmp_path)
    for version in (15, 18):
        archive_golden(reopened(backend), version)
    return backend


def live_keys(live: Live) -> dict[int, int]:
    """Each live key, and how far into its chunk anything refers."""
    found: dict[int, int] = {}
    for keys, ends in live.references(lambda _: None):
        for key, end in zip(keys.tolist(), ends.tolist(), strict=True):
            found[key] = max(end, found.get(key, 0))
    return found


def wal_keys(store: Store) -> dict[int, int]:
    """The chunks of every WAL file, with their lengths, each read."""
    found = {}
    for name in objects(store.backend, "wal/"):
        file = read_object(store, name)
        assert file.index is not None
        for chunk, _, length in [*EXTENT.iter_unpack(file.extents), (file.index[0], 0, file.index[1])]:
            found[key_of(chunk)] = length
    return found


def test_levels_and_wal_are_live(backend: MemoryBackend) -> None:
    store = reopened(backend)
    live = Live(store, DamageLog(ignore))
    found = live_keys(live)
    assert live.complete
    assert live_keys(live) == found, "it can be asked again"
    content, wal = set(map(key_of, needs(store))), wal_keys(store)
    assert len(wal) == 4
    manifests = {key_of(chunk) for level in live.levels for files in level.sets for chunk, _ in files.index}
    assert content | wal.keys() | manifests <= found.keys()
    assert {key: found[key] for key in wal} == wal
    everything = {int(key) for pack in numpy_keys(store) for key in pack}
    assert found.keys() <= everything


def numpy_keys(store: Store) -> list[list[int]]:
    from siltstone.store import footer_keys, list_packs

    return [footer_keys(store.footer(pack)).astype(numpy.uint64).tolist() for pack in list_packs(store.opened)]


@pytest.mark.parametrize("which", ["backups/", "wal/"])
def test_a_root_that_cannot_be_read_is_said(backend: MemoryBackend, which: str) -> None:
    whole = live_keys(Live(reopened(backend), DamageLog(ignore)))
    flip_middle(backend, objects(backend, which)[0])
    log = DamageLog(ignore)
    live = Live(reopened(backend), log)
    assert live_keys(live).keys() < whole.keys(), "the others are given nevertheless"
    assert not live.complete
    assert log.damages().keys() == {objects(backend, which)[0]}


def test_a_manifest_that_cannot_be_read_is_said(backend: MemoryBackend) -> None:
    store = reopened(backend)
    live = Live(store, DamageLog(ignore))
    ((chunk, _),) = live.levels[0].sets[0].index
    place = store.find(chunk)
    assert place is not None
    delete(backend, next(name for name in objects(backend, "packs/") if name.endswith(str(place.pack))))
    live = Live(reopened(backend), DamageLog(ignore))
    live_keys(live)
    assert not live.complete


def test_a_part_that_was_replaced_since_is_no_damage(backend: MemoryBackend) -> None:
    live = Live(reopened(backend), DamageLog(ignore))
    delete(backend, objects(backend, "wal/")[0])
    assert len(list(live.wal.files())) == 1
    assert live.complete


def test_extents_that_are_cut_off_are_damage(backend: MemoryBackend) -> None:
    store = reopened(backend)
    (name, *_) = objects(backend, "wal/")
    root = store.read_root(name)
    delete(backend, name)
    with store.writer() as writer:
        writer.commit(name, {**root, "extents": root["extents"][:-1]})
    with pytest.raises(Corrupt, match="its extents are cut off"):
        read_object(reopened(backend), name)
