"""A host that reads nothing back: its incrementals are exact, whatever becomes of what it keeps for itself."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from siltstone.engine import (
    BackupResult,
    Event,
    Level,
    Noted,
    find,
    list_levels,
    quick_deployment,
    resolve,
    verify_store,
)
from siltstone.engine import back_up as back_up_deployment
from siltstone.store import BackendError, KeyFile, NoKey, Store, export_key, rotate_keys, unlock
from tests.backed_up import KEY, ignore, new_store, reopened
from tests.restoring import below, put_back
from tests.store.backends import MemoryBackend
from tests.store.stores import names
from tests.trees import difference, make_tree, remove_tree


class AddOnly(MemoryBackend):
    """A storage that lets nobody delete."""

    def delete(self, name: str) -> None:
        raise BackendError(f"{name}: not allowed")


class Host:
    """A host with a write-only key, a tree and a folder of its own."""

    def __init__(self, backend: MemoryBackend, top: Path, name: str = "t") -> None:
        self.backend, self.name = backend, name
        self.tree, self.kept = top / f"tree-{name}", top / f"kept-{name}"
        self.key = export_key(unlock(backend, KEY), KeyFile(b"w" * 32), label=name, role="write")
        self.notes: list[str] = []

    def store(self) -> Store:
        return Store.open(self.backend, self.key)

    def back_up(self, kind: Literal["auto", "full", "incr", "diff"] = "auto", *, dry_run: bool = False) -> BackupResult:
        self.notes.clear()
        time.sleep(0.05)  # a change within the tick of a backup is read again, rightly; these tests count what is read
        deployment = quick_deployment([str(self.tree)], self.name)
        return back_up_deployment(
            self.store(), deployment, kind=kind, report=self.take, keep_in=str(self.kept), dry_run=dry_run
        )

    def take(self, event: Event) -> None:
        if isinstance(event, Noted):
            self.notes.append(event.message)

    @property
    def files(self) -> list[Path]:
        """What it keeps of its levels."""
        return sorted(path for path in self.kept.rglob("*") if path.is_file())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    backend = MemoryBackend()
    new_store(backend)
    made = Host(backend, tmp_path)
    made.tree.mkdir()
    for number in range(30):
        (made.tree / f"{number:02}").write_bytes(b"%d" % number * 3000)
    return made


def restored(host: Host, out: Path, level: str = "latest") -> list[str]:
    """What differs between the tree and the level as a reading host restores it."""
    store = reopened(host.backend)
    put_back(store, resolve(store, level), out)
    return difference(host.tree, below(out, host.tree))


def latest(host: Host) -> Level:
    return list_levels(reopened(host.backend))[-1]


def test_an_incremental_reads_what_changed(host: Host, tmp_path: Path) -> None:
    first = host.back_up()
    assert first.stats["read_bytes"] == first.stats["bytes"] > 0
    (host.tree / "03").write_bytes(b"changed")
    (host.tree / "new").write_bytes(b"new")
    (host.tree / "07").unlink()
    second = host.back_up()
    assert second.stats["read_bytes"] == len(b"changed") + len(b"new")
    assert (second.stats["unchanged"], second.stats["gone"]) == (28, 1)
    assert (latest(host).kind, latest(host).parent) == ("incr", 0)
    assert restored(host, tmp_path / "out") == []
    assert not host.notes


def test_every_kind_of_entry(tmp_path: Path) -> None:
    backend = MemoryBackend()
    new_store(backend)
    host = Host(backend, tmp_path)
    make_tree(host.tree, seed=3)
    try:
        host.back_up()
        (host.tree / "added").write_bytes(b"added")
        second = host.back_up()
        assert second.stats["unchanged"] > 50
        assert [line for line in restored(host, tmp_path / "out") if "/special/socket" not in line] == []
    finally:
        remove_tree(host.tree)
        remove_tree(tmp_path / "out")


def test_where_nothing_may_be_deleted(tmp_path: Path) -> None:
    """So often that index segments are merged."""
    backend = AddOnly()
    new_store(backend)
    host = Host(backend, tmp_path)
    host.tree.mkdir()
    for number in range(12):
        (host.tree / "file").write_bytes(b"%d" % number)
        host.back_up()
    assert len(names(backend, "index/")) == 12
    assert restored(host, tmp_path / "out") == []
    assert resolve(reopened(backend), "0/3").stats["changed"] == 1


def test_a_diff_is_compared_with_the_first_level(host: Host) -> None:
    host.back_up()
    for name in ("01", "02"):
        (host.tree / name).write_bytes(b"changed in " + name.encode())
        host.back_up()
    third = host.back_up("diff")
    assert third.stats["changed"] == 2
    assert (latest(host).kind, latest(host).parent) == ("diff", 0)


def test_with_nothing_kept_every_file_is_read_and_nothing_stored_twice(host: Host, tmp_path: Path) -> None:
    host.back_up()
    shutil.rmtree(host.kept)
    second = host.back_up()
    assert second.stats["read_bytes"] == second.stats["bytes"]
    assert second.stats["new_chunks"] == 0
    assert any("every file is read" in note for note in host.notes)
    assert restored(host, tmp_path / "out") == []


@pytest.mark.parametrize("way", ["flipped", "truncated", "emptied", "exchanged"])
def test_what_is_kept_and_was_touched_misleads_nobody(host: Host, tmp_path: Path, way: str) -> None:
    """Each file of it, at several places."""
    host.back_up()
    whole = {path: path.read_bytes() for path in host.files}
    assert len(whole) == 2
    for number, (path, content) in enumerate(whole.items()):
        for at in (3, 20, len(content) // 2, len(content) - 1):
            for each, bytes_of in whole.items():
                each.write_bytes(bytes_of)
            others = [other for other in whole if other != path]
            changed = {
                "flipped": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
                "truncated": content[:at],
                "emptied": b"",
                "exchanged": whole[others[0]],
            }
            path.write_bytes(changed[way])
            (host.tree / "05").write_bytes(b"%d %d" % (number, at))
            host.back_up("diff")
            assert restored(host, tmp_path / f"out-{number}-{at}") == []


def test_what_another_host_added_in_between_changes_nothing(host: Host, tmp_path: Path) -> None:
    """A reading host backs the same deployment up: the kept level is older, and still a level of the store."""
    host.back_up()
    (host.tree / "04").write_bytes(b"seen by the other first")
    deployment = quick_deployment([str(host.tree)], "t")
    back_up_deployment(reopened(host.backend), deployment, report=ignore)
    third = host.back_up()
    assert third.stats["changed"] == 1
    assert (latest(host).ref.level, latest(host).parent) == (2, 0)
    assert restored(host, tmp_path / "out") == []


@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_kept_level_that_the_store_has_no_more_is_no_base(host: Host, tmp_path: Path, change: str) -> None:
    host.back_up()
    root = host.backend.objects.pop("backups/t/0/0")
    if change == "another":
        host.backend.objects["backups/t/0/0"] = root
        other = Host(host.backend, tmp_path, "other")
        shutil.copytree(host.tree, other.tree)
        other.back_up()
        host.backend.objects["backups/t/0/0"] = host.backend.objects.pop("backups/other/0/0")
    second = host.back_up()
    assert second.stats["unchanged"] == 0


def test_no_more_is_kept_than_is_used(host: Host) -> None:
    for number in range(6):
        (host.tree / "01").write_bytes(b"%d" % number)
        host.back_up()
    assert len(host.files) == 4  # the first and the newest level: each its root and its rows
    host.back_up("full")
    assert len(host.files) == 2
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in host.files)


def test_what_is_kept_tells_no_names_to_who_has_no_key(host: Host) -> None:
    (host.tree / "a-name-to-look-for").write_bytes(b"x")
    host.back_up()
    assert b"a-name" not in b"".join(path.read_bytes() for path in host.files)


def test_a_backup_that_was_cut_off_leaves_nothing_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.back_up()
    before = host.files

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("siltstone.engine.backup._commit", fail)
    with pytest.raises(KeyboardInterrupt):
        host.back_up()
    assert host.files == before


def test_where_nothing_can_be_kept_the_backup_is_made_all_the_same(host: Host, tmp_path: Path) -> None:
    host.kept.write_bytes(b"a file in the place of the folder")
    host.back_up()
    assert any("not kept" in note for note in host.notes)
    assert restored(host, tmp_path / "out") == []


def test_a_dry_run_compares_and_keeps_nothing(host: Host) -> None:
    host.back_up()
    (host.tree / "01").write_bytes(b"changed")
    before = host.files
    assert host.back_up(dry_run=True).stats["changed"] == 1
    assert host.files == before


def test_a_host_that_reads_keeps_nothing(host: Host) -> None:
    deployment = quick_deployment([str(host.tree)], "t")
    back_up_deployment(reopened(host.backend), deployment, report=ignore, keep_in=str(host.kept))
    assert not host.kept.exists()


def test_after_a_rotation_it_goes_on_and_the_readers_read_it(host: Host, tmp_path: Path) -> None:
    host.back_up()
    rotate_keys(unlock(host.backend, KEY), [KEY])
    (host.tree / "01").write_bytes(b"after the rotation")
    second = host.back_up()
    assert second.warnings == 1
    assert second.stats["changed"] == 1
    assert restored(host, tmp_path / "out") == []


def test_two_write_only_hosts_share_chunks(host: Host, tmp_path: Path) -> None:
    host.back_up()
    other = Host(host.backend, tmp_path, "other")
    shutil.copytree(host.tree, other.tree)
    second = other.back_up()
    assert second.stats["new_bytes"] < second.stats["bytes"] // 10  # its manifest


@pytest.mark.parametrize(
    "read",
    [
        lambda store: resolve(store, "latest"),
        lambda store: verify_store(store, report=ignore),
        lambda store: list(find(store, [b"01"], report=ignore)),
    ],
    ids=["resolve", "verify", "find"],
)
def test_it_reads_nothing(host: Host, read: Callable[[Store], object]) -> None:
    host.back_up()
    with pytest.raises(NoKey) as caught:
        read(host.store())
    assert caught.value.hint


def test_it_lists_names(host: Host) -> None:
    host.back_up()
    (level,) = list_levels(host.store())
    assert (level.tar_name, level.sealed, level.damage) == ("t_backup_group_0_level_0.tar", True, "")


def test_nothing_of_the_reader_key_is_in_what_the_host_has(host: Host) -> None:
    host.back_up()
    private = unlock(host.backend, KEY).ring.reader_private
    assert private is not None
    assert host.store().ring.reader_private is None
    everything = host.key.payload + b"".join(path.read_bytes() for path in host.files)
    assert private[:32] not in everything
