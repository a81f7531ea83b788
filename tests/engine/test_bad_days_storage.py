"""Bad days of real storage: a disk that is full, a folder or a mount that goes away, a base level that is damaged."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest

from siltstone.engine import Noted, entries, list_levels
from siltstone.engine.levels import to_root
from siltstone.store import (
    BackendError,
    KeyFile,
    NewerFormat,
    NoKey,
    NotAStore,
    ObjectKind,
    PackName,
    Store,
    StoreFull,
    WrongKey,
    disclose,
    enclose,
    open_backend,
    packer,
)
from siltstone.store.directory import DirectoryBackend
from tests.backing_up import KEY, Place, picture, recorded

pytestmark = pytest.mark.timeout(60)
MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place with some files and no store yet; packs are small."""
    monkeypatch.setattr(packer, "PACK_SIZE", 7 * MIB // 2)
    place = Place(tmp_path)
    for number in range(10):
        (place.tree / f"{number}").write_bytes(os.urandom(10_000))
    return place


def mount(folder: Path, size: str) -> None:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """The store's folder as a disk of its own, with room for a few packs."""
    folder = place.folder / "store"
    mount(folder, "10m")
    place.make_store()
    yield folder
    subprocess.run(["umount", "-l", folder], capture_output=True)


def packs(store: Store) -> set[PackName]:
    return {PackName(info.name.rpartition("/")[2]) for info in store.backend.list("packs/")}


def test_a_full_disk(place: Place, small_disk: Path) -> None:
    first = place.level()
    then, before = picture(place.tree), packs(place.open())
    (place.tree / "large").write_bytes(os.urandom(20 * MIB))
    predicted = place.back_up(dry_run=True).stats["new_bytes"]
    with pytest.raises(StoreFull) as caught:
        place.back_up()
    assert str(small_disk) in str(caught.value)
    assert caught.value.hint
    store = place.open()
    assert [level.ref for level in list_levels(store)] == [first.ref]
    assert recorded(store, first) == then
    with pytest.raises(StoreFull):
        place.back_up()
    durable = sum(frame.plain for pack in packs(store) - before for frame in store.footer(pack).frames)
    assert durable > 2 * MIB
    subprocess.run(["mount", "-o", "remount,size=60m", small_disk], check=True)
    made = place.back_up()
    assert made.level is not None
    assert made.stats["new_bytes"] == predicted - durable
    assert recorded(place.open(), made.level) == picture(place.tree)
    assert recorded(place.open(), first) == then
    assert not list(small_disk.rglob(".tmp-*"))


def silt(place: Place, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from siltstone.cli.main import main; main()", *words],
        env={**os.environ, "SILT_STORE": str(place.folder / "store"), "SILT_PASSPHRASE": "grains"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_full_disk_as_the_user_sees_it(place: Place) -> None:
    store = place.folder / "store"
    mount(store, "20m")
    try:
        assert silt(place, "init").returncode == 0
        (place.tree / "large").write_bytes(os.urandom(60 * MIB))
        failed = silt(place, "backup", str(place.tree), "--name", "x")
        assert failed.returncode == 7, failed.stderr
        assert "Traceback" not in failed.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", store], check=True)
        made = silt(place, "backup", str(place.tree), "--name", "x")
        assert made.returncode == 0, made.stderr
        assert not list((store / "sessions").iterdir()), "leases of the dead are cleared"
        verified = silt(place, "verify", "--read-data", "all")
        assert verified.returncode == 0, verified.stderr
    finally:
        subprocess.run(["umount", "-l", store], check=True)


def at_pack(patch: pytest.MonkeyPatch, number: int, happen: Callable[[], object]) -> None:
    """Let something happen just before the pack of this number is stored."""
    real, seen = DirectoryBackend.put, [0]

    def put(self: DirectoryBackend, name: str, pieces: list[bytes]) -> None:
        if name.startswith("packs/"):
            seen[0] += 1
            if seen[0] == number:
                happen()
        real(self, name, pieces)

    patch.setattr(DirectoryBackend, "put", put)


def exchange(folder: Path, away: Path) -> None:
    """An empty folder takes the place of this one, as when a mount goes."""
    folder.rename(away)
    folder.mkdir()


@pytest.mark.parametrize("number", [1, 3])
def test_a_folder_that_goes_away_and_comes_back(place: Place, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    place.make_store()
    first = place.level()
    then, before = picture(place.tree), packs(place.open())
    (place.tree / "large").write_bytes(os.urandom(14 * MIB))
    predicted = place.back_up(dry_run=True).stats["new_bytes"]
    folder, away = place.folder / "store", place.folder / "away"
    with monkeypatch.context() as patch:
        at_pack(patch, number, lambda: exchange(folder, away))
        store = place.open()
        with pytest.raises(BackendError) as caught:
            place.back_up(store=store)
    assert "vanished" in str(caught.value)
    assert caught.value.hint
    assert not os.listdir(folder), "nothing is written into what took the store's place"
    folder.rmdir()
    away.rename(folder)
    store = place.open()
    durable = sum(frame.plain for pack in packs(store) - before for frame in store.footer(pack).frames)
    assert recorded(store, first) == then
    made = place.back_up()
    assert made.level is not None
    assert made.stats["new_bytes"] == predicted - durable
    assert recorded(place.open(), made.level) == picture(place.tree)


def test_a_mount_that_goes_away(place: Place, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.level()
    (place.tree / "large").write_bytes(os.urandom(8 * MIB))
    with monkeypatch.context() as patch:
        at_pack(patch, 2, lambda: subprocess.run(["umount", "-l", small_disk], check=True))
        store = place.open()
        with pytest.raises(BackendError) as caught:
            place.back_up(store=store)
    assert "vanished" in str(caught.value)
    assert not os.listdir(small_disk), "nothing is written below where the mount was"


def test_stores_that_cannot_be_opened(place: Place) -> None:
    place.make_store()
    place.level()
    before = sorted((path, path.stat().st_mtime_ns) for path in (place.folder / "store").rglob("*"))
    with pytest.raises(WrongKey) as caught:
        Store.open(place.backend, KeyFile(b"some other key, of 32 bytes ...."))
    assert caught.value.hint
    with pytest.raises(NoKey):
        Store.open(place.backend, None)
    (place.folder / "empty").mkdir()
    for where in ("empty", "tree"):
        with pytest.raises(NotAStore):
            Store.open(open_backend(str(place.folder / where)), KEY)
    assert not os.listdir(place.folder / "empty")
    assert sorted((path, path.stat().st_mtime_ns) for path in (place.folder / "store").rglob("*")) == before


def test_a_store_of_a_newer_format(place: Place) -> None:
    place.make_store()
    config = place.folder / "store" / "config"
    row = msgpack.unpackb(disclose(ObjectKind.CONFIG, "config", config.read_bytes()))
    config.chmod(0o600)
    config.write_bytes(enclose(ObjectKind.CONFIG, msgpack.packb({**row, "format": row["format"] + 1})))
    with pytest.raises(NewerFormat) as caught:
        place.open()
    assert "upgrade" in caught.value.hint


def test_a_base_level_of_a_newer_format(place: Place) -> None:
    """Nobody may add to a group whose newest level he does not understand; a full backup opens another."""
    store = place.make_store()
    first = place.level()
    with store.writer() as writer:
        writer.commit("backups/place/0/1", to_root(first) | {"format": 99})
    with pytest.raises(NewerFormat):
        place.back_up()
    assert len(list((place.folder / "store" / "backups" / "place" / "0").iterdir())) == 2
    assert str(place.level(kind="full").ref) == "1/0"


def damage(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_base_level_whose_root_is_damaged(place: Place) -> None:
    place.make_store()
    first = place.level()
    damage(place.folder / "store" / first.name)
    made = place.back_up()
    assert made.level is not None
    assert place.warned == [("damaged", first.name)]
    assert (made.stats["read_bytes"], made.level.kind, str(made.level.ref)) == (100_000, "incr", "0/1")
    assert recorded(place.open(), made.level) == picture(place.tree)


def test_packs_that_are_lost_are_stored_again(place: Place) -> None:
    """As far as it is still there."""
    place.make_store()
    first = place.level()
    (place.tree / "3").unlink()
    then = recorded(place.open(), first)
    for pack in packs(place.open()):
        (place.folder / "store" / "packs" / pack[:2] / pack).unlink()
    made = place.back_up(kind="incr")
    assert made.level is not None
    assert ("damaged", first.name) in place.warned
    assert recorded(place.open(), made.level) == picture(place.tree)
    again = place.back_up(kind="full")
    assert again.level is not None
    assert recorded(place.open(), again.level) == picture(place.tree)
    assert len(then) == len(picture(place.tree)) + 1


@pytest.mark.parametrize("how", [damage, Path.unlink], ids=["damaged", "missing"])
def test_a_base_level_whose_manifest_is_damaged(place: Place, how: Callable[[Path], object]) -> None:
    """The pack of the manifest alone: a level in between stored nothing else."""
    place.make_store()
    first = place.level()
    with_first = packs(place.open())
    (place.tree / "new").write_bytes(b"")
    second = place.level()
    (lost,) = packs(place.open()) - with_first
    how(place.folder / "store" / "packs" / lost[:2] / lost)
    (place.tree / "another").write_bytes(b"")
    made = place.back_up()
    assert made.level is not None
    assert place.warned == [("damaged", second.name)]
    assert made.stats["read_bytes"] == 100_000
    assert recorded(place.open(), made.level) == picture(place.tree)
    assert [entry.path for entry in entries(place.open(), first)]
    assert not [event for event in place.events if isinstance(event, Noted) and "full" in str(event)]
