"""What paths of a data directory are. That the rules are the server's own is shown in test_base_backup.py."""

import pytest

from siltstone.engine.postgres.layout import (
    PG_DEFAULT,
    PG_GLOBAL,
    Folder,
    Fork,
    RelationFile,
    init_fork,
    is_emptied,
    is_left_out,
    is_temporary,
    relation_file,
    relation_folder,
)

SPACE = b"pg_tblspc/16385/PG_15_202209061/5/"


def never(path: bytes) -> bool:
    return False


@pytest.mark.parametrize(
    ("path", "file"),
    [
        (b"base/5/16384", RelationFile(PG_DEFAULT, 5, 16384, Fork.MAIN, 0)),
        (b"base/5/16384.12", RelationFile(PG_DEFAULT, 5, 16384, Fork.MAIN, 12)),
        (b"base/5/16384_fsm", RelationFile(PG_DEFAULT, 5, 16384, Fork.FREE_SPACE, 0)),
        (b"base/5/16384_vm.1", RelationFile(PG_DEFAULT, 5, 16384, Fork.VISIBILITY, 1)),
        (b"base/5/16384_init", RelationFile(PG_DEFAULT, 5, 16384, Fork.INIT, 0)),
        (b"global/1262", RelationFile(PG_GLOBAL, 0, 1262, Fork.MAIN, 0)),
        (SPACE + b"4294967295", RelationFile(16385, 5, 4294967295, Fork.MAIN, 0)),
    ],
)
def test_relations(path: bytes, file: RelationFile) -> None:
    assert relation_file(path) == file


@pytest.mark.parametrize(
    "path",
    [
        b"base/5/PG_VERSION",
        b"base/5/pg_filenode.map",
        b"base/5/0",
        b"base/5/016384",
        b"base/5/16384.0",
        b"base/5/16384.01",
        b"base/5/16384_",
        b"base/5/16384_xyz",
        b"base/5/16384.1_vm",
        b"base/5/4294967296",
        b"base/5/16384\n",
        b"base/5/t3_16384",
        b"base/16384",
        b"base/pgsql_tmp/16384",
        b"global/pg_control",
        b"pg_xact/0000",
        b"pg_wal/000000010000000000000001",
        b"pg_tblspc/16385/5/16384",
        b"pg_tblspc/16385/PG_15_202209061/16384",
        b"16384",
        b"x/base/5/16384",
    ],
)
def test_what_is_no_relation(path: bytes) -> None:
    assert relation_file(path) is None
    assert init_fork(path) is None
    assert not is_left_out(path, lambda _: True) or b"pgsql_tmp" in path or b"/t3_" in path


def test_folders() -> None:
    assert relation_folder(b"base/5") == Folder(PG_DEFAULT, 5)
    assert relation_folder(b"global") == Folder(PG_GLOBAL, 0)
    assert relation_folder(SPACE[:-1]) == Folder(16385, 5)
    assert relation_folder(b"base") is relation_folder(b"") is relation_folder(b"pg_tblspc/16385") is None


def test_temporary_relations() -> None:
    for path in (b"base/5/t3_16384", b"base/5/t3_16384_fsm", b"base/5/t12_16384_vm.1", SPACE + b"t3_16384.2"):
        assert is_temporary(path)
        assert is_left_out(path, never)
    for path in (b"base/5/t3", b"base/5/t_16384", b"base/5/t3_x", b"global/t3_16384", b"t3_16384", b"base/5/t3_1_xx"):
        assert not is_temporary(path)
        assert not is_left_out(path, never)


@pytest.mark.parametrize(
    "path", [b"base/5/16384", b"base/5/16384.3", b"base/5/16384_fsm", b"base/5/16384_vm.1", SPACE + b"7"]
)
def test_of_an_unlogged_relation_only_the_init_fork_is_kept(path: bytes) -> None:
    init = init_fork(path)
    assert init is not None
    assert relation_folder(init.rpartition(b"/")[0]) is not None
    assert is_left_out(path, lambda asked: asked == init)
    assert not is_left_out(path, never)
    assert not is_left_out(init, lambda _: True)


@pytest.mark.parametrize(
    "path",
    [
        b"postmaster.pid",
        b"postmaster.opts",
        b"backup_label",
        b"tablespace_map",
        b"backup_manifest",
        b"postgresql.auto.conf.tmp",
        b"current_logfiles.tmp",
        b"global/pg_internal.init",
        b"base/5/pg_internal.init.4711",
        b"base/pgsql_tmp",
        b"base/pgsql_tmp/pgsql_tmp4711.0",
        SPACE[:-2] + b"pgsql_tmp",
        b"own/postmaster.pid",
    ],
)
def test_what_is_left_out(path: bytes) -> None:
    assert is_left_out(path, never)


@pytest.mark.parametrize(
    "path",
    [
        b"backup_label.old",
        b"postmaster.pid.old",
        b"postgresql.auto.conf",
        b"standby.signal",
        b"recovery.signal",
        b"PG_VERSION",
        b"global/pg_control",
        b"base/5/x_pgsql_tmp",
        b"log/postgresql.log",
    ],
)
def test_what_is_kept(path: bytes) -> None:
    assert not is_left_out(path, lambda _: True)


def test_emptied_folders() -> None:
    for path in (
        b"pg_wal",
        b"pg_notify",
        b"pg_replslot",
        b"pg_stat_tmp",
        b"pg_subtrans",
        b"pg_dynshmem",
        b"own/pg_serial",
    ):
        assert is_emptied(path)
    for path in (b"pg_xact", b"pg_stat", b"pg_logical", b"own/pg_wal", b"pg_tblspc", b"base", b"pg_wal/archive_status"):
        assert not is_emptied(path)
