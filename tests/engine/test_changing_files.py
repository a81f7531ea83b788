"""Files that change, vanish or cannot be read while they are backed up: recorded as such, and the rest is backed up.

The change is made by the test at the very moment: it wraps the call by which the program reads.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import Level, entries
from siltstone.engine.restore import restore_level
from siltstone.engine.workers import BUFFER
from siltstone.store import Store
from tests.backing_up import Place, content_of, picture, recorded
from tests.moments import before_small_files_are_read, once_it_is_scanned, while_it_is_read
from tests.unprivileged import folder_of_nobody, unprivileged

LARGE = 2 * BUFFER + 1000
Change = Callable[[Path], object]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    (place.tree / "a").write_bytes(b"before it")
    (place.tree / "z").write_bytes(b"behind it")
    return place


def held(store: Store, level: Level, path: Path) -> bytes | None:
    """The content of a file in a level; None where it is not in it."""
    found = list(entries(store, level, under=os.fsencode(path)))
    return content_of(store, found[0]) if found else None


def check_the_rest(place: Place, level: Level, *but: str) -> None:
    """All others are there, and all that is there can be restored."""
    found = recorded(place.open(), level)
    for path, seen in picture(place.tree).items():
        if path not in {os.fsencode(place.tree / name) for name in (*but, ".")}:
            assert found[path] == seen
    result = restore_level(place.open(), level, target=os.fsencode(place.folder / "out"), report=lambda event: None)
    assert not result.failures
    assert result.files == sum(files.files for files in level.sets)


def become(path: Path, make: Change) -> None:
    path.unlink()
    make(path)


SMALL: dict[str, tuple[Change, bytes | None]] = {
    "grows": (lambda path: path.write_bytes(b"much longer than before"), b"much longer than before"),
    "shrinks": (lambda path: path.write_bytes(b"-"), b"-"),
    "is emptied": (lambda path: path.write_bytes(b""), b""),
    "is rewritten": (lambda path: path.write_bytes(b"AFTER"), b"AFTER"),
    "is replaced": (lambda path: path.with_name("z").rename(path), b"behind it"),
    "gets another name": (lambda path: os.link(path, path.with_name("n2")), b"first"),
    "grows large": (lambda path: path.write_bytes(b"x" * LARGE), b"x" * LARGE),
    "vanishes": (Path.unlink, None),
    "becomes a folder": (lambda path: become(path, Path.mkdir), None),
    "becomes a link": (lambda path: become(path, lambda path: path.symlink_to("a")), None),
    "becomes a FIFO": (lambda path: become(path, os.mkfifo), None),
}


@pytest.mark.parametrize(
    "kind", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("a")], ids=["folder", "FIFO", "link"]
)
def test_a_large_file_that_is_something_else_once_it_is_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: Change
) -> None:
    path = place.tree / "file"
    path.write_bytes(bytes(LARGE))
    with monkeypatch.context() as patch:
        once_it_is_scanned(patch, "a", lambda: become(path, kind))
        level = place.level()
    assert place.warned == [("vanished", str(path))]
    check_the_rest(place, level, "file")
    assert recorded(place.open(), place.level()) == picture(place.tree)


@pytest.mark.parametrize("how", SMALL)
def test_a_small_file_that_changes_before_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """It is read as it is then, which is a state it really had; so nothing is wrong, unless it is gone."""
    change, expected = SMALL[how]
    path = place.tree / "file"
    path.write_bytes(b"first")
    with monkeypatch.context() as patch:
        before_small_files_are_read(patch, lambda: change(path))
        level = place.level()
    assert held(place.open(), level, path) == expected
    vanished = ["file"] if expected is None else ["z"] if how == "is replaced" else []
    assert place.warned == [("vanished", place.path(name)) for name in vanished]
    check_the_rest(place, level, "file", "n2", "z" if how == "is replaced" else "file")
    again = place.level()
    assert not place.warned
    assert recorded(place.open(), again) == picture(place.tree)


WHILE: dict[str, tuple[Change, Callable[[bytes], bytes]]] = {
    "grows": (lambda path: append(path, b"more"), lambda before: before),
    "shrinks to a part": (lambda path: os.truncate(path, BUFFER + 7), lambda before: before[: BUFFER + 7]),
    "shrinks to what was read": (lambda path: os.truncate(path, 10), lambda before: before[:BUFFER]),
    "is emptied": (lambda path: os.truncate(path, 0), lambda before: before[:BUFFER]),
    "changes at its end": (
        lambda path: overwrite(path, LARGE - 5, b"AFTER"),
        lambda before: before[: LARGE - 5] + b"AFTER",
    ),
    "changes at its beginning": (lambda path: overwrite(path, 0, b"AFTER"), lambda before: before),
    "changes its rights": (lambda path: path.chmod(0o600), lambda before: before),
    "is replaced": (lambda path: path.with_name("z").rename(path), lambda before: before),
    "vanishes": (Path.unlink, lambda before: before),
}


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("how", WHILE)
def test_a_large_file_that_changes_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    change, expected = WHILE[how]
    path = place.tree / "file"
    before = os.urandom(LARGE)
    path.write_bytes(before)
    with monkeypatch.context() as patch:
        while_it_is_read(patch, path, lambda: change(path))
        made = place.back_up()
    assert made.level is not None
    assert place.warned[:1] == [("changed", str(path))]
    assert made.warnings == len(place.warned)
    (found,) = entries(place.open(), made.level, under=os.fsencode(path))
    assert found.changed
    assert held(place.open(), made.level, path) == expected(before)
    check_the_rest(place, made.level, "file", "z" if how == "is replaced" else "file")
    again = place.level()
    assert not place.warned
    assert recorded(place.open(), again) == picture(place.tree), "what changed meanwhile is read again"
    assert not any(entry.changed for entry in entries(place.open(), again))


def test_a_file_that_changed_is_read_again_although_its_times_are_as_they_were(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last stat was taken after the change: an equal one proves nothing, whatever the clock of its server says."""
    monkeypatch.setattr("siltstone.engine.proof.TICK", -(10**18))
    path = place.tree / "file"
    path.write_bytes(os.urandom(LARGE))
    with monkeypatch.context() as patch:
        while_it_is_read(patch, path, lambda: overwrite(path, 0, b"behind the reader's back"))
        first = place.level()
    assert held(place.open(), first, path) != path.read_bytes()
    made = place.back_up()
    assert made.stats["read_bytes"] == LARGE
    assert made.level is not None
    assert held(place.open(), made.level, path) == path.read_bytes()
    assert place.back_up().stats["read_bytes"] == 0


