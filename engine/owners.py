"""Which numbers the owners of a backup get on this host: by name where the name is known here, else as they were.

Rule, as tar and rsync have it: an owner or group whose name this host knows gets this host's number for that name, as
system accounts are numbered differently on every host. One whose name is unknown or was not recorded keeps its number,
and so does number 0, whatever it was called. With `by_name=False` all numbers stay: right when a whole system is
restored from a rescue disk, whose own accounts mean nothing. The same goes for the owners that an ACL names.
It does not promise that a number kept is free here: it may be somebody else's.
"""

import grp
import pwd
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

# linux/posix_acl_xattr.h: a version, then (tag, permissions, id) for each entry.
_ACL_VERSION = 2
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_USER = 0x02
_ACL_GROUP = 0x08


class OwnerMap:
    """The map for one restore. `owners` and `groups` are the names that the backup recorded: number -> name."""

    def __init__(
        self, by_name: bool = True, owners: Mapping[int, str] | None = None, groups: Mapping[int, str] | None = None
    ) -> None:
        self.by_name = by_name
        self._owners = dict(owners or {}) if by_name else {}
        self._groups = dict(groups or {}) if by_name else {}
        self._uids: dict[int, int] = {}  # filled as numbers are met; asking the host twice does no harm
        self._gids: dict[int, int] = {}

    def uid(self, number: int) -> int:
        """The user number on this host for the backup's."""
        if number not in self._uids:
            self._uids[number] = _on_this_host(number, self._owners, lambda name: pwd.getpwnam(name).pw_uid)
        return self._uids[number]

    def gid(self, number: int) -> int:
        """The group number on this host for the backup's."""
        if number not in self._gids:
            self._gids[number] = _on_this_host(number, self._groups, lambda name: grp.getgrnam(name).gr_gid)
        return self._gids[number]

    def acl(self, raw: bytes) -> bytes:
        """The value of a `system.posix_acl_*` attribute, with the owners and groups that it names on this host."""
        if not self.by_name:
            return raw
        mapped = bytearray(raw)
        for place, tag, number in _named_entries(raw):
            here = self.uid(number) if tag == _ACL_USER else self.gid(number)
            struct.pack_into("<I", mapped, place + 4, here)
        return bytes(mapped)


class OneOwner(OwnerMap):
    """All belongs to one user and group of this host, whoever it was of: a server's data directory, say."""

    def __init__(self, uid: int, gid: int) -> None:
        super().__init__(by_name=False)
        self._uid, self._gid = uid, gid

    def uid(self, number: int) -> int:
        return self._uid

    def gid(self, number: int) -> int:
        return self._gid


def acl_owners(raw: bytes) -> tuple[set[int], set[int]]:
    """The user and group numbers that an ACL names, for a backup that records the names of all owners."""
    uids: set[int] = set()
    gids: set[int] = set()
    for _place, tag, number in _named_entries(raw):
        (uids if tag == _ACL_USER else gids).add(number)
    return uids, gids


def _named_entries(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """(place in raw, tag, number) of each ACL entry for one user or group; nothing if this is no ACL that we know."""
    size = len(raw) - _ACL_HEADER.size
    if size < 0 or size % _ACL_ENTRY.size or _ACL_HEADER.unpack_from(raw)[0] != _ACL_VERSION:
        return
    for place in range(_ACL_HEADER.size, len(raw), _ACL_ENTRY.size):
        tag, _permissions, number = _ACL_ENTRY.unpack_from(raw, place)
        if tag in (_ACL_USER, _ACL_GROUP):
            yield place, tag, number


def _on_this_host(number: int, names: Mapping[int, str], look_up: Callable[[str], int]) -> int:
    name = names.get(number)
    if not number or not name:
        return number
    try:
        return look_up(name)
    except (KeyError, ValueError):  # unknown here, or no name at all (it holds a NUL)
        return number


class SeenOwners:
    """The owners met during a backup, whose names its root records. `pairs` takes uid and gid as 8 packed bytes."""

    def __init__(self) -> None:
        self.pairs: set[bytes] = set()
        self._uids: set[int] = set()
        self._gids: set[int] = set()

    def add_acls(self, xattrs: Mapping[bytes, bytes]) -> None:
        """The owners that the ACLs among these attributes name."""
        for name, value in xattrs.items():
            if name.startswith(b"system.posix_acl_"):
                uids, gids = acl_owners(value)
                self._uids |= uids
                self._gids |= gids

    def names(self) -> tuple[dict[int, str], dict[int, str]]:
        """The names on this host of the users and of the groups."""
        uids = self._uids | {int.from_bytes(pair[:4], "little") for pair in self.pairs}
        gids = self._gids | {int.from_bytes(pair[4:], "little") for pair in self.pairs}
        return user_names(uids), group_names(gids)


def user_names(uids: Iterable[int]) -> dict[int, str]:
    """The names on this host of those users that have one."""
    return _names(uids, lambda number: pwd.getpwuid(number).pw_name)


def group_names(gids: Iterable[int]) -> dict[int, str]:
    """The names on this host of those groups that have one."""
    return _names(gids, lambda number: grp.getgrgid(number).gr_name)


def _names(numbers: Iterable[int], look_up: Callable[[int], str]) -> dict[int, str]:
    named = {}
    for number in sorted(numbers):
        try:
            name = look_up(number)
            name.encode()
        except (KeyError, UnicodeEncodeError):  # a root holds text only: who has an odd name keeps his number
            continue
        named[number] = name
    return named
