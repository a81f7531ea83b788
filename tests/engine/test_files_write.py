"""Creating many files: the C module and its plain twin do the same; a name has a whole file or what it had before.

Rule: each test runs on both, or compares them. It makes real files on a real disk, and reaches a full one through a
limit on the size of files. What depends on being root is tested as root, the rest as whoever runs it.
"""

import errno
import os
import resource
import stat
import tempfile
import threading
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files_twins import OURS, US, compiled, each_twin, head, needs_both, opened, plain, somebody_else

GOOD = (0, "", 0, 0, 0)
needs_root = pytest.mark.skipif(US != 0, reason="only root gives files away")


def write(
    files: Any, folder: Path, contents: dict[bytes, bytes], meta: bytes | None = None, owner: bool = False
) -> Any:
    """Write all contents into one folder, laid out in the buffer the other way round."""
    buffer = b"".join(reversed(contents.values()))
    ends = [len(buffer) - before for before in accumulate(map(len, contents.values()), initial=0)]
    starts = ends[1:]
    lengths, temps = [len(content) for content in contents.values()], [b".tmp-%d" % i for i in range(len(contents))]
    with opened(folder) as fd:
        heads = [meta or head()] * len(contents)
        return files.write_files([fd] * len(temps), list(contents), temps, starts, lengths, heads, buffer, owner=owner)


