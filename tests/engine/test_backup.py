"""A backup: what is compared with what, what is read again, what a level says of itself; dry runs tell the truth."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from siltstone.engine import Deployment, FileSet, Noted, Progress, SourceError, back_up
from siltstone.engine import backup_run as module
from siltstone.engine.files import STAT, read_files, scan_directory, stat_of, stat_path
from tests.backing_up import Place, calm_down, picture, recorded
from tests.moments import nothing_ahead


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    for name in ("a", "b", "c"):
        (place.tree / name).write_bytes(name.encode() * 1000)
    return place


def objects(place: Place) -> list[tuple[str, int, int]]:
    """Everything in the store's folder, temporaries too."""
    found = [path for path in (place.folder / "store").rglob("*") if path.is_file()]
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found)


def test_kinds_and_what_they_are_compared_with(place: Place) -> None:
    first = place.level()
    assert (str(first.ref), first.kind, first.parent) == ("0/0", "full", None)
    (place.tree / "a").write_bytes(b"A" * 1001)
    one = place.level()
    assert (str(one.ref), one.kind, one.parent, one.stats["read_bytes"]) == ("0/1", "incr", 0, 1001)
    (place.tree / "b").write_bytes(b"B" * 1002)
    two = place.level(kind="diff")
    assert (str(two.ref), two.kind, two.parent, two.stats["read_bytes"]) == ("0/2", "diff", 0, 2003)
    three = place.level(kind="incr")
    assert (str(three.ref), three.kind, three.parent, three.stats["read_bytes"]) == ("0/3", "incr", 2, 0)
    full = place.level(kind="full")
    assert (str(full.ref), full.kind, full.parent, full.stats["read_bytes"]) == ("1/0", "full", None, 3003)
    assert [str(level.ref) for level in place.levels()] == ["0/0", "0/1", "0/2", "0/3", "1/0"]
    assert recorded(place.open(), place.levels()[3]) == recorded(place.open(), full) == picture(place.tree)


@pytest.mark.parametrize("kind", ["incr", "diff"])
def test_there_is_nothing_to_compare_with(place: Place, kind: str) -> None:
    level = place.level(kind=kind)
    assert (str(level.ref), level.kind) == ("0/0", "full")
    assert any("becomes one" in str(event) for event in place.events if isinstance(event, Noted))


def test_what_a_level_says_of_itself(place: Place) -> None:
    (place.tree / "folder").mkdir()
    (place.tree / "link").symlink_to("a")
    calm_down()
    started = time.time_ns()
    deployment = replace(place.deployment(), version="7.1", privilege="privileged")
    level = back_up(place.open(), deployment, report=place.events.append).level
    assert level is not None
    assert started <= level.started_ns <= level.finished_ns <= time.time_ns()
    assert (level.host, level.product_version, level.privilege) == (os.uname().nodename, "7.1", "privileged")
    (files,) = level.sets
    assert (files.name, files.roots, files.entries, files.files, files.bytes) == (
        "files", (os.fsencode(place.tree),), 6, 3, 3000,
    )  # fmt: skip
    counted = {name: level.stats[name] for name in (*module.COUNTS, "known_chunks", "warnings")}
    assert counted == {
        "files": 3, "bytes": 3000, "directories": 2, "others": 1, "new": 6, "changed": 0, "unchanged": 0, "gone": 0,
        "skipped": 0, "read_bytes": 3000, "known_chunks": 0, "warnings": 0,
    }  # fmt: skip
    packs = (place.folder / "store" / "packs").rglob("*")
    assert level.stats["stored_bytes"] == sum(path.stat().st_size for path in packs if path.is_file())
    (place.tree / "a").unlink()
    (place.tree / "folder").rmdir()
    again = place.level().stats
    assert (again["new"], again["changed"], again["unchanged"], again["gone"]) == (0, 1, 3, 2)


def change_content(path: Path) -> None:
    """And set the mtime back."""
    path.write_bytes(b"A" * 1000)
    os.utime(path, ns=(0, 10**18))


def replace_file(path: Path) -> None:
    """By another one of the same size and mtime."""
    change_content(path.with_name("other"))
    path.with_name("other").rename(path)


