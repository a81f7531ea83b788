"""Owners by name and by number, in stat and in ACLs."""

import os
import pwd
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.owners import OwnerMap, acl_owners
from tests.entries import entry_of, make, put_back
from tests.trees import ACL, require

NAMELESS = OwnerMap()


class TestOwners:
    def test_a_known_name_gets_this_hosts_number(self) -> None:
        daemon = pwd.getpwnam("daemon")
        owners = OwnerMap(owners={4242: "daemon"}, groups={4343: "daemon"})
        assert (owners.uid(4242), owners.gid(4343)) == (daemon.pw_uid, daemon.pw_gid)
        assert owners.uid(4343) == 4343, "a group's name is no user's"

    def test_all_others_keep_their_numbers(self) -> None:
        owners = OwnerMap(owners={0: "daemon", 7001: "nobody-has-this-name", 7002: "", 7003: "a\0b"})
        assert [owners.uid(number) for number in (0, 7001, 7002, 7003, 7004)] == [0, 7001, 7002, 7003, 7004]
        assert OwnerMap(False, {4242: "daemon"}, {4242: "daemon"}).uid(4242) == 4242

    def test_an_acl_is_mapped_too(self) -> None:
        daemon = pwd.getpwnam("daemon")
        mapped = OwnerMap(owners={1234: "daemon", 4321: "bin"}, groups={4321: "daemon"}).acl(ACL)
        assert acl_owners(ACL) == ({1234}, {4321})
        assert acl_owners(mapped) == ({daemon.pw_uid}, {daemon.pw_gid})
        assert OwnerMap(False, {1234: "daemon"}).acl(ACL) == ACL

    def test_an_acl_is_put_back_mapped(self, tmp_path: Path) -> None:
        require(tmp_path)
        make(tmp_path / "file", "file")
        os.setxattr(tmp_path / "file", "system.posix_acl_access", ACL)
        owners = OwnerMap(owners={1234: "daemon"}, groups={4321: "daemon"})
        assert not put_back(tmp_path / "file", entry_of(tmp_path / "file"), owners)
        mapped = os.getxattr(tmp_path / "file", "system.posix_acl_access")
        assert acl_owners(mapped) == ({pwd.getpwnam("daemon").pw_uid}, {pwd.getpwnam("daemon").pw_gid})

    @given(st.binary() | st.binary().map(lambda rest: struct.pack("<I", 2) + rest))
    def test_what_is_no_acl_passes_unchanged(self, raw: bytes) -> None:
        assert NAMELESS.acl(raw) == raw

    def test_a_mapped_owner_is_given_and_is_no_problem(self, tmp_path: Path) -> None:
        make(tmp_path / "file", "file")
        me = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:  # root's number never moves, so it takes another
            me = "daemon"
        entry = entry_of(tmp_path / "file", uid=77_777)
        assert not put_back(tmp_path / "file", entry, OwnerMap(owners={77_777: me}))
        assert (tmp_path / "file").stat().st_uid == pwd.getpwnam(me).pw_uid
