"""For tests of backups: a place with a tree and a store, what a tree holds, and what a level says that it holds.

Rule: `picture` reads the disk with nothing of the program under test. `recorded` reads a level as a restore has to, by
its entries and their chunks, and holds what is true of every level against it: the order, the sizes, the counts.
Levels are compared as pictures; what else metadata is, whole restores and `trees.difference` compare.
"""

import os
import stat
import time
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, field

from siltstone.engine import (
    BackupResult,
    Deployment,
    Entry,
    Event,
    FileSet,
    Level,
    Warned,
    back_up,
    entries,
    extents_of,
    list_levels,
)
from siltstone.engine.exclude import SkipRules
from siltstone.engine.extent_content import read_content
from siltstone.store import Backend, KeyFile, Store
from siltstone.store.directory import DirectoryBackend

KEY = KeyFile(b"grains laid down in layers......")
DEFAULT = SkipRules()
FORMATS = (stat.S_IFREG, stat.S_IFLNK)


class Seen(NamedTuple):
    """What there is to say of one path. `content` is that of a file or a link; `names` are all names of its inode."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes
    device: int
    names: tuple[bytes, ...]
    xattrs: tuple[tuple[bytes, bytes], ...]


Picture = dict[bytes, Seen]


def picture(*roots: Path | bytes) -> Picture:
    """Everything at and below these paths."""
    found: dict[bytes, os.stat_result] = {}
    for root in roots:
        top = os.fsencode(root)
        found[top] = os.lstat(top)
        for folder, folders, files in os.walk(top):
            for name in folders + files:
                path = os.path.join(folder, name)
                found[path] = os.lstat(path)
    inodes: dict[tuple[int, int], list[bytes]] = {}
    for path, st in found.items():
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            inodes.setdefault((st.st_dev, st.st_ino), []).append(path)
    return {path: _seen(path, st, inodes.get((st.st_dev, st.st_ino), [])) for path, st in found.items()}


def _seen(path: bytes, st: os.stat_result, names: Collection[bytes]) -> Seen:
    content, device = b"", 0
    if stat.S_ISREG(st.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
    elif stat.S_ISLNK(st.st_mode):
        content = os.readlink(path)
    else:
        device = st.st_rdev
    listed = sorted(map(os.fsencode, os.listxattr(path, follow_symlinks=False)))
    xattrs = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in listed)
    return Seen(st.st_mode, (st.st_uid, st.st_gid), st.st_mtime_ns, content, device, tuple(sorted(names)), xattrs)


def content_of(store: Store, entry: Entry) -> bytes:
    """The content of a file in a level; its extents have to be as long as its size."""
    extents = list(extents_of(store, entry))
    pieces = list(read_content(store.read_chunk, extents))
    assert [len(piece) for piece in pieces] == [extent.size for extent in extents if not extent.is_difference]
    content = b"".join(pieces)
    assert len(content) == entry.size
    return content


def recorded(store: Store, level: Level, set_name: str | None = None) -> Picture:
    """What a level, or one file set of it, holds; names of an inode are those in it."""
    found: dict[bytes, Entry] = {}
    links: dict[tuple[int, int], list[bytes]] = {}
    for files in level.sets:
        if set_name not in (None, files.name):
            continue
        of_set = list(entries(store, level, set_name=files.name))
        keys = [entry.path.split(b"/") for entry in of_set]
        assert all(one < other for one, other in pairwise(keys)), "rows are not in path order"
        regular = [entry for entry in of_set if stat.S_ISREG(entry.mode)]
        assert (files.entries, files.files) == (len(of_set), len(regular))
        for entry in of_set:
            found[entry.path] = entry
            if entry.link is not None and entry.path not in links.setdefault(entry.link, []):
                links[entry.link].append(entry.path)
    return {path: _of_entry(store, entry, links) for path, entry in found.items()}


def _of_entry(store: Store, entry: Entry, links: dict[tuple[int, int], list[bytes]]) -> Seen:
    content = content_of(store, entry) if stat.S_ISREG(entry.mode) else entry.target
    names = tuple(sorted(links[entry.link])) if entry.link is not None else ()
    device = 0 if stat.S_IFMT(entry.mode) in FORMATS else entry.rdev
    xattrs = tuple(sorted(entry.xattrs.items()))
    return Seen(entry.mode, (entry.uid, entry.gid), entry.mtime_ns, content, device, names, xattrs)


class Place(Struct):
    """A folder with a `tree` (or one that is `shared` with another place) and a store, whose levels are called `name`.
    What backups report goes to `events`.
    """

    folder: Path
    name: str = "place"
    exclude: tuple[str, ...] = ()
    skip: SkipRules = DEFAULT
    events: list[Event] = field(default_factory=list)
    shared: Path | None = None

    def __post_init__(self) -> None:
        self.tree.mkdir(parents=True, exist_ok=True)

    @property
    def tree(self) -> Path:
        return self.shared or self.folder / "tree"

    @property
    def backend(self) -> Backend:
        """A new connection."""
        return DirectoryBackend(str(self.folder / "store"), create=True)

    def make_store(self) -> Store:
        return Store.init(self.backend, [(KEY, "test")])

    def open(self) -> Store:
        """The store, as a new process would find it."""
        return Store.open(self.backend, KEY)

    def deployment(self, *roots: Path | bytes, name: str = "") -> Deployment:
        """One file set, `files`, of the tree or of these paths."""
        paths = tuple(map(os.fsencode, roots or (self.tree,)))
        return Deployment(name or self.name, (FileSet("files", paths, self.exclude, self.skip),))

    def back_up(self, *roots: Path | bytes, store: Store | None = None, **options: Any) -> BackupResult:
        """Back up the tree, or these paths, into the store as it is opened anew."""
        self.events.clear()
        calm_down()
        return back_up(store or self.open(), self.deployment(*roots), report=self.events.append, **options)

    def level(self, *roots: Path | bytes, **options: Any) -> Level:
        """As `back_up`: the level that it made."""
        made = self.back_up(*roots, **options).level
        assert made is not None
        return made

    def levels(self) -> list[Level]:
        return list_levels(self.open())

    @property
    def warned(self) -> list[tuple[str, str]]:
        """(kind, path) of the last backup's warnings."""
        return [(event.kind, event.path) for event in self.events if isinstance(event, Warned)]

    def path(self, name: str) -> str:
        """A path in the tree as warnings show it."""
        return str(self.tree / name)


def calm_down() -> None:
    """Let the file system's clock tick: what changes just before or during a backup is read again by the next one."""
    time.sleep(0.015)
