"""A level's database as a data directory that a server can be started on.

    files of the data directory and of the tablespaces -> what is too much goes -> tablespace_map, recovery settings
    -> global/pg_control, last

Rule: until pg_control is there no server starts on the folder, so an interrupted restore is never taken for a cluster.
Nothing is written before everything is known to fit: the target is empty, or holds an older copy of the same cluster
that no server uses, and each tablespace has a place of its own. Of such a copy only what differs is written, in large
files where they stand, and what the level does not have is removed. A restored cluster starts with archive_mode = off
unless the caller says otherwise: a copy must not write into the archive of its original.
"""

import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import pairwise

from siltstone.store import Store

from ..database_info import SET_NAME, DatabaseInfo
from ..errors import EngineError, TargetError
from ..events import Noted, Report
from ..levels import Level
from ..restore import restore_level
from ..restore_rows import LevelRows
from ..restore_tally import RestoreResult, combined
from ..selection import Selection
from .backup_label import format_tablespace_map, parse_tablespace_map
from .control import parse_control
from .errors import Malformed
from .layout import CONTROL, TABLESPACES
from .recovery import Recovery, write_recovery

_MAP = b"tablespace_map"
_LOCK = b"postmaster.pid"
_USUAL = "postgres"


def restore_cluster(
    store: Store,
    level: Level,
    target: bytes,
    *,
    tablespaces: Mapping[bytes, bytes],
    recovery: Recovery | None = None,
    keep_archiving: bool = False,
    dry_run: bool = False,
    verify: bool = False,
    numeric_ids: bool = False,
    report: Report,
) -> RestoreResult:
    """Restore the database of a level to `target`, an absolute path, which becomes its data directory.

    `tablespaces`: for each location on the old server, where it goes. `recovery`: to which moment a server that is
    started there goes; None: to the end of the backup. Raises EngineError before anything is written where that cannot
    be done, TargetError, TargetFull, OSError, StoreError.
    """
    info = _database_of(level)
    places = _places(info, target, tablespaces)
    _check_target(target, info)
    for old in places.keys() - {info.data_directory}:
        _check_tablespace(places[old], target, info.version_num)
    owner = None if numeric_ids else owner_of(target, info.account)
    control, spaces = (info.data_directory + b"/" + name for name in (CONTROL, _MAP))
    but = (spaces,) if dry_run else (control, spaces)
    if not dry_run:
        _withdraw(target)
    if info.tablespaces and not dry_run:  # before their files: so an interrupted restore knows its own places again
        moved = {oid: places[old] for oid, old in info.tablespaces if old in places}
        os.makedirs(target, 0o700, exist_ok=True)
        _overwrite(target, _MAP, format_tablespace_map(moved, version_num=info.version_num))
    restore = partial(restore_level, store, level, owner=owner, numeric_ids=numeric_ids, dry_run=dry_run, report=report)
    parts, removed = [], 0
    for old, new in places.items():
        selection = Selection(set_name=SET_NAME, but=frozenset(but))
        parts.append(restore(target=new, selection=selection, base=old, verify=verify, patch=True))
        if not parts[-1].failures:  # a list of entries that cannot be read names nothing to keep
            removed += _remove_others(store, level, old, new, dry_run=dry_run)
    if removed:
        verb = "would be" if dry_run else "were"
        report(Noted(f"{removed} files and folders that the level does not have {verb} removed"))
    if dry_run:
        return combined(parts)
    _link_tablespaces(target, {oid: places[old] for oid, old in info.tablespaces if old in places})
    write_recovery(target, recovery, keep_archiving=keep_archiving)
    if any(part.failures for part in parts):
        return combined(parts)  # without pg_control: not to be started
    parts.append(restore(target=target, selection=Selection((control,), SET_NAME), base=info.data_directory))
    return combined(parts)


def owner_of(target: bytes, account: tuple[str, str]) -> tuple[int, int] | None:
    """To whom a data directory at the target shall belong: a server starts only on what is its user's own.

    Who is not root can give nothing away. Root gives it to whom the folder belongs that is there already, if that is
    not root; else to the user of the backup's host, if this one knows the name (`postgres` where it is not known, as
    PostgreSQL's own tars have it). None: the numbers of the backup stay.
    """
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    with suppress(FileNotFoundError):
        found = os.stat(target)
        if found.st_uid:
            return found.st_uid, found.st_gid
    user, group = (name or _USUAL for name in account)
    try:
        return pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _database_of(level: Level) -> DatabaseInfo:
    if level.database is None:
        raise EngineError(f"level {level.ref} holds no database", hint="'silt show' says what a level holds")
    return level.database


def _places(info: DatabaseInfo, target: bytes, tablespaces: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Where each of the old server's places goes; the data directory first. Raises EngineError."""
    outside = [location for _, location in info.tablespaces if location.startswith(b"/")]
    for old in tablespaces:
        if old not in outside:
            names = ", ".join(map(os.fsdecode, outside)) or "none"
            raise EngineError(f"{os.fsdecode(old)} is no tablespace of that level", hint=f"it has: {names}")
    for old in outside:
        if old not in tablespaces:
            hint = f"say where it goes: --tablespace '{os.fsdecode(old)}=/new/place'"
            raise EngineError(f"the tablespace {os.fsdecode(old)} needs a place", hint=hint)
    places = {info.data_directory: target, **{old: tablespaces[old] for old in outside}}
    taken = sorted(places.values())
    for one, other in pairwise(taken):
        if one == other or other.startswith(one.rstrip(b"/") + b"/"):
            raise EngineError(f"{os.fsdecode(other)} and {os.fsdecode(one)} overlap", hint="give each its own folder")
    return places


def _names_in(folder: bytes) -> set[bytes]:
    """What is in a folder; nothing in one that is not there. Raises TargetError."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise TargetError(f"{os.fsdecode(folder)}: {error.strerror}") from error


def _check_tablespace(place: bytes, target: bytes, version_num: int) -> None:
    """Refuse a folder that is neither empty nor a tablespace of the copy at the target: what the level does not have
    will be removed there, and another cluster's tablespace looks just like ours. Raises TargetError.
    """
    if not _names_in(place):
        return
    links = target + b"/" + TABLESPACES
    theirs = {os.path.realpath(links + b"/" + name) for name in _names_in(links)}
    try:
        with open(target + b"/" + _MAP, "rb") as file:
            theirs |= set(map(os.path.realpath, parse_tablespace_map(file.read(), version_num=version_num).values()))
    except (FileNotFoundError, Malformed):
        pass  # a server that started there has made links of it
    if os.path.realpath(place) not in theirs:
        what = f"{os.fsdecode(place)} is neither empty nor a tablespace of {os.fsdecode(target)}"
        raise TargetError(what, hint="choose an empty folder")


def _check_target(target: bytes, info: DatabaseInfo) -> None:
    """Refuse a folder that is neither empty nor an older copy of this cluster. Raises TargetError."""
    shown = os.fsdecode(target)
    names = _names_in(target)
    if not names:
        return
    if _LOCK in names:
        hint = f"stop the server; if none runs there, remove {shown}/postmaster.pid"
        raise TargetError(f"a server seems to run on {shown}", hint=hint)
    begun = names <= {_MAP}  # an interrupted restore that came no further
    if begun or ({b"PG_VERSION", b"base"} <= names and _is_of(target, info)):
        return
    raise TargetError(f"{shown} is neither empty nor an older copy of this cluster", hint="choose an empty folder")


def _is_of(target: bytes, info: DatabaseInfo) -> bool:
    try:
        with open(target + b"/" + CONTROL, "rb") as file:
            return parse_control(file.read()).system_identifier == info.system_identifier
    except FileNotFoundError:
        return True  # an interrupted restore: it took pg_control away first
    except (OSError, Malformed):
        return False


def _withdraw(target: bytes) -> None:
    """Take pg_control away, durably: from here on nobody starts a server on the folder."""
    try:
        os.unlink(target + b"/" + CONTROL)
    except FileNotFoundError:
        return
    folder = os.open(target + b"/" + os.path.dirname(CONTROL), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_others(store: Store, level: Level, old: bytes, new: bytes, *, dry_run: bool) -> int:
    """Remove what the level does not have below one place; how many files and folders that were, or would be.

    A server would take a newer WAL segment, or a relation's file of another time, for its own.
    """
    rows = LevelRows(store, level, Selection(set_name=SET_NAME), base=old, lost=lambda path, reason: None)
    known = {new + row.path[len(old) :] for row in rows}
    removed = 0
    for path, is_folder in list(_below(new)) if os.path.isdir(new) else ():
        if path not in known:
            removed += 1
            if dry_run:
                continue
            if is_folder:
                shutil.rmtree(path)
            else:
                os.unlink(path)
    return removed


def _link_tablespaces(target: bytes, places: Mapping[int, bytes]) -> None:
    """The links that a server makes of tablespace_map when it starts: PostgreSQL's other programs want them before."""
    for oid, place in places.items():
        link = b"%b/%b/%d" % (target, TABLESPACES, oid)
        with suppress(FileNotFoundError):
            os.unlink(link)
        with suppress(FileNotFoundError):  # the folder could not be restored, which is told
            os.symlink(place, link)
            if os.geteuid() == 0:
                owner = os.stat(target)
                os.chown(link, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _below(folder: bytes) -> Iterator[tuple[bytes, bool]]:
    """(path, whether it is a folder) of everything below; symbolic links are not followed."""
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for path, is_folder in found:
        yield path, is_folder
        if is_folder:
            yield from _below(path)


def _overwrite(target: bytes, name: bytes, content: bytes) -> None:
    """Put a small file into the data directory, with the owner of the folder."""
    path = target + b"/" + name
    with open(path, "wb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(content)
    owner = os.stat(target)
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
