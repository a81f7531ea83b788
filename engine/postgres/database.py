"""A level's database: a base backup as a file set of its own, read on this host or over the wire; what the root says.

Rule: the base backup brings the WAL that makes it consistent, so a level restores by itself, without an archive. The
level is committed by who called this: before that nothing of the database exists.
"""

import os
from collections import Counter

from siltstone.store import DryWriter, Store, Writer

from ..database_info import SET_NAME, DatabaseInfo
from ..deployment import Database
from ..events import Noted, Report
from ..levels import SetInfo
from ..manifest import ManifestReader, ManifestWriter
from ..owners import SeenOwners
from ..teller import Teller
from .backup_command import BackupOptions
from .base_backup import Started, base_backup
from .base_files import BaseFiles
from .cell_store import CellStore
from .connection import Connection, connect
from .errors import PostgresError
from .facts import ServerFacts, server_facts
from .gather import Gatherer
from .grid import PAGE
from .onward import check_onward
from .over_wire import OverWire
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
) -> tuple[SetInfo, DatabaseInfo]:
    """Take a base backup of the cluster into the store. Raises PostgresError, Malformed, ConfigError, StoreError."""
    with connect(database.dsn, replication=True) as connection:
        facts = server_facts(connection)
        _refuse_strange(facts)
        files = BaseFiles(store, base)
        cells = CellStore(sink, store.ring.id_key, checksummed=facts.data_checksums)
        with Gatherer(sink, cells, files, report, teller) as gatherer:
            if _reads_locally(connection, facts, database, report):
                from .local import LocalBackup

                try:
                    taken = LocalBackup(connection, facts, gatherer, cells, files, fast=not database.spread).take()
                except OSError as error:
                    what = f"{os.fsdecode(error.filename or b'the data directory')}: {error.strerror}"
                    raise PostgresError(
                        what, hint="run as root or as the server's user, or set mode = 'wire'"
                    ) from error
            else:
                taken = _over_wire(connection, facts, gatherer, cells, database)
            for event in check_onward(store, connection, facts, taken):
                report(event)
            manifest = ManifestWriter(sink)
            # What came over the wire has the numbers of another host, whose names nobody here knows.
            entries = gatherer.write(manifest, owners if any(taken.account) else SeenOwners())
            index = manifest.finish()
    totals.update(gatherer.stats)
    counts = gatherer.stats
    files_info = SetInfo(SET_NAME, taken.roots, tuple(index), entries, counts["files"], counts["bytes"])
    return files_info, _info(facts, taken)


def _over_wire(
    connection: Connection, facts: ServerFacts, gatherer: Gatherer, cells: CellStore, database: Database
) -> Taken:
    options = BackupOptions(max_rate=database.max_rate, fast=not database.spread, wal=True)
    events = base_backup(connection, options)
    started = next(events)
    assert isinstance(started, Started), "what a base backup says first"
    cells.start_lsn = started.lsn
    return OverWire(gatherer, facts, started).take(events)


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


def _info(facts: ServerFacts, taken: Taken) -> DatabaseInfo:
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
    )
