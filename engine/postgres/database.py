"""A level's database: a base backup as a file set of its own, read on this host or over the wire; what the root says.

Rule: the base backup brings the WAL that makes it consistent, so a level restores by itself, without an archive. The
level is committed by who called this: before that nothing of the database exists. A server of 17 and later is asked for
what changed alone where summaries.py allows that, and for everything where it refuses.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from siltstone.store import Corrupt, DryWriter, ObjectMissing, Store, Writer

from ..database_info import SET_NAME, DatabaseInfo
from ..deployment import Database
from ..events import Noted, Report, Warned, show_path
from ..levels import SetInfo
from ..manifest import ManifestReader, ManifestWriter
from ..owners import SeenOwners
from ..teller import Teller
from .backup_command import BackupOptions
from .base_backup import Started, base_backup, upload_manifest
from .base_files import BaseFiles
from .base_relation import BaseRelation
from .catalog_check import named_files, place_of
from .cell_store import CellStore
from .connection import Connection, connect
from .errors import Malformed, PostgresError, ServerAway
from .facts import ServerFacts, server_facts
from .gather import Gatherer
from .grid import PAGE
from .onward import check_onward
from .over_wire import MANIFEST, OverWire
from .overlay import OverlayLost
from .read_again import ReadAgain
from .standby import require_timeline, supply_of
from .summaries import checked_since, why_everything
from .taken import Taken

VERSIONS = (130000, 190000)


def back_up_database(
    store: Store,
    sink: Writer | DryWriter,
    database: Database,
    base: ManifestReader | None,
    report: Report,
    teller: Teller,
    totals: Counter[str],
    owners: SeenOwners,
    *,
    anew: bool,
) -> tuple[SetInfo, DatabaseInfo]:
    """Take a base backup of the cluster into the store. `anew`: everything is read, and `base` only has cells.

    Raises PostgresError, Malformed, ConfigError, StoreError.
    """
    backup = _Backup(store, sink, database, base, report, teller, anew=anew)
    try:
        taken = backup.take(everything=False)
    except _Refused as refused:
        report(Noted(f"the server sends everything: {refused}"))
        taken = backup.take(everything=True)
    totals.update(taken.stats)
    # What came over the wire has the numbers of another host, whose names nobody here knows.
    owners.pairs |= taken.owners.pairs if any(taken.info.account) else set()
    return taken.files, taken.info


class _Refused(Exception):
    """The server cannot send what changed alone, or the base level cannot give the rest."""


class _Level(Struct, frozen=True):
    """What becomes of a base backup that is whole."""

    files: SetInfo
    info: DatabaseInfo
    stats: Counter[str]
    owners: SeenOwners


class _Backup:
    """One or two attempts at a base backup."""

    def __init__(
        self,
        store: Store,
        sink: Writer | DryWriter,
        database: Database,
        base: ManifestReader | None,
        report: Report,
        teller: Teller,
        *,
        anew: bool,
    ) -> None:
        self._store, self._sink, self._database = store, sink, database
        self._report, self._teller = report, teller
        self._base = base.level if base is not None and not anew else None
        self._files = BaseFiles(store, base, anew=anew)

    def take(self, *, everything: bool) -> _Level:
        """Take one. Raises _Refused where the server shall be asked for everything instead."""
        begun = time.time_ns()
        with connect(self._database.dsn, replication=True) as connection:
            facts = server_facts(connection)
            _refuse_strange(facts)
            if facts.in_recovery and (supply := supply_of(connection)).dry:
                self._report(Warned("standby", "postgres", supply.sentence()))
            ring, remote = self._store.ring, self._store.backend.remote
            old = None if remote or not ring.may_read else self._store
            cells = CellStore(self._sink, ring.id_key, checksummed=facts.data_checksums, old=old)
            with Gatherer(self._sink, cells, self._files, self._report, self._teller) as gatherer:
                if _reads_locally(connection, facts, self._database, self._report):
                    everything = True
                    gatherer.checked_since = checked_since(facts, self._base)
                    taken = self._read_here(connection, facts, gatherer, cells)
                    gatherer.tell_damage()
                else:
                    everything = everything or not self._may_overlay(facts)
                    gatherer.checked_since = checked_since(facts, self._base) if everything else 0
                    taken = self._over_wire(connection, facts, gatherer, cells, everything=everything)
                    again = ReadAgain(connection, taken.start_lsn, checksummed=facts.data_checksums)
                    gatherer.tell_damage(again.still_bad)
                if facts.in_recovery:
                    require_timeline(connection, taken.timeline)
                for event in check_onward(self._store, connection, facts, taken):
                    self._report(event)
                manifest, owners = ManifestWriter(self._sink), SeenOwners()
                entries = gatherer.write(manifest, owners)
                index = manifest.finish()
        counts = gatherer.stats
        files = SetInfo(SET_NAME, taken.roots, tuple(index), entries, counts["files"], counts["bytes"])
        before = self._base.database if self._base is not None else None
        read_ns = begun if everything or before is None else before.read_ns
        return _Level(files, _info(facts, taken, read_ns), counts, owners)

    def _read_here(self, connection: Connection, facts: ServerFacts, gatherer: Gatherer, cells: CellStore) -> Taken:
        from .local import LocalBackup

        fast = not self._database.spread
        named = named_files(connection)
        try:
            taken = LocalBackup(connection, facts, gatherer, cells, self._files, fast=fast).take()
        except OSError as error:
            what = f"{os.fsdecode(error.filename or b'the data directory')}: {error.strerror}"
            raise PostgresError(what, hint="run as root or as the server's user, or set mode = 'wire'") from error
        named &= named_files(connection)
        for path in gatherer.missing({place_of(name, taken.data_directory, taken.tablespaces) for name in named}):
            if os.path.lexists(path):
                raise Malformed(show_path(path), "the server has this file, and the copy did not meet it")
            self._report(Warned("missing", show_path(path), "the server's catalog names it, and it is not there"))
        return taken

    def _may_overlay(self, facts: ServerFacts) -> bool:
        manifest = self._manifest_path()
        has_manifest = manifest is not None and self._files.row(manifest) is not None
        reason = why_everything(self._database, facts, self._base, has_manifest=has_manifest, now_ns=time.time_ns())
        if reason:
            self._report(Noted(f"the server sends everything: {reason}"))
        return reason is None

    def _manifest_path(self) -> bytes | None:
        info = self._base.database if self._base is not None else None
        return None if info is None else info.data_directory + b"/" + MANIFEST

    def _over_wire(
        self, connection: Connection, facts: ServerFacts, gatherer: Gatherer, cells: CellStore, *, everything: bool
    ) -> Taken:
        fast = not self._database.spread
        options = BackupOptions(max_rate=self._database.max_rate, fast=fast, wal=True, incremental=not everything)
        if everything:
            return self._receive(connection, facts, gatherer, cells, options, None)
        path = self._manifest_path()
        assert path is not None, "_may_overlay() has looked"
        parent = partial(BaseRelation, self._files, id_key=self._store.ring.id_key, digester=cells.digester)
        try:
            upload_manifest(connection, self._files.content(path))
            return self._receive(connection, facts, gatherer, cells, options, parent)
        except ServerAway:
            raise
        except OverlayLost as error:
            raise _Refused(f"the level before cannot give all of {error}") from error
        except (PostgresError, Malformed, Corrupt, ObjectMissing) as error:
            raise _Refused(str(error)) from error

    def _receive(
        self,
        connection: Connection,
        facts: ServerFacts,
        gatherer: Gatherer,
        cells: CellStore,
        options: BackupOptions,
        parent: Callable[[bytes], BaseRelation] | None,
    ) -> Taken:
        events = base_backup(connection, options)
        started = next(events)
        assert isinstance(started, Started), "what a base backup says first"
        cells.start_lsn = started.lsn
        return OverWire(gatherer, facts, started, parent).take(events)


def _reads_locally(connection: Connection, facts: ServerFacts, database: Database, report: Report) -> bool:
    """Whether the data directory can be read on this host. Raises PostgresError where it was asked for and cannot."""
    if database.mode == "wire" or (database.mode == "auto" and database.max_rate is not None):
        return False
    from .local_server import why_not_local

    reason = why_not_local(connection, facts)
    if reason and database.mode == "local":
        raise PostgresError(f"the data directory cannot be read here: {reason}", hint="use mode = 'wire'")
    if reason:
        report(Noted(f"the database comes over the wire: {reason}"))
    return not reason


def _refuse_strange(facts: ServerFacts) -> None:
    first, end = VERSIONS
    if not first <= facts.version_num < end:
        hint = "PostgreSQL 13 to 18 are supported"
        raise PostgresError(f"the server is of version {facts.version_num // 10000}", hint=hint)
    if facts.block_size != PAGE:
        raise PostgresError(f"the server's pages have {facts.block_size} bytes: only {PAGE} are supported")


def _info(facts: ServerFacts, taken: Taken, read_ns: int) -> DatabaseInfo:
    return DatabaseInfo(
        system_identifier=facts.system_identifier,
        version_num=facts.version_num,
        catalog_version=taken.control.catalog_version,
        timeline=taken.timeline,
        start_lsn=taken.start_lsn,
        stop_lsn=taken.stop_lsn,
        wal_segment_size=facts.wal_segment_size,
        data_checksums=facts.data_checksums,
        from_standby=facts.in_recovery,
        data_directory=taken.data_directory,
        tablespaces=tuple(sorted(taken.tablespaces.items())),
        account=taken.account,
        read_ns=read_ns,
    )