@pytest.mark.parametrize("at", [0, 1, 2])
def test_read_errors_amid_large_files(place: Place, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """More of them than there are buffers: none may be lost on the way, or the backup would wait for ever."""
    names = [f"bad {number}" for number in range(12)]
    for name in names:
        (place.tree / name).write_bytes(os.urandom(LARGE))
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if "/bad " in os.readlink(f"/proc/self/fd/{fd}") and offset >= at * BUFFER - at * 600_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        level = place.level()
    assert place.warned == [("unreadable", place.path(name)) for name in sorted(names)]
    check_the_rest(place, level, *names)
    assert recorded(place.open(), place.level()) == picture(place.tree)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that cannot be read at its beginning")
def test_a_real_read_error(place: Place) -> None:
    """Nothing is mapped at address 0, and the kernel says EIO."""
    with open("/proc/self/mem", "rb") as file, pytest.raises(OSError) as caught:
        os.pread(file.fileno(), 1, 0)
    assert caught.value.errno == errno.EIO
    level = place.level(place.tree, Path("/proc/self/mem"))
    assert place.warned == [("unreadable", "/proc/self/mem")]
    assert [w[0] for w in level.warnings] == ["unreadable"]
    check_the_rest(place, level)


@contextmanager
def place_of_nobody() -> Iterator[tuple[Place, Callable[[], AbstractContextManager[object]]]]:
    """A place in a folder of nobody's, and what is called to give him all of it and to be him."""
    with folder_of_nobody() as folder:
        place = Place(folder)
        place.make_store()
        place.level()  # by then all that Python loads is loaded; its own folder may let nobody in

        def be_nobody() -> AbstractContextManager[object]:
            for path in place.folder.rglob("*") if os.geteuid() == 0 else ():
                os.chown(path, 65534, 65534)
            return unprivileged()

        yield place, be_nobody


def test_files_that_may_not_be_read() -> None:
    with place_of_nobody() as (place, be_nobody):
        (place.tree / "small").write_bytes(b"secret")
        (place.tree / "large").write_bytes(b"secret" * BUFFER)
        (place.tree / "plain").write_bytes(b"open to all")
        for name in ("small", "large"):
            (place.tree / name).chmod(0)
        with be_nobody():
            if os.access(place.tree / "small", os.R_OK, effective_ids=True):
                pytest.skip("rights do not matter here")
            level = place.level()
            assert sorted(place.warned) == [("unreadable", place.path("large")), ("unreadable", place.path("small"))]
            paths = {os.path.basename(path) for path in recorded(place.open(), level)}
            assert paths == {b"tree", b"plain"}
            assert level.stats["warnings"] == 2
            assert [w[:2] for w in level.warnings] == place.warned


def test_a_folder_that_cannot_be_listed_loses_only_itself() -> None:
    with place_of_nobody() as (place, be_nobody):
        (place.tree / "shut").mkdir()
        (place.tree / "shut" / "inside").write_bytes(b"x")
        (place.tree / "z").write_bytes(b"z")
        (place.tree / "shut").chmod(0)
        try:
            with be_nobody():
                level = place.level()
                assert ("unreadable", place.path("shut")) in place.warned
                paths = {os.path.basename(path) for path in recorded(place.open(), level)}
                assert paths == {b"tree", b"shut", b"z"}
        finally:
            (place.tree / "shut").chmod(0o700)