def shorten(path: Path) -> None:
    os.truncate(path, 999)
    os.utime(path, ns=(0, 10**18))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": change_content,
    "another file": replace_file,
    "mtime": lambda path: os.utime(path, ns=(0, 10**18 + 1)),
    "mode": lambda path: path.chmod(0o600),
    "size": shorten,
    "xattr": lambda path: os.setxattr(path, "user.note", b"x"),
    "another name": lambda path: os.link(path, path.with_name("also")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_read_again(place: Place, change: Callable[[Path], object]) -> None:
    path = place.tree / "a"
    os.utime(path, ns=(0, 10**18))
    place.level()
    change(path)
    level = place.level()
    assert level.stats["read_bytes"] == path.stat().st_size
    assert recorded(place.open(), level) == picture(place.tree)
    assert place.level().stats["read_bytes"] == 0


def test_what_is_not_opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is, when nothing changed: not a file, nor a folder's attributes."""
    (place.tree / "large").write_bytes(os.urandom(5 << 20))
    (place.tree / "folder").mkdir()
    (place.tree / "link").symlink_to("a")
    place.level()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was read")

    for name in ("read_files", "open_to_read", "capture"):
        monkeypatch.setattr(f"siltstone.engine.content.{name}", refuse)
    level = place.level()
    assert level.stats["unchanged"] == 7
    assert level.stats["new_bytes"] == 0


def as_before(monkeypatch: pytest.MonkeyPatch, path: Path, stat: bytes) -> None:
    """The file system says that the file is as it was, down to its ctime and inode."""

    def listing(folder: bytes, small: bool) -> list[tuple[bytes, bytes]]:
        return [(name, stat if name == path.name.encode() else found) for name, found in scan_directory(folder)]

    nothing_ahead(monkeypatch)
    monkeypatch.setattr("siltstone.engine.scan.scan_directory", listing)


def test_a_full_backup_reads_what_looks_unchanged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.tree / "b"
    before = stat_path(os.fsencode(path))
    place.level()
    path.write_bytes(b"X" * 1000)
    as_before(monkeypatch, path, before)
    trusting = place.level(kind="incr")
    assert recorded(place.open(), trusting)[os.fsencode(path)].content == b"b" * 1000
    full = place.level(kind="full")
    assert recorded(place.open(), full)[os.fsencode(path)].content == b"X" * 1000
    assert full.stats["read_bytes"] >= 3000


@pytest.mark.parametrize("clock", [4_000_000, 1_000_000_000, 2_000_000_000], ids=["a tick", "a second", "two seconds"])
def test_a_change_within_a_tick_of_the_clock_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch, clock: int
) -> None:
    """Kernels before 6.13 and old file systems keep coarse times: two changes may have the same."""

    def coarse(stat: bytes) -> bytes:
        fields = list(STAT.unpack(stat))
        fields[5:7] = [time_ns - time_ns % clock for time_ns in fields[5:7]]
        return STAT.pack(*fields)

    coarsened = {
        "scan.scan_directory": lambda folder, small: [(name, coarse(stat)) for name, stat in scan_directory(folder)],
        "content.stat_of": lambda fd: coarse(stat_of(fd)),
        "content.read_files": lambda *given: [(*r[:3], coarse(r[3]), *r[4:]) for r in read_files(*given)],
    }
    nothing_ahead(monkeypatch)
    for name, function in coarsened.items():
        monkeypatch.setattr(f"siltstone.engine.{name}", function)
    path = place.tree / "a"
    while time.time_ns() % clock > clock // 4:  # a moment that leaves time before the next tick
        time.sleep(0.0005)
    path.write_bytes(b"1" * 1000)
    first = back_up(place.open(), place.deployment(), report=place.events.append).level
    path.write_bytes(b"2" * 1000)
    assert first is not None
    assert recorded(place.open(), first)[os.fsencode(path)].content == b"1" * 1000
    second = place.level()
    assert recorded(place.open(), second)[os.fsencode(path)].content == b"2" * 1000


def test_what_changed_long_before_the_last_backup_is_not_doubted(place: Place) -> None:
    place.level()
    calm_down()
    assert place.level().stats["unchanged"] == 4


