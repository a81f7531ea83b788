"""Base backups of real servers: what comes is what lies in the data directory, to the byte, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine.postgres.backup_command import BackupOptions, backup_command
from siltstone.engine.postgres.backup_label import parse_backup_label, parse_tablespace_map
from siltstone.engine.postgres.base_backup import upload_manifest
from siltstone.engine.postgres.connection import Connection, connect
from siltstone.engine.postgres.control import State, parse_control
from siltstone.engine.postgres.errors import PostgresError
from siltstone.engine.postgres.facts import server_facts
from siltstone.engine.postgres.layout import CONTROL, WAL_FOLDERS, init_fork, is_emptied, is_left_out, relation_file
from siltstone.engine.postgres.server_manifest import read_manifest
from siltstone.engine.postgres.tar_stream import Kind

from .quiet import KEPT, LEFTOVERS, STRANGE, QuietServer
from .receiving import receive, unpack
from .servers import Templates

GENERATED = {b"backup_label", b"tablespace_map"}


@pytest.fixture
def connection(quiet: QuietServer) -> Iterator[Connection]:
    with connect(quiet.dsn, replication=True) as connection:
        yield connection


def walked(data: bytes, spaces: dict[int, Path]) -> dict[bytes, bool]:
    """What layout.py says a base backup holds: whether each path is a folder."""

    def exists(path: bytes) -> bool:
        return os.path.lexists(os.path.join(data, path))

    def walk(folder: bytes) -> Iterator[tuple[bytes, bool]]:
        with os.scandir(os.path.join(data, folder)) as entries:
            for entry in entries:
                path = os.path.join(folder, entry.name)
                if is_left_out(path, exists) or (path.startswith(b"pg_tblspc/") and entry.is_symlink()):
                    continue
                yield path, entry.is_dir()
                if entry.is_dir() and not is_emptied(path):
                    yield from walk(path)

    found = dict(walk(b""))
    for oid in spaces:
        found |= dict(walk(b"pg_tblspc/%d" % oid))
    return found


class TestWhole:
    def test_it_is_the_data_directory_to_the_byte(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection)
        data = os.fsencode(quiet.server.data)
        expected = walked(data, quiet.tablespaces)
        came = {path: entry.kind is Kind.FOLDER for path, entry in received.entries.items()}
        for folder in WAL_FOLDERS:
            if folder in came:
                expected[folder] = True
        assert {path for path in came if path not in expected} == GENERATED
        assert {path for path in expected if path not in came} == set()
        assert all(came[path] == folder for path, folder in expected.items())
        for path, content in received.contents.items():
            if path in GENERATED or path == CONTROL:
                continue
            with open(os.path.join(data, path), "rb") as file:
                assert file.read() == content, path
            status, entry = os.stat(os.path.join(data, path)), received.entries[path]
            assert (entry.size, entry.mtime, entry.mode) == (
                len(content),
                int(status.st_mtime),
                status.st_mode & 0o7777,
            )
            assert (entry.uid, entry.gid) == (status.st_uid, status.st_gid)

    def test_leftovers_stay_behind(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection)
        left = {os.fsencode(name.format(db=quiet.database)) for name in LEFTOVERS}
        assert left - GENERATED & received.entries.keys() == set()
        assert {os.fsencode(name.format(db=quiet.database)) for name in KEPT} <= received.entries.keys()
        assert received.contents[STRANGE] == b"left over\n"

    def test_of_unlogged_tables_the_init_fork_comes(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection)
        inits = {path for path in received.contents if path.endswith(b"_init")}
        assert len(inits) == 5, "three tables, and a TOAST table with its index"
        for path in inits:
            assert init_fork(path) is None
            assert path.removesuffix(b"_init") not in received.contents

    def test_order_and_frame(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection)
        assert received.started is not None
        assert received.ended is not None
        assert received.started.lsn < received.ended.lsn
        assert received.started.timeline == received.ended.timeline == 1
        assert received.archives == [source.oid for source in received.started.sources]
        assert received.archives[-1] is None
        assert {source.oid: source.location for source in received.started.sources if source.oid} == {
            oid: str(place) for oid, place in quiet.tablespaces.items()
        }
        base = [path for path in received.order if not path.startswith(b"pg_tblspc/")]
        assert base[:2] == [b"backup_label", b"tablespace_map"]
        assert base[-1] == CONTROL
        total = sum(source.size for source in received.started.sources)
        assert total > 1 << 20
        if quiet.version >= 15:
            assert received.done == sorted(received.done)
            assert abs(received.done[-1] - total) < total / 5

    def test_the_label_and_the_map(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection, BackupOptions(label="it's one"))
        assert received.started is not None
        label = parse_backup_label(received.contents[b"backup_label"])
        assert (label.label, label.start_lsn, label.timeline) == ("it's one", received.started.lsn, 1)
        assert (label.method, label.taken_from) == ("streamed", "primary" if quiet.version > 13 else "master")
        spaces = parse_tablespace_map(received.contents[b"tablespace_map"], version_num=connection.version_num)
        assert spaces == {oid: os.fsencode(place) for oid, place in quiet.tablespaces.items()}

    def test_the_manifest_tells_what_came(self, quiet: QuietServer, connection: Connection) -> None:
        import google_crc32c

        received = receive(connection)
        manifest = read_manifest([received.manifest])
        for path, content in received.contents.items():
            assert manifest.record(path) == (len(content), google_crc32c.value(content)), path
        assert set(manifest.files) == set(received.contents)
        assert received.started is not None
        assert received.ended is not None
        assert [(each.timeline, each.start, each.end) for each in manifest.end.wal_ranges] == [
            (1, received.started.lsn, received.ended.lsn)
        ]
        assert manifest.end.version == (2 if quiet.version >= 17 else 1)

    def test_without_manifest_and_map(self, quiet: QuietServer, connection: Connection) -> None:
        received = receive(connection, BackupOptions(manifest=False, tablespace_map=False, max_rate=1 << 20))
        assert not received.manifest
        assert b"tablespace_map" not in received.entries
        links = {path: entry.target for path, entry in received.entries.items() if entry.kind is Kind.LINK}
        assert links == {b"pg_tblspc/%d" % oid: os.fsencode(place) for oid, place in quiet.tablespaces.items()}

    def test_two_over_one_connection(self, connection: Connection) -> None:
        first, second = receive(connection), receive(connection)
        assert first.entries.keys() == second.entries.keys()
        assert connection.query("SELECT 1") == [("1",)]

    def test_with_its_wal_a_server_starts_from_it(self, quiet: QuietServer, servers: Templates) -> None:
        with connect(quiet.dsn, replication=True) as connection:
            received = receive(connection, BackupOptions(wal=True))
        with servers.empty(quiet.version) as copy:
            spaces = {oid: copy.make_folder(str(oid)) for oid in quiet.tablespaces}
            unpack(received, copy.data, spaces)
            (copy.data / "tablespace_map").write_text("".join(f"{oid} {place}\n" for oid, place in spaces.items()))
            copy.start()
            for query in ("SELECT sum(n), count(text) FROM rows", "SELECT sum(n) FROM there"):
                assert copy.sql(query) == quiet.server.sql(query)
            assert copy.sql("SELECT count(*) FROM unlogged_here") == [("0",)]


def test_a_tablespace_in_place_comes_or_is_refused(servers: Templates, version: int) -> None:
    """Servers before 16 leave it out of the backup without a word."""
    with servers.server(version) as server:
        server.start(allow_in_place_tablespaces="on")
        server.sql("CREATE TABLESPACE inside LOCATION ''", "CREATE TABLE t TABLESPACE inside AS SELECT 1 AS n")
        ((path,),) = server.sql("SELECT pg_relation_filepath('t')")
        with connect(server.dsn(), replication=True) as connection:
            if version < 16:
                with pytest.raises(PostgresError, match="leaves tablespace 16384 out"):
                    receive(connection)
            else:
                assert os.fsencode(path or "") in receive(connection).contents


class TestStandby:
    def test_a_standby_gives_the_same(self, quiet: QuietServer, servers: Templates) -> None:
        with connect(quiet.dsn, replication=True) as connection:
            received = receive(connection, BackupOptions(wal=True))
        with servers.empty(quiet.version) as standby:
            spaces = {oid: standby.make_folder(str(oid)) for oid in quiet.tablespaces}
            unpack(received, standby.data, spaces)
            (standby.data / "tablespace_map").write_text("".join(f"{oid} {place}\n" for oid, place in spaces.items()))
            (standby.data / "standby.signal").touch()
            standby.configure(f"primary_conninfo = '{quiet.server.dsn().replace(chr(39), chr(39) * 2)}'")
            standby.start()
            with connect(standby.dsn(), replication=True) as connection:
                facts = server_facts(connection)
                copied = receive(connection)
            control = parse_control(copied.contents[CONTROL])
            assert facts.in_recovery
            assert facts.xlog_position >= control.minimum_recovery_point >= control.checkpoint > 0
            assert (control.state, control.minimum_recovery_timeline) == (State.IN_ARCHIVE_RECOVERY, 1)
            assert copied.ended is not None
            assert copied.ended.lsn >= control.minimum_recovery_point
            label = parse_backup_label(copied.contents[b"backup_label"])
            assert label.taken_from == "standby"
            assert b"standby.signal" in copied.contents
            for path, content in received.contents.items():
                if relation_file(path) is not None:
                    assert copied.contents.get(path) == content or path.endswith((b"_fsm", b"_vm")), path


class TestIncremental:
    @pytest.mark.slow
    @pytest.mark.parametrize("version", [17, 18])
    def test_only_what_changed_comes(self, servers: Templates, version: int) -> None:
        with servers.server(version) as server:
            server.start(summarize_wal="on")
            # A page is changed by its first reader, too, who notes that its rows are valid; after VACUUM nobody has to.
            server.sql("CREATE TABLE t AS SELECT n, repeat('x', 500) AS x FROM generate_series(1, 20000) n")
            server.sql("VACUUM t", "CHECKPOINT")
            with connect(server.dsn(), replication=True) as connection:
                full = receive(connection)
                server.sql("UPDATE t SET x = 'y' WHERE n = 7")
                upload_manifest(connection, [full.manifest])
                increment = receive(connection, BackupOptions(incremental=True))
            label = parse_backup_label(increment.contents[b"backup_label"])
            assert full.started is not None
            assert (label.incremental_lsn, label.incremental_timeline) == (full.started.lsn, 1)
            size = sum(map(len, increment.contents.values()))
            assert size < sum(map(len, full.contents.values())) / 2

    @pytest.mark.slow
    @pytest.mark.parametrize("version", [17, 18])
    def test_a_manifest_that_is_none_is_the_servers_error(self, quiet: QuietServer, connection: Connection) -> None:
        manifest = receive(connection).manifest
        with pytest.raises(PostgresError, match="manifest"):
            upload_manifest(connection, [manifest[:1000], b"\0" * (4 << 20)])

    def test_without_summaries_the_server_says_what_is_missing(
        self, quiet: QuietServer, connection: Connection
    ) -> None:
        received = receive(connection)
        if quiet.version < 17:
            with pytest.raises(PostgresError, match="17 is the first"):
                upload_manifest(connection, [received.manifest])
        else:
            upload_manifest(connection, [received.manifest])
            with pytest.raises(PostgresError, match="WAL summari"):
                receive(connection, BackupOptions(incremental=True))


class TestCommand:
    def test_each_version_has_its_grammar(self) -> None:
        options = BackupOptions(label="a'b", max_rate=100, wal=True)
        assert backup_command(options, 140005) == (
            "BASE_BACKUP LABEL 'a''b' PROGRESS FAST WAL NOWAIT MAX_RATE 100 TABLESPACE_MAP NOVERIFY_CHECKSUMS"
            " MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
        )
        assert backup_command(options, 150000) == (
            "BASE_BACKUP (LABEL 'a''b', PROGRESS true, CHECKPOINT 'fast', WAL true, WAIT false, MAX_RATE 100,"
            " TABLESPACE_MAP true, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
        )

    @pytest.mark.parametrize(
        "options", [BackupOptions(max_rate=31), BackupOptions(label="a\nb"), BackupOptions(incremental=True)]
    )
    def test_what_cannot_be_is_refused(self, options: BackupOptions) -> None:
        with pytest.raises(PostgresError):
            backup_command(options, 160000)
