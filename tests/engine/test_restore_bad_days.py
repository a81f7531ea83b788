"""Restores on bad days: a damaged store, a hostile level, a full target, a store that goes away."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine import Level, TargetFull, Warned, entries, extents_of
from siltstone.engine.entry import Entry, Extent
from siltstone.engine.manifest import ManifestReader
from siltstone.store import BackendError, ChunkId, PackName, Store, packer
from tests.backed_up import back_up, copied, delete, flip, new_store, objects, reopened, truncate
from tests.restoring import Events, below, commit_rows, leftovers, made_entry, mounted, put_back
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
        number = self.content_frames(store, level, pack)[frame]
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


def test_a_store_that_goes_away_ends_the_restore(tmp_path: Path, store: Store, tree: Path) -> None:
    class Vanishing(MemoryBackend):
        left = 9

        def get_into(self, name: str, offset: int, buffer: memoryview) -> int:
            self.left -= 1
            return len(self._gone() if self.left < 0 else b"") or super().get_into(name, offset, buffer)

        def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            return self._gone() if self.left < 0 else super().get(name, offset, length)

        def _gone(self) -> bytes:
            raise BackendError("the store vanished")

    level = back_up(store, tree)
    backend = Vanishing()
    backend.objects = copied(store.backend).objects
    with pytest.raises(BackendError, match="vanished"):
        put_back(reopened(backend), level, tmp_path / "out", base=tree)
    assert not leftovers(tmp_path / "out")


def test_one_pack_that_the_storage_cannot_read_is_not_the_end(tmp_path: Path, store: Store, tree: Path) -> None:
    class Failing(MemoryBackend):
        bad = ""

        def get_into(self, name: str, offset: int, buffer: memoryview) -> int:
            if name == self.bad and len(buffer) > 1_000_000:
                raise BackendError("Input/output error")
            return super().get_into(name, offset, buffer)

    level = back_up(store, tree)
    backend = Failing()
    backend.objects = copied(store.backend).objects
    backend.bad = max(objects(backend, "packs/"), key=backend.size)
    result = put_back(reopened(backend), level, tmp_path / "out", base=tree)
    assert result.failures
    assert {reason for _, reason in result.failures} == {"Input/output error"}
    assert result.files + len(result.failures) == level.sets[0].files
    assert not leftovers(tmp_path / "out")


class TestHostileLevels:
    """Whatever a level says, nothing outside of the target is written, and the rest is restored."""

    def content(self, store: Store, data: bytes) -> list[Extent]:
        with store.writer() as writer:
            (chunk,) = writer.store_run(memoryview(data), [len(data)])
            writer.flush()
        return [Extent(chunk, 0, len(data))]

    @pytest.fixture
    def hostile(self, store: Store, tmp_path: Path) -> Iterator[list[Entry]]:
        extents = self.content(store, b"hostile")
        victim = os.fsencode(tmp_path / "victim")
        (tmp_path / "victim").mkdir()

        def file(path: bytes) -> Entry:
            return made_entry(path, size=7, extents=extents)

        yield [
            made_entry(b"/d", stat.S_IFDIR, mode=0o755),
            *(
                file(path)
                for path in (b"/../up", b"/d/../../up", b"/d/..", b"/d/.", b"/d/", b"//", b"/d//x", b"relative")
            ),
            *(file(path) for path in (b"/d/nul\0", b"/d/n" + b"n" * 300, b"", b"/", b"/d/./y", b"..")),
            made_entry(b"/l", stat.S_IFLNK, target=victim),
            file(b"/l/below"),
            made_entry(b"/l/deeper", stat.S_IFDIR),
            file(b"/l/deeper/file"),
            made_entry(b"/d/odd", 0o150000),
            made_entry(b"/d/..", stat.S_IFLNK, target=victim),
            made_entry(b"/d/fifo/..", stat.S_IFIFO),
            file(b"/ok"),
            file(b"/d/ok"),
        ]
        assert not list((tmp_path / "victim").iterdir())

    @pytest.mark.parametrize("kept", [True, False])
    def test_nothing_escapes(self, tmp_path: Path, store: Store, hostile: list[Entry], kept: bool) -> None:
        level = commit_rows(store, hostile, kept=kept)
        (tmp_path / "box").mkdir()
        result = put_back(store, level, tmp_path / "box" / "out")
        assert {path.name for path in (tmp_path / "box").iterdir()} == {"out"}
        assert (tmp_path / "box" / "out" / "ok").read_bytes() == b"hostile"
        assert (tmp_path / "box" / "out" / "d" / "ok").read_bytes() == b"hostile"
        failed = {path for path, _ in result.failures}
        assert {b"/../up", b"/d/../../up", b"/l", b"/d/nul\0", b"/d/odd"} <= failed  # /l: a folder by now
        assert not failed & {b"/ok", b"/d/ok"}
        assert not leftovers(tmp_path / "box")

    def test_symlinks_that_somebody_planted(self, tmp_path: Path, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        victim = tmp_path / "victim"
        victim.mkdir()
        out = below(tmp_path / "out", tree)
        out.parent.mkdir(parents=True)
        out.symlink_to(victim)
        result = put_back(store, level, tmp_path / "out")
        assert result.files == 0
        assert len(result.failures) == level.sets[0].entries
        assert not list(victim.iterdir())

    def test_extents_beyond_their_chunks(self, tmp_path: Path, store: Store) -> None:
        ((chunk, _, _),) = self.content(store, b"seven b")
        unknown = ChunkId(bytes(range(32)))
        bad = {
            b"/beyond": [Extent(chunk, 5, 5)],
            b"/far": [Extent(chunk, 2**32 - 1, 2)],
            b"/two": [Extent(chunk, 0, 7), Extent(chunk, 0, 8)],
            b"/unknown": [Extent(unknown, 0, 1)],
            b"/unknown later": [Extent(chunk, 0, 7), Extent(None, 0, 10), Extent(unknown, 0, 1)],
        }
        good = {
            b"/parts": [Extent(chunk, 1, 3), Extent(chunk, 4, 2), Extent(None, 0, 5), Extent(chunk, 0, 1)],
            b"/part": [Extent(chunk, 2, 3)],
        }
        level = commit_rows(
            store,
            [
                made_entry(path, size=sum(extent.length for extent in extents), extents=extents)
                for path, extents in (bad | good).items()
            ],
        )
        for _ in range(2):
            result = put_back(store, level, tmp_path / "out")
            assert {path for path, _ in result.failures} == set(bad)
            assert (tmp_path / "out" / "parts").read_bytes() == b"even " + bytes(5) + b"s"
            assert (tmp_path / "out" / "part").read_bytes() == b"ven"
            assert not leftovers(tmp_path / "out")

    def test_two_files_that_claim_one_inode(self, tmp_path: Path, store: Store) -> None:
        one, other = self.content(store, b"one"), self.content(store, b"other")
        level = commit_rows(
            store,
            [
                made_entry(b"/1", size=3, extents=one, link=(1, 1), nlink=2),
                made_entry(b"/2", size=5, extents=other, link=(1, 1), nlink=2),
                made_entry(b"/3", size=3, extents=one, link=(1, 1), nlink=2),
            ],
        )
        for _ in range(2):
            put_back(store, level, tmp_path / "out")
            assert [(tmp_path / "out" / name).read_bytes() for name in "123"] == [b"one", b"other", b"one"]


class TestFullTarget:
    """The restore ends with an error that says so, and leaves nothing that is not whole."""

    @needs_root
    @pytest.mark.parametrize("size", ["2m", "5m", "9m"])
    def test_it_ends_and_goes_on_once_there_is_room(self, tmp_path: Path, store: Store, tree: Path, size: str) -> None:
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
            assert not difference(tree, disk / "out")


def test_wrong_content_is_found_when_it_is_read_back(
    tmp_path: Path, store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siltstone.engine import restore_small

    def write_files(*arguments: object, **options: object) -> object:
        results = real(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came
        for path in (tmp_path / "out" / "small").glob("01?"):
            path.write_bytes(bytes(10_000))
        return results

    level = back_up(store, tree)
    real = restore_small.write_files
    monkeypatch.setattr(restore_small, "write_files", write_files)
    result = put_back(store, level, tmp_path / "out", base=tree, verify=True)
    assert {os.path.basename(path) for path, _ in result.failures} >= {b"015"}
    assert {reason for _, reason in result.failures} == {"what was read back is not what was stored"}
    assert result.files == level.sets[0].files - len(result.failures)
