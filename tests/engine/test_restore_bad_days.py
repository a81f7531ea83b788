"""Restores on bad days: a damaged store, a full target, a store that goes away, content that changes on the way."""

import os
import stat
from pathlib import Path

import pytest

from siltstone.engine import Event, Level, Progress, TargetFull, Warned, entries, extents_of
from siltstone.engine.manifest import ManifestReader
from siltstone.store import BackendError, ChunkId, PackName, Store, packer
from tests.backed_up import back_up, copied, delete, flip, new_store, objects, reopened, truncate
from tests.restoring import Events, commit_rows, leftovers, made_entry, mounted, put_back
from tests.store.backends import MemoryBackend
from tests.trees import difference
from tests.unprivileged import needs_root


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, whose packs stay small, so that contents have packs of their own."""
    monkeypatch.setattr(packer, "PACK_SIZE", 4 << 20)
    return new_store()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for folder in ("small", "large"):
        (tree / folder).mkdir(parents=True)
    for number in range(300):
        (tree / "small" / f"{number:03}").write_bytes(os.urandom(10_000))
    for number in range(6):
        (tree / "large" / f"{number}").write_bytes(os.urandom(3_000_000))
    os.link(tree / "large" / "1", tree / "small" / "link to 1")
    os.link(tree / "small" / "007", tree / "large" / "link to 007")
    return tree


class TestDamage:
    """What a damaged frame holds is missed by the files that need it, and by no other."""

    def needing(self, store: Store, level: Level, lost: set[ChunkId]) -> set[bytes]:
        return {
            entry.path
            for entry in entries(store, level)
            if any(extent.id in lost for extent in extents_of(store, entry))
        }

    @pytest.mark.parametrize("frame", [0, 3, -1])
    @pytest.mark.parametrize("kind", ["first pack", "last pack"])
    def test_a_flipped_bit_in_a_frame(self, tmp_path: Path, store: Store, tree: Path, frame: int, kind: str) -> None:
        level = back_up(store, tree)
        backend = copied(store.backend)
        packs = [name for name in objects(backend, "packs/") if self.content_frames(store, level, name)]
        pack = packs[0 if kind == "first pack" else -1]
        numbers = self.content_frames(store, level, pack)
        number = numbers[frame % len(numbers)]
        info = store.footer(PackName(pack.rpartition("/")[2])).frames[number]
        flip(backend, pack, info.offset + info.stored // 2)
        self.check(tmp_path, reopened(backend), store, level, tree, self.needing(store, level, set(info.ids)))

    @pytest.mark.parametrize("damage", [delete, truncate, lambda backend, name: flip(backend, name, -100)])
    def test_a_pack_that_cannot_be_read(self, tmp_path: Path, store: Store, tree: Path, damage: object) -> None:
        level = back_up(store, tree)
        backend = copied(store.backend)
        holding = {name: self.content_frames(store, level, name) for name in objects(backend, "packs/")}
        footers = {name: store.footer(PackName(name.rpartition("/")[2])) for name in holding}
        manifests = {name for name in holding if len(holding[name]) < len(footers[name].frames)}
        pack = next((name for name in holding if name not in manifests), None)
        if pack is None:
            pytest.skip("all contents share their pack with manifests")
        assert callable(damage)
        damage(backend, pack)
        lost = {chunk for frame in footers[pack].frames for chunk in frame.ids}
        self.check(tmp_path, reopened(backend), store, level, tree, self.needing(store, level, lost))

    def content_frames(self, store: Store, level: Level, pack: str) -> list[int]:
        """Frames of a pack that hold contents alone."""
        contents = {extent.id for entry in entries(store, level) for extent in extents_of(store, entry)}
        frames = store.footer(PackName(pack.rpartition("/")[2])).frames
        return [number for number, frame in enumerate(frames) if contents.issuperset(frame.ids)]

    def check(
        self, tmp_path: Path, damaged: Store, store: Store, level: Level, tree: Path, needing: set[bytes]
    ) -> None:
        assert needing
        events = Events()
        out = tmp_path / "out"
        result = put_back(damaged, level, out, base=tree, report=events, verify=True)
        assert {path for path, _ in result.failures} == needing
        assert all(
            "damaged" in reason or "no such object" in reason or "truncated" in reason for _, reason in result.failures
        )
        assert result.files == level.sets[0].files - len(needing)
        assert len([event for event in events if isinstance(event, Warned)]) == result.warnings == len(needing)
        missing = {
            f"{os.fsencode(tree / os.fsdecode(path))[len(os.fsencode(tree)) :]!r}: only in {tree}" for path in needing
        }
        linked = [line for line in difference(tree, out, but=["links"]) if line not in missing]
        assert not linked
        assert not leftovers(out)
        healed = put_back(store, level, out, base=tree, verify=True)
        assert not healed.failures
        assert not difference(tree, out)

    def test_a_manifest_chunk(self, tmp_path: Path, store: Store) -> None:
        made = [made_entry(b"/d", stat.S_IFDIR, mode=0o755)]
        made += [made_entry(b"/d/%06d" % number + b"x" * 200) for number in range(3000)]
        level = commit_rows(store, made)
        backend = copied(store.backend)
        chunks = list(ManifestReader(store, level, level.sets[0]).chunks())
        assert len(chunks) > 3
        lost = [chunk for chunk, _ in chunks[1:2]]
        place = store.find(lost[0])
        assert place is not None
        others = [chunk for chunk, _ in chunks if (at := store.find(chunk)) and (at.pack, at.frame) == place[:2]]
        info = store.footer(place.pack).frames[place.frame]
        flip(backend, f"packs/{place.pack[:2]}/{place.pack}", info.offset + 50)
        result = put_back(reopened(backend), level, tmp_path / "out")
        firsts = {first for chunk, first in chunks if chunk in others}
        assert {path for path, _ in result.failures} == firsts
        kept = (
            {path.name for path in (tmp_path / "out" / "d").iterdir()} if (tmp_path / "out" / "d").exists() else set()
        )
        assert len(kept) == result.files


@pytest.mark.parametrize("left", [0, 1, 3, 5])
def test_a_store_that_goes_away_ends_the_restore(tmp_path: Path, store: Store, tree: Path, left: int) -> None:
    class Vanishing(MemoryBackend):
        left = 1_000_000

        def read(self, name: str, offset: int, room: memoryview) -> memoryview:
            self.left -= 1
            if self.left < 0:
                self._gone()
            return super().read(name, offset, room)

        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            return self._gone() if self.left < 0 else super().get(name, offset, length)

        def _gone(self) -> bytes:
            raise BackendError("the store vanished")

    level = back_up(store, tree)
    backend = Vanishing()
    backend.objects = copied(store.backend).objects
    opened = reopened(backend)
    backend.left = left
    with pytest.raises(BackendError, match="vanished"):
        put_back(opened, level, tmp_path / "out", base=tree)
    assert not (tmp_path / "out").exists() or not leftovers(tmp_path / "out")


def test_one_pack_that_the_storage_cannot_read_is_not_the_end(tmp_path: Path, store: Store, tree: Path) -> None:
    class Failing(MemoryBackend):
        bad = ""

        def read(self, name: str, offset: int, room: memoryview) -> memoryview:
            if name == self.bad and len(room) > 1_000_000:
                raise BackendError("Input/output error")
            return super().read(name, offset, room)

    level = back_up(store, tree)
    backend = Failing()
    backend.objects = copied(store.backend).objects
    backend.bad = max(objects(backend, "packs/"), key=backend.size)
    result = put_back(reopened(backend), level, tmp_path / "out", base=tree)
    assert result.failures
    assert {reason for _, reason in result.failures} == {"Input/output error"}
    assert result.files + len(result.failures) == level.sets[0].files
    assert not leftovers(tmp_path / "out")


class TestFullTarget:
    """The restore ends with an error that says so, and leaves nothing that is not whole."""

    @needs_root
    @pytest.mark.parametrize("size", ["2m", "5m", "9m"])
    def test_it_ends_and_goes_on_once_there_is_room(self, tmp_path: Path, store: Store, tree: Path, size: str) -> None:
        for path in sorted((tree / "small").iterdir())[::2]:
            os.setxattr(path, b"user.silt", b"not plain")
        level = back_up(store, tree)
        with mounted(tmp_path / "disk", size) as disk:
            with pytest.raises(TargetFull, match="no room") as caught:
                put_back(store, level, disk / "out", base=tree)
            assert "again" in caught.value.hint
            assert not leftovers(disk)
            for path in disk.rglob("*"):
                if path.is_file():
                    assert path.read_bytes() == (tree / path.relative_to(disk / "out")).read_bytes()
            os.system(f"mount -o remount,size=60m {disk}")
            assert not put_back(store, level, disk / "out", base=tree).failures
            assert not difference(tree, disk / "out", but=["xattrs"])


def test_wrong_content_is_found_when_it_is_read_back(tmp_path: Path, store: Store, tree: Path) -> None:
    def spoil(event: Event) -> None:
        if isinstance(event, Progress) and (tmp_path / "out" / "small" / "299").exists():
            for path in (tmp_path / "out" / "small").glob("01?"):
                path.write_bytes(bytes(10_000))

    level = back_up(store, tree)
    result = put_back(store, level, tmp_path / "out", base=tree, verify=True, report=spoil)
    assert {os.path.basename(path) for path, _ in result.failures} == {b"01%d" % number for number in range(10)}
    assert {reason for _, reason in result.failures} == {"what was read back is not what was stored"}
    assert result.files == level.sets[0].files - 10
