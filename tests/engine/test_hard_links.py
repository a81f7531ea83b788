"""Hard links: every name is an entry with the whole content, read once, and the names belong together again."""

import os
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import Deployment, Entry, FileSet, Level, Warned, back_up, content, entries
from siltstone.engine import walk as module
from siltstone.engine.files import scan_directory
from siltstone.engine.restore import restore_level
from siltstone.engine.scan import BLOCKS_AT, DEV_AT
from siltstone.engine.workers import BUFFER
from tests.backing_up import Place, calm_down, picture, recorded
from tests.moments import before_small_files_are_read, nothing_ahead, once_it_is_scanned
from tests.trees import difference


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    return place


def check(place: Place, level: Level) -> None:
    """The level is the tree as it is now, also when it is restored."""
    assert recorded(place.open(), level) == picture(place.tree)
    out = place.folder / "out" / str(level.level)
    result = restore_level(place.open(), level, target=os.fsencode(out), report=lambda event: None)
    assert not result.failures
    assert difference(place.tree, out / place.tree.relative_to("/")) == []


def link(first: Path, *names: Path) -> None:
    for name in names:
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, name)


@pytest.mark.parametrize("size", [0, 10, 200_000, BUFFER + 1])
def test_a_file_of_many_names_is_read_once(place: Place, size: int) -> None:
    first = place.tree / "m"
    first.write_bytes(os.urandom(size))
    link(first, place.tree / "a", place.tree / "m2", place.tree / "z" / "z", place.folder / "outside")
    level = place.level()
    assert level.stats["read_bytes"] == size
    check(place, level)
    again = place.level()
    assert (again.stats["read_bytes"], again.stats["changed"]) == (0, 0)
    check(place, again)


def test_names_come_and_go(place: Place) -> None:
    """One level after the other; each time the names that are left are read once, because the inode changed."""
    first = place.tree / "f" / "first"
    first.parent.mkdir()
    first.write_bytes(b"content")
    check(place, place.level())
    link(first, place.tree / "a new name before it", place.tree / "z")
    level = place.level()
    assert level.stats["read_bytes"] == 7
    check(place, level)
    first.write_bytes(b"changed through one name")
    check(place, place.level())
    first.unlink()
    check(place, place.level())
    (place.tree / "z").rename(place.tree / "b")
    check(place, place.level())
    (place.tree / "b").unlink()
    check(place, place.level())
    assert place.level().stats["changed"] == 0


def test_a_link_that_is_cut_by_a_copy(place: Place) -> None:
    link_of = place.tree / "b"
    (place.tree / "a").write_bytes(b"content")
    link(place.tree / "a", link_of)
    place.level()
    link_of.unlink()
    link_of.write_bytes(b"content")
    check(place, place.level())


def test_links_of_what_is_no_file(place: Place) -> None:
    os.mkfifo(place.tree / "fifo")
    (place.tree / "soft").symlink_to("nowhere")
    for name in ("fifo", "soft"):
        os.link(place.tree / name, place.tree / f"{name} again", follow_symlinks=False)
    check(place, place.level())
    check(place, place.level())


def deployment(place: Place, *sets: str) -> Deployment:
    return Deployment("sets", tuple(FileSet(name, (os.fsencode(place.tree / name),)) for name in sets))


def test_links_across_file_sets(place: Place) -> None:
    for name in ("one", "two"):
        (place.tree / name).mkdir()
    (place.tree / "one" / "a").write_bytes(b"c" * 1000)
    link(place.tree / "one" / "a", place.tree / "two" / "b", place.tree / "two" / "c")
    calm_down()
    made = back_up(place.open(), deployment(place, "one", "two"), report=place.events.append)
    assert made.level is not None
    assert made.stats["read_bytes"] == 2000, "once in each file set"
    assert made.stats["known_chunks"] >= 1
    (place.tree / "two" / "c").unlink()
    calm_down()
    again = back_up(place.open(), deployment(place, "one", "two"), report=place.events.append).level
    assert again is not None
    found = recorded(place.open(), again)
    for path, seen in picture(place.tree / "one", place.tree / "two").items():
        assert found[path] == seen
    links = {entry.link for entry in entries(place.open(), again) if entry.size == 1000}
    assert len(links) == 1
    restore_level(place.open(), again, target=os.fsencode(place.folder / "out"), report=lambda event: None)
    restored = place.folder / "out" / place.tree.relative_to("/")
    assert (restored / "one" / "a").samefile(restored / "two" / "b")


