"""Restoring a level, or a part of it, to a folder or in place.

The order of a restore: rows of the manifest -> a plan (which frame feeds which file) -> frames, each read once ->
files, each whole before it has its name -> further names of files -> metadata of directories, the deepest first.

Rule: running it again after an interruption, with the same arguments, completes it: what is right by then is left
alone. Existing files that are not in the level are left alone, too. One entry that cannot be restored is a failure of
its own; only a full target, or a store of which nothing can be read any more, ends the restore, and then no temporary
is left.

It does not sync, and does not keep others from changing the target meanwhile.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from siltstone.store import REMOTE_THREADS, PackName, Store

from .database_info import NOT_IN_PLACE
from .errors import NothingSelected
from .events import Noted, Report, Warned, show_path
from .levels import Level
from .owners import OneOwner, OwnerMap
from .restore_assembly import Site
from .restore_check import WORKERS, Pace, Way, preview, read_back
from .restore_inplace import Comparer
from .restore_plan import Planner
from .restore_rows import LevelRows
from .restore_tally import RestoreResult, Tally
from .restore_walk import Walk
from .restore_window import FrameWork, Window, in_batches
from .restore_write import REMOTE_STRETCH, STRETCH, FrameWriter, descriptors, stretches
from .selection import Selection, is_within
from .target import Target

EVERYTHING = Selection()

# Links, devices, directories and the like that one worker sees to at a time, so that every core has some.
GROUP = 256

Item = TypeVar("Item")


def restore_level(
    store: Store,
    level: Level,
    *,
    target: bytes | None,
    selection: Selection = EVERYTHING,
    base: bytes | None = None,
    dry_run: bool = False,
    verify: bool = False,
    numeric_ids: bool = False,
    owner: tuple[int, int] | None = None,
    patch: bool = False,
    report: Report,
) -> RestoreResult:
    """Restore what is selected of a level below `target` (None: in place, where it came from).

    With `base`, a folder of the level, what lies below it comes directly below `target`, and nothing else is restored.
    `verify` reads every file back. `numeric_ids` keeps owners' numbers, whatever their names are here. `owner`: a user
    and group to whom all of it shall belong. `patch`: see restore_assembly.Site; an interrupted restore leaves
    half-changed files then.
    Raises NothingSelected, TargetFull, TargetError or OSError for a target that cannot be used, StoreError.
    """
    assert target is not None or base is None, "a base has no meaning in place"
    base = base.rstrip(b"/") if base else None
    if target is None:
        selection = _in_place(level, selection, report)
    tally = Tally()
    rows = LevelRows(store, level, selection, base=base or None, lost=partial(tally.fail, damaged=True))
    if selection.everything and not base:
        tally.total_files = sum(files.files for files in level.sets)
        tally.total_bytes = sum(files.bytes for files in level.sets)
    _check_selected(level, selection, rows, tally)
    pace = Pace(tally, report)
    if dry_run:
        way = Way(target or b"/", _roots(rows, base or b"", in_place=target is None), replace=target is None)
        preview(rows, Comparer(rows, store.ring.id_key, target or b"/"), way, base or b"", tally, pace)
    else:
        owners = OneOwner(*owner) if owner else OwnerMap(not numeric_ids, *level.names_of(rows.host))
        _Run(store, rows, owners, tally, pace, verify=verify, patch=patch).restore(target, base or b"")
    _tell_of_level(level, rows, tally, report)
    return tally.finished(report, skipped=rows.left_out, dry_run=dry_run)


def _in_place(level: Level, selection: Selection, report: Report) -> Selection:
    """Without what has no place on this disk. Raises NothingSelected where that was asked for by name."""
    left_out = NOT_IN_PLACE.intersection(files.name for files in level.sets)
    if selection.set_name in left_out:
        raise NothingSelected(
            f"file set '{selection.set_name}' is of a database, and is not restored in place",
            hint="restore it to a folder: --database --to DIR; 'silt pg load' puts tables back",
        )
    if left_out and selection.set_name is None:
        report(Noted("the database of the level is left out: 'silt restore LEVEL --database --to DIR' restores it"))
    return replace(selection, without_sets=left_out)


def _check_selected(level: Level, selection: Selection, rows: LevelRows, tally: Tally) -> None:
    """Raises NothingSelected when nothing is: before anything is made."""
    if next(iter(rows), None) is None and not tally.any_failed and (selection.patterns or rows.left_out):
        names = ", ".join(map(show_path, selection.patterns)) or "what was asked for"
        where = " below the base" if rows.left_out else ""
        raise NothingSelected(
            f"level {level.ref} holds nothing of {names}{where}", hint="'silt ls' shows what it holds"
        )


def _tell_of_level(level: Level, rows: LevelRows, tally: Tally, report: Report) -> None:
    for pattern in rows.unmatched():
        tally.other_warnings += 1
        report(Warned("missing", show_path(pattern), f"nothing in level {level.ref} matches"))
    if changed := sum(kind == "changed" for kind, _, _ in level.warnings):
        report(Noted(f"{changed} files of the level changed while they were backed up: they are as they were read"))


def _roots(rows: LevelRows, base: bytes, *, in_place: bool) -> list[bytes]:
    """The paths below the target that are the restore's own.

    In place, what leads to the selected paths is the host's; below another folder it is not, and nobody else sees into
    a folder that was made there before it has its own mode.
    """
    roots = rows.roots if in_place else rows.walked
    return [root[len(base) :] or b"/" if is_within(root, base or b"/") else b"/" for root in roots]


class _Run:
    """One restore that writes."""

    def __init__(
        self, store: Store, rows: LevelRows, owners: OwnerMap, tally: Tally, pace: Pace, *, verify: bool, patch: bool
    ) -> None:
        self._store, self._rows, self._owners, self._tally, self._pace = store, rows, owners, tally, pace
        self._verify, self._patch = verify, patch
        remote = store.backend.remote
        self._workers, self._stretch = (REMOTE_THREADS, REMOTE_STRETCH) if remote else (WORKERS + 1, STRETCH)

    def restore(self, folder: bytes | None, base: bytes) -> None:
        """Do it, below the folder or in place."""
        in_place = folder is None
        directories, assemblies = descriptors()
        with (
            ThreadPoolExecutor(self._workers, "silt-restore") as pool,
            Target(
                folder or b"/",
                roots=_roots(self._rows, base, in_place=in_place),
                replace=in_place,
                open_directories=directories,
            ) as target,
        ):
            self._site = site = Site(target, self._owners, self._tally, base, self._patch)
            comparer = Comparer(self._rows, self._store.ring.id_key, target, patch=self._patch)
            planner = Planner(self._store, most_assemblies=assemblies)
            walk = Walk(self._rows, planner, site, comparer, pool, self._pace)
            self._writer = FrameWriter(self._store, site)
            try:
                self._carry_out(walk, pool)
                if self._verify:
                    read_back(self._rows, comparer, site, pool, self._pace)
            except BaseException:
                self._writer.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                site.abandon()
                raise

    def _carry_out(self, walk: Walk, pool: ThreadPoolExecutor) -> None:
        """Carry out all windows: while one is at work, the next is planned."""
        before: tuple[Window, list[Future[None]]] | None = None
        for window in walk.windows():
            started = (window, self._start(window, pool))
            if before is not None:
                self._finish(*before, walk, pool)
            before = started
        if self._tally.total_files is None:
            self._tally.total_files, self._tally.total_bytes = walk.files, walk.bytes
        if before is not None:
            self._finish(*before, walk, pool)

    def _start(self, window: Window, pool: ThreadPoolExecutor) -> list[Future[None]]:
        writer = self._writer
        self._pace.wait(self._read(window.differences, pool), "restore")
        futures = [pool.submit(writer.copy, [copy]) for copy in window.copies]
        futures += self._read(window.packs, pool)
        empty = in_batches(window.empty, window.empty_others)
        futures += [pool.submit(writer.write_empty, batch) for batch in empty]
        futures += [pool.submit(writer.write_specials, some) for some in _groups(window.specials)]
        return futures

    def _read(self, packs: dict[PackName, dict[int, FrameWork]], pool: ThreadPoolExecutor) -> list[Future[None]]:
        parts = stretches(packs, self._workers, self._stretch)
        return [pool.submit(self._writer.write_stretch, part, packs[part.pack]) for part in parts]

    def _finish(self, window: Window, futures: list[Future[None]], walk: Walk, pool: ThreadPoolExecutor) -> None:
        self._pace.wait(futures, "restore")
        links = window.links
        while links:
            making = [pool.submit(self._writer.write_links, some) for some in _groups(links)]
            self._pace.wait(making, "restore")
            left = [one for future in making for one in future.result()]
            for again in walk.again(left):
                self._pace.wait(self._start(again, pool), "restore")
                links = again.links
        self._site.show(one.path for one in window.directories)
        for some in _groups(window.directories):
            self._pace.wait([pool.submit(self._writer.finish_directories, some)], "restore")


def _groups(items: list[Item]) -> Iterator[list[Item]]:
    return (items[at : at + GROUP] for at in range(0, len(items), GROUP))
