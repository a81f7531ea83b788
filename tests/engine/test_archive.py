"""Tar archives, unpacked by GNU tar and compared with what was backed up; and the content of single files.

Rule: GNU tar and Python's tarfile are the judges of an archive, a walk over both trees the judge of what they unpack.
"""

import io
import os
import random
import socket
import stat
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from siltstone.engine import (
    Deployment,
    Event,
    FileSet,
    Level,
    NothingSelected,
    Selection,
    Warned,
    archive_windows,
    cat,
    entries,
    write_tar,
)
from siltstone.engine import (
    back_up as back_up_deployment,
)
from siltstone.engine.archive_header import decimal_seconds, pax_record
from siltstone.engine.exclude import SkipRules
from siltstone.store import Corrupt, ObjectMissing, Store, pack_object
from tests.backed_up import back_up, copied, flip, ignore, new_store, reopened, warnings_into
from tests.trees import difference, make_tree, remove_tree, require

EVERYTHING = Selection()


def archive(store: Store, level: Level, *patterns: bytes) -> bytes:
    out = io.BytesIO()
    write_tar(store, level, Selection(tuple(patterns)), out, report=ignore)
    return out.getvalue()


def unpack(data: bytes, folder: Path, *options: str) -> str:
    """Unpack with GNU tar; what it says on stderr."""
    folder.mkdir()
    command = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", *options, "-xpf", "-", "-C", str(folder)]
    done = subprocess.run(command, input=data, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stderr.decode(errors="replace")


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        return members.getnames()


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Level, Path]:
    """Everything that a tree can hold, but for paths longer than the system allows, which GNU tar cannot unpack."""
    tree = tmp_path_factory.mktemp("strange") / "tree"
    make_tree(tree, 11)
    for folder in (tree / "names").glob("00deep*"):
        remove_tree(folder)
    store = new_store()
    return store, back_up(store, tree), tree


class TestGnuTar:
    def test_a_tree_of_everything(self, strange: tuple[Store, Level, Path], tmp_path: Path) -> None:
        store, level, tree = strange
        unpack(archive(store, level), tmp_path / "out")
        found = difference(tree, tmp_path / "out" / tree.relative_to("/"), but=("flags", "holes"))
        assert [line for line in found if "special/socket" not in line] == []

    def test_acls_as_text(self, strange: tuple[Store, Level, Path], tmp_path: Path) -> None:
        require(tmp_path)
        store, level, tree = strange
        unpack(archive(store, level, b"attributes"), tmp_path / "out", "--xattrs-exclude=*", "--acls")
        for name in ("", "acl"):
            there = tmp_path / "out" / tree.relative_to("/") / "attributes" / name
            assert os.getxattr(there, "system.posix_acl_access") == os.getxattr(
                tree / "attributes" / name, "system.posix_acl_access"
            )

    def test_selected_paths(self, strange: tuple[Store, Level, Path], tmp_path: Path) -> None:
        store, level, tree = strange
        data = archive(store, level, os.fsencode(tree / "files"), b"links/*irs*")
        below = [f"{name}" for name in names(data)]
        assert all(name.startswith((f"{tree}/files"[1:], f"{tree}/links"[1:])) for name in below)
        unpack(data, tmp_path / "out")
        there = tmp_path / "out" / tree.relative_to("/")
        assert difference(tree / "files", there / "files", but=("flags",)) == []
        assert (there / "links" / "first").read_bytes() == (tree / "links" / "first").read_bytes()

    def test_the_same_bytes_each_time(self, strange: tuple[Store, Level, Path]) -> None:
        store, level, _ = strange
        assert archive(store, level) == archive(reopened(store.backend), level)