def test_a_link_whose_first_name_is_many_batches_before(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name waits for nothing, and what comes between is not held for the last name."""
    monkeypatch.setattr(module, "WAITING", 20)
    monkeypatch.setattr(content, "BATCH_FILES", 7)
    for number in range(200):
        (place.tree / f"{number:03}").write_bytes(b"%d" % number)
    for name in ("000 link", "100 link", "zzz"):
        link(place.tree / "000", place.tree / name)
    link(place.tree / "150", place.tree / "151 link")
    level = place.level()
    check(place, level)


def test_many_further_names_wait_for_no_more_than_others_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 10)
    monkeypatch.setattr(content, "BATCH_FILES", 5)
    for number in range(100):
        (place.tree / f"a{number:03}").write_bytes(b"%d" % number)
        link(place.tree / f"a{number:03}", place.tree / f"b{number:03}")
    longest = [0]
    real = module.SetWalk._wait

    def watched(self: module.SetWalk, item: Any) -> None:
        longest[0] = max(longest[0], len(self._waiting))
        real(self, item)

    monkeypatch.setattr(module.SetWalk, "_wait", watched)
    check(place, place.level())
    assert 0 < longest[0] <= 20


def test_a_name_whose_first_name_vanished_is_read_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.tree / "a").write_bytes(b"content")
    link(place.tree / "a", place.tree / "b", place.tree / "c")
    with monkeypatch.context() as patch:
        before_small_files_are_read(patch, (place.tree / "a").unlink)
        level = place.level()
    assert place.warned == [("vanished", place.path("a"))]
    found = {entry.path: entry for entry in entries(place.open(), level)}
    assert os.fsencode(place.tree / "a") not in found
    names = [os.fsencode(place.tree / name) for name in ("b", "c")]
    assert [recorded(place.open(), level)[name].content for name in names] == [b"content"] * 2
    assert found[names[0]].link == found[names[1]].link is not None
    check(place, place.level())


@pytest.mark.parametrize("size", [17, BUFFER])
@pytest.mark.parametrize("size_before", [17, BUFFER])
def test_a_file_that_gets_the_inode_of_one_that_was_scanned(
    place: Place, monkeypatch: pytest.MonkeyPatch, size_before: int, size: int
) -> None:
    """The numbers are equal, and the files have nothing to do with each other. A large one is read when it is met."""
    content = os.urandom(size)
    early, late = place.tree / "a" / "early", place.tree / "z" / "late"
    for path in (early, late):
        path.parent.mkdir()
    early.write_bytes(bytes(size_before))
    names = [early, early.with_name("early too"), place.folder / "a name that is not met"]
    link(*names)
    number = early.stat().st_ino

    def exchange() -> None:
        for name in names:
            name.unlink()
        spare = []
        for attempt in range(1000):  # the file system gives a free number to whom it likes
            late.write_bytes(content)
            if late.stat().st_ino == number:
                break
            spare.append(late.rename(place.folder / f"spare {attempt}"))
        else:
            pytest.skip("this file system does not give the number again")
        link(late, late.with_name("late too"))

    with monkeypatch.context() as patch:
        once_it_is_scanned(patch, "z", exchange)
        level = place.level()
    found = {entry.path: entry for entry in entries(place.open(), level)}
    seen = recorded(place.open(), level)
    assert [kind for kind, _ in place.warned] == (["vanished"] * 2 if size_before == 17 else [])
    for path in (late, late.with_name("late too")):
        assert seen[os.fsencode(path)].content == content
        assert found[os.fsencode(path)].ino == number
        assert size_before == 17 or found[os.fsencode(path)].link != found[os.fsencode(early)].link
    out = place.folder / "out"
    restore_level(place.open(), level, target=os.fsencode(out), report=lambda event: None)
    assert (out / late.relative_to("/")).read_bytes() == content
    check(place, place.level())


def test_devices_that_have_other_numbers_since(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a start of the system: what is unchanged is not read, and its names belong to the device of today."""
    (place.tree / "a").write_bytes(os.urandom(1000))
    os.setxattr(place.tree / "a", "user.note", b"kept")
    os.mkfifo(place.tree / "fifo")
    link(place.tree / "a", place.tree / "b")
    link(place.tree / "fifo", place.tree / "z")

    def elsewhere(folder: bytes, small: bool) -> list[tuple[bytes, bytes]]:
        listed = scan_directory(folder)
        return [(name, stat[:DEV_AT] + b"another!" + stat[BLOCKS_AT:]) for name, stat in listed]

    with monkeypatch.context() as patch:
        nothing_ahead(patch)
        patch.setattr("siltstone.engine.scan.scan_directory", elsewhere)
        place.level()
    today = place.level()
    assert (today.stats["read_bytes"], today.stats["changed"]) == (0, 0)
    devices = {entry.link[0] for entry in entries(place.open(), today) if entry.link is not None}
    assert devices == {place.tree.stat().st_dev}
    check(place, today)


def test_a_file_that_changes_between_the_scan_of_its_names(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = place.tree / "a", place.tree / "z" / "second"
    first.write_bytes(b"before")
    link(first, second)
    with monkeypatch.context() as patch:
        once_it_is_scanned(patch, "z", lambda: first.write_bytes(b"and after"))
        level = place.level()
    assert not [event for event in place.events if isinstance(event, Warned) and event.kind != "changed"]
    found: dict[bytes, Entry] = {entry.path: entry for entry in entries(place.open(), level)}
    assert found[os.fsencode(first)].link == found[os.fsencode(second)].link is not None
    contents = recorded(place.open(), level)
    assert contents[os.fsencode(first)].content == contents[os.fsencode(second)].content
    check(place, place.level())
