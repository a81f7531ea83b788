"""The trees of the demonstration: a real one (Python's own library) and attachments of every kind that a disk can hold.

Rule: `make_trees` and `change_trees` give the same bytes on every run with the same Python. What this user or this file
system may not make (devices, foreign owners, xattrs) is left out, and returned as a line that says so.
"""

import os
import random
import shutil
import stat
import struct
import sysconfig
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
WORDS = (
    "backup",
    "grain",
    "layer",
    "stone",
    "delta",
    "chunk",
    "frame",
    "pack",
    "group",
    "session",
    "manifest",
    "extent",
)
LEFT_OUT = ".tmp"  # the demonstration excludes these

# POSIX ACL, version 2: (tag, permissions, id) for owner, user 4711, group, mask, others.
NO_ID = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in [(1, 6, NO_ID), (2, 4, 4711), (4, 4, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)]
)


def make_trees(folder: Path, *, tiny: bool = False) -> list[str]:
    """Make `library` and `attachments` in the folder; the lines say what could not be made here."""
    library = Path(sysconfig.get_path("stdlib"))
    source = library / "email" if tiny else library
    ignored = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", "*.a")
    shutil.copytree(source, folder / "library", symlinks=True, ignore=ignored)
    attachments = folder / "attachments"
    attachments.mkdir()
    _contents(attachments, 1 if tiny else 48)
    _links_and_names(attachments)
    _modes_and_times(attachments)
    return _privileges(attachments)


def _contents(folder: Path, mib: int) -> None:
    chance = random.Random(1)
    lines = (
        f"{n:09d} {' '.join(chance.choices(WORDS, k=9))} {chance.getrandbits(64):016x}\n" for n in range(mib * 12_000)
    )
    with open(folder / "events.log", "w", encoding="utf-8") as log:
        log.writelines(lines)
    release = chance.randbytes(mib * MIB // 3)
    (folder / "release.bin").write_bytes(release)
    (folder / "the same release.bin").write_bytes(release)
    with open(folder / "disk.img", "wb") as image:
        image.truncate(256 * MIB)
        for place in (0, 100 * MIB + 12_345, 255 * MIB):
            image.seek(place)
            image.write(chance.randbytes(70_000))
    (folder / "empty").touch()
    (folder / f"still streaming in{LEFT_OUT}").write_text("not to be backed up")


def _links_and_names(folder: Path) -> None:
    (folder / "links").mkdir()
    for number in range(3):
        os.link(folder / "release.bin", folder / "links" / f"hard {number}")
    os.symlink("../events.log", folder / "links" / "soft")
    os.symlink("/nowhere/at all", folder / "links" / "dangling")
    os.symlink("../links", folder / "links" / "into itself")
    os.mkfifo(folder / "links" / "fifo")
    names = os.fsencode(folder) + b"/names"
    os.mkdir(names)
    for name in (b"caf\xe9 in Latin-1", b"two\nlines", b"-rf", "übermäßig".encode(), b"x" * 255):
        Path(os.fsdecode(names + b"/" + name)).write_bytes(name)
    deep = Path(os.fsdecode(names), *["a folder with quite a long name " + "x" * 60] * 25)
    deep.mkdir(parents=True)
    (deep / "at the bottom").write_text("here")


def _modes_and_times(folder: Path) -> None:
    modes = folder / "modes"
    modes.mkdir()
    for mode in (0o400, 0o644, 0o755, 0o2755, 0o4711):
        path = modes / f"file {mode:o}"
        path.write_text(oct(mode))
        path.chmod(mode)
        os.utime(path, ns=(10**18, 10**18 + mode * 1_000_003 + 7))
    os.utime(modes / "file 400", ns=(0, -86_400 * 10**9 + 1))  # the last day of 1969
    for mode in (0o700, 0o1777, 0o2750):
        (modes / f"folder {mode:o}").mkdir()
        (modes / f"folder {mode:o}").chmod(mode)
    os.utime(modes, ns=(10**18, 10**18 + 123_456_789))


def _privileges(folder: Path) -> list[str]:
    refused = []
    path = folder / "privileges"
    path.mkdir()
    for name in ("xattr", "acl", "owner"):
        (path / name).write_text(name)
    attempts: dict[str, Callable[[], None]] = {
        "xattrs": lambda: os.setxattr(path / "xattr", "user.siltstone", bytes(range(256))),
        "ACLs": lambda: os.setxattr(path / "acl", "system.posix_acl_access", ACL),
        "foreign owners": lambda: os.chown(path / "owner", 12_345, 23_456),
        "devices": lambda: os.mknod(path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    }
    for what, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            refused.append(f"{what}: {error.strerror}")
    return refused


def change_trees(folder: Path) -> None:
    """A day's work: append, overwrite in the middle, delete, add, rename, touch, change modes."""
    attachments, library = folder / "attachments", folder / "library"
    with open(attachments / "events.log", "a", encoding="utf-8") as log:
        log.writelines(f"the next day {number}\n" for number in range(20_000))
    with open(attachments / "the same release.bin", "r+b") as release:
        release.seek(100_001)
        release.write(b"a patch in the middle")
    with open(attachments / "disk.img", "r+b") as image:
        image.seek(200 * MIB)
        image.write(b"one more block" * 1000)
    sources = sorted(library.rglob("*.py"))
    for path in sources[::40]:
        path.unlink()
    for path in sources[1::40]:
        path.write_bytes(path.read_bytes() + b"\n# changed\n")
    sources[2].touch()
    sources[3].chmod(0o600)
    (attachments / "links").rename(attachments / "links, renamed")
    (attachments / "links, renamed" / "hard 0").unlink()
    os.link(attachments / "empty", attachments / "no longer alone")
    (attachments / "new").mkdir()
    for number in range(50):
        (attachments / "new" / f"note {number}").write_text(f"note {number}\n" * 20)
