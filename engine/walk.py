"""The walk over one file set: the scan and the base level's manifest are merged, and rows go out in path order.

Rule: rows leave in the order in which the scan found their entries, although contents are stored in the background:
what is not known yet waits in a queue, of at most WAITING entries. Files of one inode are read once.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from siltstone.store import Corrupt, DryWriter, ObjectMissing, Store, Writer

from .content import ONE_NAME, Batch, Contents, Pending, capture_anywhere, link_of
from .deployment import ResolvedSet
from .entry import (
    EXTENT,
    HEAD,
    HEAD_AT,
    HEAD_END,
    PATH_AT,
    extra,
    make_row,
    order_key,
    pack_extents,
    parse_row,
    size_of,
)
from .events import Report, Warned, show_path
from .files import probe_directory, short_path, stat_path
from .kept_levels import KeptRows
from .kept_lists import KeptLists
from .levels import SetInfo
from .manifest import ManifestReader, ManifestWriter
from .metadata import MetadataError
from .owners import SeenOwners
from .proof import Proof
from .scan import BLOCKS_AT, DIRECTORY, REGULAR, SYMLINK, Found, Scan
from .teller import Teller
from .workers import BUFFER

WAITING = 50_000

# Small files after which it is looked whether a batch was read: to ask takes a lock.
DRAIN_EVERY = 32

# Below this a file with fewer blocks than bytes is as likely packed into its inode as sparse.
SPARSE_FROM = 64 << 10


class SetWalk:
    """One file set of one backup."""

    def __init__(
        self,
        store: Store,
        sink: Writer | DryWriter,
        each: ResolvedSet,
        base: ManifestReader | KeptRows | None,
        report: Report,
        teller: Teller,
        copy: Callable[[bytearray], None] | None = None,
        lists: KeptLists | None = None,
    ) -> None:
        """`copy` gets the rows of the manifest too; `lists` judges those of a part, and gets its extent lists."""
        self._set, self._base, self._report, self._teller = each, base, report, teller
        self._scan = Scan(each.file_set, each.roots, store.backend.location, report)
        self._lists = lists
        self._contents = Contents(sink, store.ring.gear, teller, report, lists.add if lists else None)
        self._manifest = ManifestWriter(sink, copy)
        self._waiting: deque[Pending | tuple[bytes, bytes]] = deque()
        self._batch = Batch()
        self._links: dict[tuple[int, int], tuple[Pending, int]] = {}
        self._entries = 0
        self._proof = Proof(base.level if base else None)
        self._owners = SeenOwners()
        self.stats: Counter[str] = Counter()

    def run(self, totals: Counter[str], owners: SeenOwners) -> SetInfo:
        """Walk, and add to the totals and the owners that were seen."""
        pairs, self._owners = owners.pairs, owners
        teller, lists, holds = self._teller, self._lists, self._proof.holds
        self._contents.owners = owners
        files = size = directories = others = new = changed = unchanged = 0
        with self._contents:
            for (path, stat), row in self._merged():
                pairs.add(stat[4:12])
                kind = stat[1] & 0xF0
                if kind == REGULAR:
                    files += 1
                    teller.files += 1
                    size += size_of(stat)
                elif kind == DIRECTORY:
                    directories += 1
                else:
                    others += 1
                if row is None:
                    new += 1
                    self._take(path, stat, kind)
                elif holds(row, stat) and (lists is None or lists.is_stored(row)):
                    unchanged += 1
                    one_name = kind == DIRECTORY or stat[12:16] == ONE_NAME
                    self._emit(path, row if one_name else _linked(row, link_of(stat)))
                else:
                    changed += 1
                    self._take(path, stat, kind)
                teller.tell(path)
            self._submit()
            self._drain(until=0)
            self._contents.finish()
            index = self._manifest.finish()
        if lists is not None:
            lists.finish()
        stats = self.stats
        stats.update(files=files, bytes=size, directories=directories, others=others, skipped=self._scan.skipped)
        stats.update(new=new, changed=changed, unchanged=unchanged)
        totals.update(stats)
        roots = tuple(self._set.roots.found)
        return SetInfo(self._set.file_set.name, roots, tuple(index), self._entries, stats["files"], stats["bytes"])

    def _merged(self) -> Iterator[tuple[Found, bytes | None]]:
        """Each entry of the scan with the base level's row of the same path, if there is one."""
        if self._base is None:
            for found in self._scan:
                yield found, None
            return
        base = self._base_rows(self._base)
        old = next(base, None)
        for found in self._scan:
            path = found[0]
            if old is not None and old[0] != path:
                key = order_key(path)
                while old is not None and order_key(old[0]) < key:
                    self.stats["gone"] += 1
                    old = next(base, None)
            if old is not None and old[0] == path:
                yield found, old[1]
                old = next(base, None)
            else:
                yield found, None
        self.stats["gone"] += (old is not None) + sum(1 for _ in base)

    def _base_rows(self, base: ManifestReader | KeptRows) -> Iterator[tuple[bytes, bytes]]:
        """The rows of the base level as far as they can be read. What has none is new, and is read."""
        try:
            yield from base.rows()
        except (Corrupt, ObjectMissing) as error:
            self._report(Warned("damaged", base.level.name, f"{error}; every file from here on is read"))

    # ---- one entry

    def _take(self, path: bytes, stat: bytes, kind: int) -> None:
        if kind != REGULAR:
            self._take_special(path, stat, kind)
            return
        size = size_of(stat)
        file = Pending(path, stat, None if stat[12:16] == ONE_NAME else link_of(stat))
        if file.link is not None and self._is_twin(file, file.link):
            self._wait(file)
            return
        if size > BUFFER // 2 or (size > SPARSE_FROM and _is_sparse(size, stat)):
            self._submit()
            self._contents.store_large(file)
            self._waiting.append(file)
            self._drain(until=WAITING)
        else:
            if not self._batch.takes(size):
                self._submit()
            self._batch.files.append(file)
            self._batch.bytes += size
            self._waiting.append(file)
            if len(self._batch.files) % DRAIN_EVERY == 1:
                self._drain(until=WAITING)

    def _is_twin(self, file: Pending, link: tuple[int, int]) -> bool:
        """Whether another name of this inode came before, whose content is then its own. Forgets it after the last."""
        nlink = int.from_bytes(file.stat[12:16], "little")
        first, names = self._links.pop(link, (file, nlink))
        if first.stat[: HEAD.size] != file.stat[: HEAD.size] and not _leads_to(first.path, link):
            first, names = file, nlink  # the inode was given to another file while the scan went on
            file.link, file.alone = None, True
        if names > 1:
            self._links[link] = (first, names - 1)
        file.twin = first if first is not file else None
        return file.twin is not None

    def _take_special(self, path: bytes, stat: bytes, kind: int) -> None:
        target = b""
        xattrs: dict[bytes, bytes] = {}
        flags = 0
        try:
            if kind == SYMLINK:
                with short_path(path) as (directory, name):
                    target = os.readlink(name, dir_fd=directory)
            xattrs, flags = self._extras(path, stat, kind)
        except MetadataError as error:
            xattrs, flags = error.xattrs, error.flags
            self._report(Warned("metadata", show_path(path), str(error)))
        except OSError:
            self._report(Warned("vanished", show_path(path), "it vanished before it was read"))
            return
        link = link_of(stat) if kind != DIRECTORY else None
        self._emit(
            path, make_row(path, stat[: HEAD.size], b"", extra(target=target, xattrs=xattrs, flags=flags, link=link))
        )

    def _extras(self, path: bytes, stat: bytes, kind: int) -> tuple[dict[bytes, bytes], int]:
        """The extended attributes and the flags. Raises MetadataError, OSError."""
        if kind == DIRECTORY:
            with suppress(OSError):  # what is wrong shows below
                xattr_bytes, flags = probe_directory(path)
                if not xattr_bytes:
                    return {}, flags
        xattrs, flags = capture_anywhere(path, stat)
        self._owners.add_acls(xattrs)
        return xattrs, flags

    # ---- rows in order

    def _emit(self, path: bytes, row: bytes) -> None:
        if self._waiting:
            self._wait((path, row))
        else:
            self._add(path, row)

    def _wait(self, item: Pending | tuple[bytes, bytes]) -> None:
        self._waiting.append(item)
        if len(self._waiting) > WAITING:
            self._submit()
            self._drain(until=WAITING // 2)

    def _add(self, path: bytes, row: bytes) -> None:
        self._entries += 1
        self._manifest.add(path, row)

    def _submit(self) -> None:
        if self._batch.files:
            self._contents.submit(self._batch)
            self._batch = Batch()

    def _drain(self, *, until: int) -> None:
        """Pass on the rows that are known; wait for those before, while more than `until` are waiting."""
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if isinstance(first, tuple):
                self._add(*first)
            else:
                while not first.known and first.twin is None:
                    if not (self._contents.ready() or len(waiting) > until) or not self._contents.settle():
                        return
                if first.twin is not None and first.twin.row is not None:
                    first.row = _renamed(first.twin.row, first.twin.path, first.path)
                elif first.twin is not None:  # the other name went, or could not be read, before this one's turn
                    first.twin = None
                    self._contents.store_large(first)
                    continue
                if first.row is not None:
                    self._add(first.path, first.row)
                else:
                    self.stats["files"] -= 1
                    self.stats["bytes"] -= size_of(first.stat)
            waiting.popleft()


def _renamed(row: bytes, old: bytes, new: bytes) -> bytes:
    """The row of another name of a file: all of the row but the path."""
    rest = row[PATH_AT + len(old) :]
    size = int.from_bytes(row[HEAD_END + 2 : PATH_AT], "little") * EXTENT.size
    return make_row(new, row[HEAD_AT:HEAD_END], rest[:size], rest[size:])


def _linked(row: bytes, link: tuple[int, int] | None) -> bytes:
    """The row with the link of today: a device may have another number since, and another device have this one."""
    entry = parse_row(row)
    if entry.link == link:
        return row
    more = extra(target=entry.target, xattrs=entry.xattrs, flags=entry.flags, link=link, indirect=entry.indirect)
    return make_row(entry.path, row[HEAD_AT:HEAD_END], pack_extents(entry.extents), more)


def _leads_to(path: bytes, link: tuple[int, int]) -> bool:
    """Whether the path still is a name of that inode."""
    try:
        return link_of(stat_path(path)) == link
    except OSError:
        return False


def _is_sparse(size: int, stat: bytes) -> bool:
    return int.from_bytes(stat[BLOCKS_AT:], "little") * 512 < size