class TestWritten:
    @needs_both
    @given(
        contents=st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=9000), max_size=8),
        mode=st.integers(0, 0o7777),
        mtime=st.integers(-(2**62), 2**62),
    )
    @settings(max_examples=80)
    def test_random_files(self, contents: dict[bytes, bytes], mode: int, mtime: int) -> None:
        names = {name.translate(bytes.maketrans(b"\0/", b"0~")) + b"_": text for name, text in contents.items()}
        seen = []
        for files in (plain, compiled):
            with tempfile.TemporaryDirectory() as folder:
                assert write(files, Path(folder), names, head(mode, mtime=mtime)) == [GOOD] * len(names)
                seen.append({name: picture(os.path.join(os.fsencode(folder), name)) for name in sorted_names(folder)})
        assert seen[0] == seen[1]
        assert {name: content for name, (content, *_) in seen[0].items()} == names
        assert {found for _, found, *_ in seen[0].values()} <= {mode}

    @each_twin
    @pytest.mark.parametrize("mtime", [0, -1, 1_999_999_999, 1_700_000_000_000_000_001, -1_000_000_000, -1_000_000_001])
    def test_times_to_the_nanosecond(self, files: Any, tmp_path: Path, mtime: int) -> None:
        write(files, tmp_path, {b"file": b"x"}, head(mtime=mtime))
        assert os.stat(tmp_path / "file").st_mtime_ns == mtime

    @each_twin
    @pytest.mark.parametrize("umask", [0, 0o027, 0o777])
    @pytest.mark.parametrize("mode", [0o644, 0o444, 0o666, 0o2755, 0o4711, 0])
    def test_the_mode_is_the_recorded_one_whatever_the_umask(
        self, files: Any, tmp_path: Path, mode: int, umask: int
    ) -> None:
        before = os.umask(umask)
        try:
            assert write(files, tmp_path, {b"file": b"x"}, head(mode), owner=True) == [GOOD]
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode

    @each_twin
    def test_what_has_the_name_is_replaced_and_not_followed(self, files: Any, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        inside = tmp_path / "inside"
        inside.mkdir()
        outside.write_bytes(b"stays")
        (inside / "link").symlink_to(outside)
        os.link(outside, inside / "hard")
        (inside / "old").write_bytes(b"old")
        names = (b"link", b"hard", b"old")
        assert write(files, inside, dict.fromkeys(names, b"new")) == [GOOD] * 3
        assert outside.read_bytes() == b"stays"
        assert [(inside / os.fsdecode(name)).read_bytes() for name in names] == [b"new"] * 3
        assert not (inside / "link").is_symlink()

    @each_twin
    def test_a_file_is_never_seen_in_part(self, files: Any, tmp_path: Path) -> None:
        contents = {b"%d" % i: b"%d" % (i % 10) * 300_000 for i in range(40)}
        stop, partial = threading.Event(), []

        def watch() -> None:
            while not stop.is_set():
                for name in os.listdir(os.fsencode(tmp_path)):
                    if not name.startswith(b".tmp"):
                        found = os.stat(os.path.join(os.fsencode(tmp_path), name))
                        if found.st_size != 300_000 or found.st_mtime_ns % 10 != 9:
                            partial.append(name)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            for _ in range(3):
                assert write(files, tmp_path, contents) == [GOOD] * 40
        finally:
            stop.set()
            thread.join()
        assert partial == []

    @each_twin
    def test_in_a_folder_that_is_itself_a_temporary_no_renaming_is_needed(self, files: Any, tmp_path: Path) -> None:
        with opened(tmp_path) as fd:
            results = files.write_files(
                [fd] * 2, [b"a"] * 2, [b"a"] * 2, [0] * 2, [1] * 2, [head()] * 2, b"x", owner=False
            )
        assert results == [GOOD, (errno.EEXIST, "create", 0, 0, 0)]
        assert (tmp_path / "a").read_bytes() == b"x"


class TestFailures:
    @each_twin
    def test_each_is_its_own_and_leaves_nothing(self, files: Any, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / ".tmp-1").write_bytes(b"somebody's")
        contents = {b"folder": b"1", b"taken": b"2", b"x" * 256: b"3", b"good": b"4"}
        results = write(files, tmp_path, contents)
        assert [result[:2] for result in results] == [
            (errno.EISDIR, "rename"),
            (errno.EEXIST, "create"),
            (errno.ENAMETOOLONG, "rename"),
            (0, ""),
        ]
        assert sorted_names(tmp_path) == [b".tmp-1", b"folder", b"good"]
        assert (tmp_path / ".tmp-1").read_bytes() == b"somebody's"

    @each_twin
    def test_a_closed_directory(self, files: Any) -> None:
        assert files.write_files([-1], [b"a"], [b"b"], [0], [0], [head()], b"", owner=False) == [
            (errno.EBADF, "create", 0, 0, 0)
        ]

    @each_twin
    def test_a_disk_that_takes_only_a_part(self, files: Any, tmp_path: Path) -> None:
        (tmp_path / "big").write_bytes(b"old")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        try:
            results = write(files, tmp_path, {b"big": b"x" * 5001, b"small": b"y" * 5000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert results == [(errno.EFBIG, "write", 0, 0, 0), GOOD]
        assert sorted_names(tmp_path) == [b"big", b"small"]
        assert (tmp_path / "big").read_bytes() == b"old"

    @each_twin
    @pytest.mark.parametrize("wrong", [b"", b".", b"..", b"../x", b"a/b", b"/", b"a\0"])
    @pytest.mark.parametrize("column", [1, 2])
    def test_nothing_is_written_elsewhere(self, files: Any, tmp_path: Path, wrong: bytes, column: int) -> None:
        with opened(tmp_path) as fd:
            columns: list[list[Any]] = [[fd, fd], [b"a", b"b"], [b"c", b"d"], [0, 0], [0, 0], [head(), head()]]
            columns[column][1] = wrong
            with pytest.raises(ValueError):
                files.write_files(*columns, b"", owner=False)
        assert sorted_names(tmp_path) == []

    @each_twin
    def test_arguments_that_make_no_sense(self, files: Any, tmp_path: Path) -> None:
        with opened(tmp_path) as fd:
            good = [[fd], [b"a"], [b"b"], [1], [2], [head()], b"xxx"]
            for column, wrong in [
                (1, []),
                (5, [head(), head()]),
                (3, [2]),
                (4, [3]),
                (3, [-1]),
                (4, [-1]),
                (3, [2**62]),
                (5, [head()[:55]]),
            ]:
                with pytest.raises(ValueError):
                    files.write_files(*good[:column], wrong, *good[column + 1 :], owner=False)
            for column, nonsense in [(0, ["fd"]), (1, ["a"]), (3, ["1"]), (5, [None]), (6, "text")]:
                with pytest.raises(TypeError):
                    files.write_files(*good[:column], nonsense, *good[column + 1 :], owner=False)
            with pytest.raises(TypeError):
                files.write_files(*good)
            assert sorted_names(tmp_path) == []
            assert files.write_files(*good, owner=False) == [GOOD]


class TestOwner:
    @each_twin
    @needs_root
    def test_owner_before_mode(self, files: Any, tmp_path: Path) -> None:
        assert write(files, tmp_path, {b"a": b"x"}, head(0o6755, 1234, 4321), owner=True) == [GOOD]
        found = os.stat(tmp_path / "a")
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o6755)

    @each_twin
    def test_not_asked_for_is_not_set_and_not_made_setuid(self, files: Any, tmp_path: Path) -> None:
        assert write(files, tmp_path, {b"a": b"x"}, head(0o6755, US + 1234, OURS)) == [GOOD]
        found = os.stat(tmp_path / "a")
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (US, OURS, 0o2755)

    @each_twin
    @pytest.mark.parametrize(("uid", "gid"), [(2**32 - 1, 0), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1)])
    def test_nobody_at_all(self, files: Any, tmp_path: Path, uid: int, gid: int) -> None:
        results = write(files, tmp_path, {b"a": b"x"}, head(0o6755, uid or US, gid or OURS), owner=True)
        assert results == [(0, "", errno.EINVAL, 0, 0)]
        kept = (stat.S_ISUID if uid == 0 else 0) | (stat.S_ISGID if gid == 0 else 0)
        assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o755 | kept

    @each_twin
    def test_who_may_not_give_away_gets_the_content_all_the_same(
        self, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tmp_path.chmod(0o777)
        monkeypatch.chdir(tmp_path)
        with somebody_else():
            [result] = write(files, Path(), {b"a": b"x"}, head(0o6755, 4711, 4712), owner=True)
        refused = {errno.EPERM, errno.EINVAL}  # the latter in a user namespace that does not know them
        assert result in [(0, "", code, 0, 0) for code in refused]
        assert stat.S_IMODE(os.stat("a").st_mode) == 0o755
        assert Path("a").read_bytes() == b"x"

    @each_twin
    @needs_root
    def test_a_member_of_the_group_can_give_it_the_group(
        self, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tmp_path.chmod(0o777)
        monkeypatch.chdir(tmp_path)
        with somebody_else(groups=[4712]):
            results = write(files, Path(), {b"a": b"x"}, head(0o640, 4711, 4712), owner=True)
        assert results == [(0, "", errno.EPERM, 0, 0)]
        assert os.stat("a").st_gid == 4712


def sorted_names(folder: Path | str) -> list[bytes]:
    return sorted(os.listdir(os.fsencode(folder)))


def picture(path: bytes) -> tuple[bytes, int, int, int, int]:
    found = os.lstat(path)
    os.chmod(path, 0o600)
    with open(path, "rb") as file:
        return file.read(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns
