"""What a path in a data directory is: a relation's file, something that a backup leaves out, or just a file.

Rule: paths are bytes, relative to the data directory, tablespaces below pg_tblspc/<oid>/. What is left out is exactly
what the server's own base backup leaves out (sendDir in src/backend/backup/basebackup.c, 13 to 18), so that a directory
read here and one sent by the server give the same manifest. The server also leaves out, with a warning, what is neither
file nor folder; symbolic links count as folders for pg_wal and in pg_tblspc alone. Nothing here looks at a disk.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

PG_DEFAULT = 1663  # the tablespace of base/
PG_GLOBAL = 1664  # and of global/

TABLESPACES = b"pg_tblspc"
WAL = b"pg_wal"
CONTROL = b"global/pg_control"

# Their contents are of no use after a restart; the folders themselves must be there.
EMPTIED = frozenset(
    (b"pg_stat_tmp", b"pg_replslot", b"pg_dynshmem", b"pg_notify", b"pg_serial", b"pg_snapshots", b"pg_subtrans")
)
# Folders that a server wants in an empty pg_wal. It sends summaries from 17 on.
WAL_FOLDERS = (b"pg_wal/archive_status", b"pg_wal/summaries")
SUMMARIES_SINCE = 170000

_LEFT_OUT = frozenset(
    (
        b"postgresql.auto.conf.tmp",
        b"current_logfiles.tmp",
        b"backup_label",
        b"tablespace_map",
        b"backup_manifest",
        b"postmaster.pid",
        b"postmaster.opts",
    )
)
_LEFT_OUT_PREFIXES = (b"pg_internal.init", b"pgsql_tmp")

_NUMBER = rb"[1-9][0-9]{0,9}"
_RELATION = re.compile(rb"(%s)(?:_(fsm|vm|init))?(?:\.(%s))?" % (_NUMBER, _NUMBER))
_TEMPORARY = re.compile(rb"t[0-9]+_[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?")
_FOLDER = re.compile(rb"(?:base/(%s)|pg_tblspc/(%s)/PG_[0-9]+_[0-9]+/(%s))" % (_NUMBER, _NUMBER, _NUMBER))
_OID_END = 1 << 32


class Fork(Enum):
    """The forks of a relation. Of an unlogged one only INIT survives a crash, and only that is backed up."""

    MAIN = b""
    FREE_SPACE = b"fsm"
    VISIBILITY = b"vm"
    INIT = b"init"


class RelationFile(NamedTuple):
    """One segment of one fork. `relation` is the relfilenode; `database` is 0 for what all databases share."""

    tablespace: int
    database: int
    relation: int
    fork: Fork
    segment: int


class Folder(NamedTuple):
    """A folder of relations."""

    tablespace: int
    database: int


def relation_file(path: bytes) -> RelationFile | None:
    """What the path is if it is a relation's. Temporary relations are none: is_temporary() knows them."""
    above, _, name = path.rpartition(b"/")
    folder, match = relation_folder(above), _RELATION.fullmatch(name)
    if folder is None or match is None:
        return None
    number, fork, segment = match.groups()
    if int(number) >= _OID_END:
        return None
    return RelationFile(*folder, int(number), Fork(fork or b""), int(segment or 0))


def relation_folder(path: bytes) -> Folder | None:
    """The tablespace and database whose relations lie in that folder."""
    if path == b"global":
        return Folder(PG_GLOBAL, 0)
    match = _FOLDER.fullmatch(path)
    if match is None:
        return None
    base, tablespace, database = match.groups()
    return Folder(PG_DEFAULT, int(base)) if base else Folder(int(tablespace), int(database))


def is_temporary(path: bytes) -> bool:
    """Whether the path is of a session's temporary relation, t<backend>_<relfilenode>."""
    above, _, name = path.rpartition(b"/")
    folder = relation_folder(above)
    return folder is not None and folder.database != 0 and _TEMPORARY.fullmatch(name) is not None


def init_fork(path: bytes) -> bytes | None:
    """The path that, where it exists, makes the relation of `path` an unlogged one. None for what is always kept."""
    file = relation_file(path)
    if file is None or file.fork is Fork.INIT:
        return None
    above = path.rpartition(b"/")[0]
    return b"%s/%d_init" % (above, file.relation)


def is_emptied(path: bytes) -> bool:
    """Whether a folder is kept without its contents. pg_wal is one of them; WAL_FOLDERS are made in it."""
    return path == WAL or path.rpartition(b"/")[2] in EMPTIED


def is_left_out(path: bytes, exists: Callable[[bytes], bool]) -> bool:
    """Whether a base backup has neither the path nor anything below it. `exists` is asked for init forks alone.

    That a folder above it is left out or emptied is not looked at: who walks a directory does not go there.
    """
    name = path.rpartition(b"/")[2]
    if name in _LEFT_OUT or name.startswith(_LEFT_OUT_PREFIXES) or is_temporary(path):
        return True
    init = init_fork(path)
    return init is not None and exists(init)
