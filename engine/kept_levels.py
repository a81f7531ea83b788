"""What a host that reads nothing back keeps of the levels that it wrote, so that its next backup reads what changed.

    <folder>/<store id>/<deployment>/<group>.<level>     the level's root, and the files of its manifests
                                     rows-<16 hex>       the rows of one manifest, in path order; or extent lists
                        <deployment>@<host>/<file set>/  the same of this host's part of levels of several hosts

A level's manifest is sealed to the reader keys, and this host has none. So its rows stay here too, in files sealed
under a key that every host of the store has: they tell the names of this host's files, and nothing of their contents.

Rule: correctness never depends on what is here. A kept level counts only while the store has the very root that it was
(compared by its bytes), since then all that its rows lead to is there; without one, or where it was touched, every file
is read, and the index says what is new. The root of a part goes when its level is whole, into a root that this host
cannot read: so of a part nothing is believed but that a file with these times had these chunks, and each of them is
looked up. What is kept: the newest level and the first one of its group. No database: what tells its changed pages lies
in the store.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Self

import msgpack
from blake3 import blake3
from msgspec import Struct

from siltstone.store import Corrupt, ObjectMissing, PrivateWriter, Store, read_private

from .entry import row_path, rows
from .events import Noted, Report
from .hosts import Part
from .levels import Level, LevelRef, from_root, to_root

PURPOSE = "kept level"
FILES = ("rows", "lists")  # what a head names, by file set
STALE_SECONDS = 24 * 3600  # rows that no level names, this old: of a backup that was cut off


class KeptRows(Struct, frozen=True):
    """The rows of one file set of a kept level, or of its part; reads as a ManifestReader does."""

    level: Level
    _store: Store
    _path: str
    _lists: str = ""

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """(path, row) of every entry in path order. Raises Corrupt."""
        try:
            for block in read_private(self._path, self._store.ring, PURPOSE):
                for row in rows(block):
                    yield row_path(row), row
        except (OSError, ValueError):
            raise Corrupt(self._path, "it cannot be read") from None

    def lists(self) -> Iterator[bytes]:
        """The blocks of the extent lists (kept_lists.py); none where none are kept. Raises Corrupt."""
        try:
            yield from filter(None, read_private(self._lists, self._store.ring, PURPOSE))
        except OSError:
            return


class KeptLevel(Struct, frozen=True):
    """A level with the rows of its file sets, by name."""

    level: Level
    sets: dict[str, KeptRows]


class KeptLevels:
    """Those of one deployment on this host. A context manager around the backup that may add one; for one thread.

    Without a folder, or with a key that reads, nothing is kept and nothing found.
    """

    def __init__(
        self, store: Store, folder: str | None, deployment: str, report: Report, part: Part | None = None
    ) -> None:
        """`part`: those of its levels alone."""
        self._store, self._report, self._part = store, report, part
        self._on = folder is not None and not store.ring.may_read
        place = (f"{deployment}@{part.host}", part.set_name) if part else (deployment,)
        self._folder = os.path.join(folder or "", store.config.store_id.hex(), *place)
        self._writing: dict[tuple[str, str], tuple[str, PrivateWriter]] = {}  # by kind and file set
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self._closing.close()  # what was not kept goes

    def find(self, refs: Sequence[LevelRef], wanted: LevelRef) -> KeptLevel | None:
        """The level `wanted` as it was kept, or the newest before it in its group, of those that there are. Of parts
        the newest of the group: whether that level came to be whole does not matter.
        """
        refs = self._heads(wanted.deployment) if self._part else [ref for ref in refs if ref <= wanted]
        mine = [ref for ref in refs if (ref.deployment, ref.group) == (wanted.deployment, wanted.group)]
        for ref in sorted(mine, reverse=True):
            found = self._read(ref)
            if found is not None:
                return found
        return None

    def _read(self, ref: LevelRef) -> KeptLevel | None:
        if not self._on:
            return None
        try:
            (packed,) = read_private(self._head(ref), self._store.ring, PURPOSE)
            head = msgpack.unpackb(packed, strict_map_key=False)
            level = from_root(ref, head["root"])
            if level.part != self._part or head["name"] != level.name or head["digest"] != self._digest(ref):
                return None
            rows, lists = (
                {name: os.path.join(self._folder, file) for name, file in head[key].items()} for key in FILES
            )
        except (OSError, Corrupt, ObjectMissing, ValueError, KeyError, TypeError):
            return None
        sets = {name: KeptRows(level, self._store, path, lists.get(name, "")) for name, path in rows.items()}
        return KeptLevel(level, sets)

    def _head(self, ref: LevelRef) -> str:
        return os.path.join(self._folder, f"{ref.group}.{ref.level}")

    def _heads(self, deployment: str) -> list[LevelRef]:
        """The levels of which something is kept here."""
        with suppress(OSError):
            names = [name.split(".") for name in os.listdir(self._folder)]
            return [LevelRef(deployment, int(name[0]), int(name[1])) for name in names if _is_head(name)]
        return []

    def _digest(self, ref: LevelRef) -> bytes:
        return b"" if self._part else blake3(self._store.backend.get(ref.name)).digest()

    def copier(self, name: str) -> Callable[[bytearray], None] | None:
        """What takes the rows of a file set of the level that is being made; None where nothing is kept."""
        return self._writer("rows", name)

    def list_copier(self, name: str) -> Callable[[bytes], None] | None:
        """What takes the blocks of its extent lists: of a part alone, since a level's root vouches for its own."""
        return self._writer("lists", name) if self._part else None

    def _writer(self, key: str, name: str) -> Callable[[bytes | bytearray], None] | None:
        if not self._on:
            return None
        file = f"rows-{os.urandom(8).hex()}"
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            writer = PrivateWriter(os.path.join(self._folder, file), self._store.ring, PURPOSE)
        except OSError as error:
            self._give_up(error)
            return None
        self._closing.enter_context(writer)
        self._writing[key, name] = file, writer
        return partial(self._add, writer)

    def _add(self, writer: PrivateWriter, run: bytes | bytearray) -> None:
        if self._on:
            try:
                writer.add(run)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._on = False
        said = f"{self._folder}: {error.strerror or error}"
        self._report(Noted(f"the level is not kept on this host, and the next backup reads every file: {said}"))

    def keep(self, level: Level) -> None:
        """The level was committed: keep it, and drop what it makes superfluous. What fails is noted."""
        if not self._on or (self._part and not self._writing):
            return
        try:
            self._keep(level)
        except OSError as error:
            self._give_up(error)

    def _keep(self, level: Level) -> None:
        for _, writer in self._writing.values():
            writer.finish()
        self._closing.close()
        files: dict[str, dict[str, str]] = {key: {} for key in FILES}
        for (key, name), (file, _) in self._writing.items():
            files[key][name] = file
        head = {"name": level.name, "digest": self._digest(level.ref), "root": to_root(level), **files}
        path = self._head(level.ref)
        temporary = f"{path}-{os.urandom(8).hex()}"
        with PrivateWriter(temporary, self._store.ring, PURPOSE) as writer:
            writer.finish(msgpack.packb(head, use_bin_type=True))
        os.rename(temporary, path)
        self._drop_others({path, self._head(LevelRef(level.deployment, level.group, 0))})

    def _drop_others(self, kept: set[str]) -> None:
        """Drop all levels but those, with their rows; and rows that no level names, once they are old."""
        found = list(os.scandir(self._folder))
        heads = [entry.path for entry in found if not entry.name.startswith("rows-")]
        needed = {file for head in kept for file in self._rows_of(head)}
        gone = {file for head in heads if head not in kept for file in self._rows_of(head)} - needed
        for entry in found:
            is_rows = entry.name.startswith("rows-")
            with suppress(OSError):
                old = entry.name not in needed and time.time() - entry.stat().st_mtime > STALE_SECONDS
                if (entry.name in gone or old) if is_rows else entry.path not in kept:
                    os.unlink(entry.path)

    def _rows_of(self, head: str) -> list[str]:
        with suppress(OSError, Corrupt, ValueError, KeyError):
            (packed,) = read_private(head, self._store.ring, PURPOSE)
            known = msgpack.unpackb(packed, strict_map_key=False)
            return [file for key in FILES for file in known[key].values()]
        return []


def _is_head(words: Sequence[str]) -> bool:
    return len(words) == 2 and all(word.isdecimal() for word in words)