class TestMembers:
    def test_python_reads_the_same(self, strange: tuple[Store, Level, Path]) -> None:
        store, level, _ = strange
        every = {entry.path: entry for entry in entries(store, level) if not stat.S_ISSOCK(entry.mode)}
        with tarfile.open(fileobj=io.BytesIO(archive(store, level)), encoding="utf-8") as members:
            found = {b"/" + os.fsencode(member.name): member for member in members}
        assert found.keys() == every.keys()
        for path, member in found.items():
            entry = every[path]
            if member.islnk():
                assert entry.link is not None
                continue
            assert (member.mode, member.uid, member.gid) == (entry.mode & 0o7777, entry.uid, entry.gid)
            assert os.fsencode(member.linkname) == entry.target
            seconds = member.pax_headers.get("mtime", str(int(member.mtime)))
            assert seconds == decimal_seconds(entry.mtime_ns).decode()
            if member.isreg():
                assert member.size == entry.size
            if member.isdev():
                assert (member.devmajor, member.devminor) == (os.major(entry.rdev), os.minor(entry.rdev))

    def test_each_path_once_and_each_content_once(self, tmp_path: Path) -> None:
        """File sets that overlap, and a file with a name in each."""
        (tmp_path / "tree" / "inner").mkdir(parents=True)
        (tmp_path / "tree" / "inner" / "file").write_bytes(b"once" * 1000)
        os.link(tmp_path / "tree" / "inner" / "file", tmp_path / "tree" / "linked")
        root = os.fsencode(tmp_path / "tree")
        sets = (FileSet("outer", (root,)), FileSet("inner", (root + b"/inner",)))
        store = new_store()
        level = back_up_deployment(store, Deployment("t", sets), report=ignore).level
        assert level is not None
        with tarfile.open(fileobj=io.BytesIO(archive(store, level))) as members:
            found = {member.name.rpartition("/")[2]: member for member in members}
            assert len(members.getnames()) == len(found) == 4
        assert [found[name].islnk() for name in ("file", "linked")] == [False, True]
        assert found["linked"].linkname == found["file"].name

    def test_the_first_selected_name_carries_the_content(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "a").write_bytes(b"content")
        for name in "bc":
            os.link(tmp_path / "tree" / "a", tmp_path / "tree" / name)
        store = new_store()
        level = back_up(store, tmp_path / "tree")
        with tarfile.open(fileobj=io.BytesIO(archive(store, level, b"[bc]"))) as members:
            b, c = members.getmembers()
            assert (b.isreg(), b.size, c.islnk(), c.linkname) == (True, 7, True, b.name)

    def test_owner_names(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = new_store()
        level = back_up(store, tmp_path / "file")
        with tarfile.open(fileobj=io.BytesIO(archive(store, level))) as members:
            (member,) = members.getmembers()
        assert (member.uname, member.gname) == (level.owners[os.geteuid()], level.groups[os.getegid()])

    def test_a_socket_is_left_out_with_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "socket"))
        files = FileSet("files", (os.fsencode(tmp_path),), skip=SkipRules(sockets=False))
        store = new_store()
        level = back_up_deployment(store, Deployment("t", (files,)), report=ignore).level
        assert level is not None
        events: list[Event] = []
        out = io.BytesIO()
        assert write_tar(store, level, EVERYTHING, out, report=warnings_into(events)) == 2
        assert [(event.kind, event.path) for event in events if isinstance(event, Warned)] == [
            ("socket", str(tmp_path / "socket"))
        ]
        assert names(out.getvalue()) == [str(tmp_path)[1:], str(tmp_path / "file")[1:]]

    def test_nothing_selected(self, strange: tuple[Store, Level, Path]) -> None:
        store, level, _ = strange
        out = io.BytesIO()
        with pytest.raises(NothingSelected, match="nowhere"):
            write_tar(store, level, Selection((b"/nowhere",)), out, report=ignore)
        assert out.getvalue() == b""
        events: list[Event] = []
        write_tar(store, level, Selection((b"/nowhere", b"files/1")), out, report=warnings_into(events))
        assert [event.path for event in events if isinstance(event, Warned)] == ["/nowhere"]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, b"0"), (1, b"0.000000001"), (-1, b"-0.000000001"), (1_500_000_000, b"1.5"), (-1_500_000_000, b"-1.5"),
        (10**9, b"1"), (2**40 * 10**9 + 10, b"1099511627776.00000001"),
    ],
)  # fmt: skip
def test_seconds(nanoseconds: int, text: bytes) -> None:
    assert decimal_seconds(nanoseconds) == text