@pytest.mark.parametrize("kind", ["full", "incr", "diff"])
def test_a_dry_run_stores_nothing_and_tells_what_a_backup_adds(place: Place, kind: str) -> None:
    (place.tree / "twice").write_bytes(b"a" * 1000)
    (place.tree / "large").write_bytes(os.urandom(5 << 20))
    os.truncate(place.tree / "large", 9 << 20)
    for _ in range(3):
        before = objects(place)
        dry = place.back_up(kind=kind, dry_run=True)
        assert (dry.dry_run, dry.level) == (True, None)
        assert objects(place) == before
        made = place.back_up(kind=kind)
        assert made.ref == dry.ref
        told = {name: dry.stats[name] for name in dry.stats if name not in ("duration_ns", "stored_bytes")}
        assert told == {name: made.stats[name] for name in told}
        with (place.tree / "large").open("r+b") as file:
            file.seek(1 << 20)
            file.write(os.urandom(1000))
        (place.tree / "b").unlink(missing_ok=True)


def test_several_file_sets(place: Place) -> None:
    """Each has its own base, whatever else was in the deployment by then; sets may overlap."""
    (place.tree / "sub").mkdir()
    (place.tree / "sub" / "x").write_bytes(b"x" * 100)
    whole = FileSet("whole", (os.fsencode(place.tree),))
    part = FileSet("part", (os.fsencode(place.tree / "sub"),))

    def run(*sets: FileSet) -> dict[str, int]:
        calm_down()
        level = back_up(place.open(), Deployment("sets", sets), report=place.events.append).level
        assert level is not None
        assert [files.name for files in level.sets] == [files.name for files in sets]
        for files in sets:
            roots = [Path(os.fsdecode(path)) for path in files.paths]
            assert recorded(place.open(), level, files.name) == picture(*roots)
        return level.stats

    assert run(whole)["read_bytes"] == 3100
    assert run(part, whole)["read_bytes"] == 100
    assert run(whole, part)["read_bytes"] == 0
    assert run(part)["read_bytes"] == 0
    assert run(replace(part, name="renamed"))["read_bytes"] == 100


def test_paths_that_are_missing(place: Place) -> None:
    """Who names a path for this very backup wants it; a file that describes a product names what some hosts lack."""
    roots = (place.tree / "a", place.tree / "nothing", place.tree / "none*")
    level = place.level(*roots)
    assert set(recorded(place.open(), level)) == {os.fsencode(place.tree / "a")}
    assert place.warned == [("missing", place.path("nothing")), ("missing", place.path("none*"))]
    place.events.clear()
    back_up(place.open(), replace(place.deployment(*roots), source=Path("x.toml")), report=place.events.append)
    assert not place.warned
    assert sum("is not there" in str(event) for event in place.events if isinstance(event, Noted)) == 2


def test_nothing_of_what_was_named_is_there(place: Place) -> None:
    with pytest.raises(SourceError):
        place.back_up(place.tree / "nothing")
    assert not place.levels()
    assert not list((place.folder / "store" / "sessions").glob("*"))


def test_roots_of_every_kind(place: Place) -> None:
    (place.tree / "soft").symlink_to("a")
    os.mkfifo(place.tree / "fifo")
    roots = [place.tree / name for name in ("soft", "fifo", "b")]
    level = place.level(*roots)
    assert recorded(place.open(), level) == {os.fsencode(p): picture(place.tree)[os.fsencode(p)] for p in roots}


def test_the_store_inside_the_tree(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make_store()
    (place.tree / "a").write_bytes(b"a")
    for _ in range(2):
        level = place.level(place.folder)
        paths = {os.fsdecode(os.path.relpath(path, os.fsencode(tmp_path))) for path in recorded(place.open(), level)}
        assert paths == {".", "store", "tree", "tree/a"}


def test_the_store_on_the_same_device_is_noted(place: Place) -> None:
    place.level()
    assert ["same device" in str(event) for event in place.events if isinstance(event, Noted)] == [True]


def test_progress_is_told_and_not_too_often(place: Place) -> None:
    for number in range(2000):
        (place.tree / f"{number}").touch()
    started = time.monotonic()
    place.level()
    lasted = time.monotonic() - started
    told = [event for event in place.events if isinstance(event, Progress)]
    assert 1 <= len(told) <= 2 + lasted * 11
    assert [event.files for event in told] == sorted(event.files for event in told)
