"""Sync: copying levels and WAL from one store into another, only what is missing there.

Twins (stores of one id and the same keys: copies of each other) exchange packs as they are. Any other store
gets the contents through a writer of its own: read, compared, stored anew under its keys (`rekey`).

Rule: roots of the source are listed before its index is read, and what a root needs is durable and indexed in the
target before the root is created there: a sync that is cut off leaves levels that are whole, and the next one goes on.
Where no level is named, parts of levels that are not whole are copied as they are: what hosts have sent is there, too.
It adds and never removes or overwrites: a level that is there under the same name with other content is left alone and
told. A level of which anything cannot be read is not copied, and the others are.
"""

from collections.abc import Sequence

from msgspec import Struct, field

from siltstone.store import Corrupt, DryWriter, ObjectExists, ObjectMissing, Store, Writer, are_twins

from .errors import ConfigError
from .events import Report, Warned
from .levels import ABSENT, LEVELS, PARTS, level_refs, part_object
from .parts import part_names
from .postgres.archive_names import WAL, cluster_folder
from .root_chunks import level_of
from .sync_carrier import Carrier, Commit
from .sync_select import select_levels

# Roots that wait for one index segment: each WAL file would otherwise write one of its own.
BATCH_ROOTS = 64


class SyncResult(Struct):
    """What was copied: `levels`, `parts` of others, and WAL files by name of their roots. `packs` and `bytes` were
    added to the target.

    `differing` are there with other content, `failed` cannot be read whole.
    """

    twins: bool
    dry_run: bool
    levels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    wal: int = 0
    there: int = 0
    packs: int = 0
    bytes: int = 0
    differing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def sync_stores(
    source: Store, target: Store, words: Sequence[str] = (), *, wal: bool = True, dry_run: bool = False, report: Report
) -> SyncResult:
    """Copy the levels that the words name (see sync_select; all without any) and the WAL that belongs to them.

    Raises LevelNotFound, ConfigError, NoKey, and BackendError and StoreFull when either storage fails.
    """
    twins = are_twins(source.opened, target.opened)
    if source.config.store_id == target.config.store_id and not twins:
        raise ConfigError("the two stores have one id and different keys", hint="one of them was tampered with")
    result = SyncResult(twins, dry_run)
    names = _names(source, target, words, wal=wal)
    source.index.load()
    if dry_run:
        _Sync(source, target, target.dry_writer(), result, report).run(names, None)
    else:
        with target.writer() as writer:
            _Sync(source, target, writer, result, report).run(names, writer)
    return result


def _names(source: Store, target: Store, words: Sequence[str], *, wal: bool) -> list[str]:
    """The roots to copy: levels first, then parts, then WAL, each in order, so that a cut leaves no gap."""
    parts = [] if words else part_names(source)  # before the levels: what becomes whole meanwhile is among these
    chosen = select_levels(level_refs(source), words)
    whole = {*chosen, *level_refs(source, ABSENT), *level_refs(target), *level_refs(target, ABSENT)} if parts else set()
    folders = [WAL]
    if words:
        roots = (source.read_root(ref.name).get("postgres") for ref in chosen)
        folders = [cluster_folder(number) for number in sorted({root["system_identifier"] for root in roots if root})]
    files = [name for folder in folders for name in source.root_names(folder)] if wal else []
    waiting = [part_object(ref, part) for ref, part in parts if ref not in whole]
    return [ref.name for ref in chosen] + waiting + files


class _Sync:
    def __init__(
        self, source: Store, target: Store, sink: Writer | DryWriter, result: SyncResult, report: Report
    ) -> None:
        self._result, self._report = result, report
        self._there = {name for folder in (LEVELS, PARTS, WAL) for name in target.root_names(folder)}
        self._carrier = _carrier(source, target, sink, report, twins=result.twins)
        self._waiting: list[tuple[str, Commit]] = []

    def run(self, names: Sequence[str], writer: Writer | None) -> None:
        """Copy these roots; a dry run has no writer."""
        for name in names:
            try:
                if name in self._there:
                    self._compare(name)
                    continue
                self._waiting.append((name, self._carrier.bring(name)))
            except (Corrupt, ObjectMissing) as error:
                if isinstance(error, ObjectMissing) and error.name == name and name.startswith(PARTS):
                    continue  # its level is whole by now, or it is void: the next sync has the level
                self._result.failed.append(name)
                self._report(Warned("damaged", name, f"not copied: {error}"))
                continue
            if len(self._waiting) >= BATCH_ROOTS or level_of(name):
                self._commit(writer)
        self._commit(writer)
        self._result.packs, self._result.bytes = self._carrier.packs, self._carrier.bytes

    def _compare(self, name: str) -> None:
        if self._carrier.is_same(name):
            self._result.there += 1
        else:
            self._differs(name)

    def _differs(self, name: str) -> None:
        self._result.differing.append(name)
        self._report(Warned("differs", name, "the target has another one under this name; it is left alone"))

    def _commit(self, writer: Writer | None) -> None:
        for name, commit in self._waiting:
            try:
                if writer is not None:
                    commit(writer)
            except ObjectExists:
                self._differs(name)  # somebody created it meanwhile
                continue
            if name.startswith(PARTS):
                self._result.parts.append(name)
            elif level_of(name):
                self._result.levels.append(name)
            else:
                self._result.wal += 1
        self._waiting.clear()


def _carrier(source: Store, target: Store, sink: Writer | DryWriter, report: Report, *, twins: bool) -> Carrier:
    if twins:
        from .sync_twin import TwinCarrier

        return TwinCarrier(source, target, sink, report)
    from .sync_rekey import RekeyCarrier

    return RekeyCarrier(source, target, sink, report)