@pytest.mark.parametrize("size", [*range(12), *range(85, 100), *range(980, 1000)])
def test_records_count_their_own_digits(size: int) -> None:
    record = pax_record(b"key", b"v" * size)
    assert int(record.split(b" ")[0]) == len(record)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Level, Path]:
    tree = tmp_path_factory.mktemp("large") / "tree"
    tree.mkdir()
    rng = random.Random(8)
    (tree / "random").write_bytes(rng.randbytes(5_000_003))
    (tree / "again").write_bytes(b"before" + (tree / "random").read_bytes()[:3_000_000])
    with (tree / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"data")
        file.truncate(7_000_000)
    (tree / "empty").touch()
    os.symlink("random", tree / "link")
    store = new_store()
    back_up(store, tree / "random", name="first")  # whose pack has its content alone
    return store, back_up(store, tree), tree


class TestContent:
    @pytest.mark.parametrize("window", [archive_windows.WINDOW, 1_000_000, 4096])
    def test_every_file(self, large: tuple[Store, Level, Path], window: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive_windows, "WINDOW", window)
        store, level, tree = large
        for name in ("random", "again", "sparse", "empty"):
            out = io.BytesIO()
            size = cat(store, level, os.fsencode(tree / name), out)
            assert out.getvalue() == (tree / name).read_bytes()
            assert size == len(out.getvalue())
        with tarfile.open(fileobj=io.BytesIO(archive(store, level))) as members:
            for member in members:
                if member.isreg():
                    content = members.extractfile(member)
                    assert content is not None
                    assert content.read() == Path("/", member.name).read_bytes()

    @pytest.mark.parametrize("name", ["", "nothing", "random/below", "link"])
    def test_what_is_no_file(self, large: tuple[Store, Level, Path], name: str) -> None:
        store, level, tree = large
        with pytest.raises(NothingSelected):
            cat(store, level, os.fsencode(tree / name), io.BytesIO())

    def test_a_writer_that_takes_little_at_a_time(self, large: tuple[Store, Level, Path]) -> None:
        class Sip(io.RawIOBase):
            taken = bytearray()

            def writable(self) -> bool:
                return True

            def write(self, data: Sequence[int] | memoryview) -> int:  # type: ignore[override]  # narrower on purpose
                self.taken += memoryview(data)[:65_537]  # type: ignore[arg-type]  # as above
                return min(len(data), 65_537)

        store, level, tree = large
        sip = Sip()
        cat(store, level, os.fsencode(tree / "random"), sip)
        assert bytes(sip.taken) == (tree / "random").read_bytes()

    @pytest.mark.parametrize("how", ["flipped", "deleted"])
    def test_damage_names_the_file_and_writes_nothing_wrong(self, large: tuple[Store, Level, Path], how: str) -> None:
        store, level, tree = large
        path = os.fsencode(tree / "random")
        (entry,) = [entry for entry in entries(store, level) if entry.path == path]
        last = entry.extents[-1].id
        assert last is not None
        place = store.find(last)
        assert place is not None
        backend = copied(store.backend)
        if how == "flipped":
            flip(backend, pack_object(place.pack), store.footer(place.pack).frames[place.frame].offset)
        else:
            backend.delete(pack_object(place.pack))
        damaged = reopened(backend)
        out = io.BytesIO()
        with pytest.raises((Corrupt, ObjectMissing), match="random"):
            cat(damaged, level, path, out)
        assert (tree / "random").read_bytes().startswith(out.getvalue())
        with pytest.raises((Corrupt, ObjectMissing), match="random"):
            archive(damaged, level, path)
        assert names(archive(damaged, level, b"sparse")) == [str(tree / "sparse")[1:]]

    def test_a_lost_manifest_ends_the_archive(self, large: tuple[Store, Level, Path]) -> None:
        store, level, _ = large
        place = store.find(level.sets[0].index[0][0])
        assert place is not None
        backend = copied(store.backend)
        flip(backend, pack_object(place.pack), store.footer(place.pack).frames[place.frame].offset)
        with pytest.raises(Corrupt):
            archive(reopened(backend), level)
