"""What each level and each group really costs: the bytes in the store that only it uses.

Rule: a chunk belongs to every level whose manifests lead to it, and costs its share of its frame as it is stored. Each
manifest chunk is read once however many levels share it: what it leads to belongs to all of them. A chunk's owners are
kept as the first and the last of them in the order of levels, which is enough to tell whether they are one level, or
levels of one group, since those follow each other. Memory: 17 bytes a chunk and as much again while a batch is merged.

What cannot be read is warned of, and counts for nothing. Packs are as they are: space comes back when garbage is
collected, and a pack of which little is used any more is only then written anew. WAL is not counted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from siltstone.store import (
    ChunkId,
    Corrupt,
    Footer,
    ObjectMissing,
    PackList,
    SegmentScan,
    Store,
    footer_keys,
    in_parallel,
    listed_packs,
    pack_object,
)

from .events import Report, Warned
from .levels import Level, LevelRef
from .verify_damage import DamageLog
from .verify_manifests import Manifests, extent_columns, key_of, list_chunks, row_extents

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# References that are gathered before they are merged with what is known: some 100 MB while it happens.
BATCH = 2_000_000
FOOTER_THREADS = 4


class Costs(Struct, frozen=True):
    """Stored bytes: that one level alone uses, that one group alone uses, and that no level which stays uses."""

    levels: Mapping[LevelRef, int]
    groups: Mapping[tuple[str, int], int]
    going: int


def costs(store: Store, levels: Sequence[Level], going: Collection[LevelRef], report: Report) -> Costs:
    """The costs of all levels of a store, and what would be free without those that go. Raises StoreError."""
    levels = sorted((level for level in levels if not level.damage), key=lambda level: level.ref)
    owners = _Owners()
    _gather(store, levels, going, report, owners)
    groups: dict[tuple[str, int], int] = {}
    numbers = [groups.setdefault((level.deployment, level.group), len(groups)) for level in levels]
    of_levels, of_groups, free = _weigh(store, owners, numbers, report)
    return Costs(
        {level.ref: int(of_levels[number]) for number, level in enumerate(levels)},
        {group: int(of_groups[number]) for group, number in groups.items()},
        free,
    )


class _Owners:
    """Of each chunk: its key, the first and the last level that use it, and whether one that stays does."""

    def __init__(self) -> None:
        import numpy

        self._waiting: list[tuple[NDArray[numpy.uint64], int, int, bool]] = []
        self._count = 0
        self.keys = numpy.empty(0, dtype=numpy.uint64)
        self.first = self.last = numpy.empty(0, dtype=numpy.uint32)
        self.stays = numpy.empty(0, dtype=numpy.bool_)

    def add(self, keys: "NDArray[numpy.uint64]", first: int, last: int, stays: bool) -> None:
        """Chunks that all these owners use."""
        self._waiting.append((keys, first, last, stays))
        self._count += len(keys)
        if self._count > BATCH:
            self.merge()

    def merge(self) -> None:
        """Bring what waits into order: one row a chunk."""
        import numpy

        sizes = [len(keys) for keys, *_ in self._waiting]
        columns = [numpy.array([row[at] for row in self._waiting]) for at in (1, 2, 3)]
        keys = numpy.concatenate([self.keys, *(keys for keys, *_ in self._waiting)])
        first, last, stays = (
            numpy.concatenate([old, numpy.repeat(column.astype(old.dtype), sizes)])
            for old, column in zip((self.first, self.last, self.stays), columns, strict=True)
        )
        self._waiting, self._count = [], 0
        order = numpy.argsort(keys, kind="stable")
        keys = keys[order]
        starts = numpy.flatnonzero(numpy.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else order
        self.keys = keys[starts]
        if len(keys):
            self.first = numpy.minimum.reduceat(first[order], starts)
            self.last = numpy.maximum.reduceat(last[order], starts)
            self.stays = numpy.logical_or.reduceat(stays[order], starts)


def _gather(
    store: Store, levels: Sequence[Level], going: Collection[LevelRef], report: Report, owners: _Owners
) -> None:
    """Read every manifest of these levels, each chunk of one once."""
    import numpy

    manifests = Manifests(store, levels, DamageLog(report))
    shared: dict[bytes, tuple[int, int, bool]] = {}  # index and manifest chunk -> its owners
    items: dict[bytes, list[bytes]] = {}
    for number, level in enumerate(levels):
        mine = (number, number, level.ref not in going)
        for files in level.all_sets:
            for index, _ in files.index:
                if index not in items:
                    items[index] = [item.chunk for item in manifests.items(index) or ()]
                for chunk in (index, *items[index]):
                    shared[chunk] = _joined(shared.get(chunk, mine), mine)
    contents = {chunk for chunks in items.values() for chunk in chunks}
    for chunk, whose in shared.items():
        owners.add(numpy.array([key_of(chunk)], dtype=numpy.uint64), *whose)
        for keys in _referenced(manifests, chunk) if chunk in contents else ():
            owners.add(keys, *whose)
    owners.merge()
    if unknown := len(manifests.unreadable) + len(manifests.senseless):
        said = f"{unknown} chunks of manifests cannot be read: what they lead to is left out of the costs"
        report(Warned("damaged", "backups/", said))


def _joined(one: tuple[int, int, bool], other: tuple[int, int, bool]) -> tuple[int, int, bool]:
    return min(one[0], other[0]), max(one[1], other[1]), one[2] or other[2]


def _referenced(manifests: Manifests, chunk: bytes) -> Iterator["NDArray[numpy.uint64]"]:
    """The keys of what a manifest chunk leads to."""
    try:
        every, lists, _ = row_extents(manifests.read(ChunkId(chunk)) or b"")
    except ValueError:
        manifests.senseless.add(key_of(chunk))
        return
    yield extent_columns(b"".join(every))[0]
    for part in list_chunks(lists):
        yield extent_columns(manifests.read(part) or b"")[0]


def _weigh(
    store: Store, owners: _Owners, groups: Sequence[int], report: Report
) -> tuple["NDArray[numpy.float64]", "NDArray[numpy.float64]", int]:
    """Stored bytes by level, by group, and of what no level that stays uses; `groups` has the group of each level."""
    import numpy

    group_of = numpy.array(groups, dtype=numpy.int64)
    count = max(groups, default=-1) + 1
    of_levels, of_groups, free = numpy.zeros(len(groups)), numpy.zeros(count), 0
    alone = (group_of[owners.first] == group_of[owners.last]) | ~owners.stays
    keys, first, last, stays = (column[alone] for column in (owners.keys, owners.first, owners.last, owners.stays))
    for at, sizes in _stored_sizes(store, keys, report):
        ours = group_of[first[at]]
        one_level, one_group = first[at] == last[at], ours == group_of[last[at]]
        of_levels += numpy.bincount(first[at][one_level], sizes[one_level], len(groups))
        of_groups += numpy.bincount(ours[one_group], sizes[one_group], count)
        free += int(sizes[~stays[at]].sum())
    return of_levels, of_groups, free


def _stored_sizes(
    store: Store, keys: "NDArray[numpy.uint64]", report: Report
) -> Iterator[tuple["NDArray[numpy.int64]", "NDArray[numpy.int64]"]]:
    """By pack: which of these chunks it holds (by their place in `keys`, which ascend), and the bytes they take."""
    import numpy

    segments = SegmentScan(store.backend, store.ring.index_key if store.config.encrypted else b"")
    segments.check()
    packs = PackList(listed_packs(store.backend))
    wanted = {number for number, name in enumerate(packs.names) if name not in segments.named}
    for held, places in segments.rows(packs):
        _, found = _find(keys, held)
        wanted.update(numpy.unique(places[found] >> numpy.uint64(32)).tolist())

    def footer(number: int) -> Footer | None:
        try:
            return store.footer(packs.names[number])
        except (Corrupt, ObjectMissing) as error:
            report(Warned("damaged", pack_object(packs.names[number]), f"{error}; it is left out of the costs"))
            return None

    for each in in_parallel(footer, sorted(wanted), FOOTER_THREADS):
        if each is not None and each.frames:
            at, found = _find(keys, footer_keys(each))
            yield at[found], _chunk_sizes(each)[found]


def _find(
    keys: "NDArray[numpy.uint64]", sought: "NDArray[numpy.uint64]"
) -> tuple["NDArray[numpy.int64]", "NDArray[numpy.bool_]"]:
    """Where each of the sought is among the keys, and whether it is."""
    import numpy

    at = numpy.searchsorted(keys, sought)
    found = at < len(keys)
    found[found] = keys[at[found]] == sought[found]
    return at, found


def _chunk_sizes(footer: Footer) -> "NDArray[numpy.int64]":
    """What each chunk of a pack takes there: its share of its frame, by its length."""
    import numpy

    lengths = (numpy.array(frame.lengths, dtype=numpy.int64) for frame in footer.frames)
    return numpy.concatenate(
        [each * frame.stored // max(1, frame.plain) for each, frame in zip(lengths, footer.frames, strict=True)]
    )
