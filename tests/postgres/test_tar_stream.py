"""The parser of the server's tar: against Python's own writer, cut at any place, damaged, broken off."""

import io
import tarfile
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.tar_stream import BLOCK, EntryEnd, Kind, TarEntry, TarStream

NAMES = st.text("abcPG_0123456789/", min_size=1, max_size=90).map(lambda text: "/".join(filter(None, text.split("/"))))
MEMBERS = st.dictionaries(NAMES.filter(bool), st.binary(max_size=2000), max_size=8)


def member(name: str, content: bytes = b"", **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode, info.uid, info.gid = len(content), 1234567890, 0o600, 70, 71
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % BLOCK)


def parsed(data: bytes, cuts: list[int] | None = None, *, terminated: bool = False) -> list[tuple[TarEntry, bytes]]:
    """Feed the data, cut at these places, and put the contents together."""
    stream = TarStream("base", terminated=terminated)
    found: list[tuple[TarEntry, bytes]] = []
    entry: TarEntry | None = None
    content = bytearray()
    places = [0, *sorted(cuts or []), len(data)]
    for start, stop in pairwise(places):
        for event in stream.feed(memoryview(data)[start:stop]):
            match event:
                case TarEntry():
                    assert entry is None
                    entry, content = event, bytearray()
                case memoryview():
                    content += event
                case EntryEnd():
                    assert entry is not None
                    found.append((entry, bytes(content)))
                    entry = None
    stream.finish()
    assert entry is None
    return found


@settings(max_examples=60)
@given(MEMBERS, st.data())
def test_any_archive_cut_anywhere(members: dict[str, bytes], data: st.DataObject) -> None:
    archive = b"".join(member(name, content) for name, content in members.items()) + bytes(1024)
    cuts = data.draw(st.lists(st.integers(0, len(archive)), max_size=30))
    found = parsed(archive, cuts, terminated=True)
    assert {entry.name.decode(): content for entry, content in found} == members
    assert all((entry.uid, entry.gid, entry.mode, entry.mtime) == (70, 71, 0o600, 1234567890) for entry, _ in found)


def test_a_byte_at_a_time() -> None:
    archive = member("a", b"x" * 513) + member("b") + bytes(1024)
    assert parsed(archive, list(range(len(archive)))) == parsed(archive)


def test_folders_and_links() -> None:
    archive = member("./pg_wal/archive_status/", type=tarfile.DIRTYPE)
    archive += member("pg_tblspc/16385", type=tarfile.SYMTYPE, linkname="/srv/space")
    archive += member("./", type=tarfile.DIRTYPE)
    entries = [entry for entry, _ in parsed(archive)]
    assert [(entry.name, entry.kind, entry.target) for entry in entries] == [
        (b"pg_wal/archive_status", Kind.FOLDER, b""),
        (b"pg_tblspc/16385", Kind.LINK, b"/srv/space"),
        (b"", Kind.FOLDER, b""),
    ]


def test_numbers_too_large_for_octal() -> None:
    """A relation segment may be larger than 8 GiB where PostgreSQL was built so; uids may be large anyhow."""
    info = tarfile.TarInfo("big")
    info.size, info.uid = 9 << 30, 4_000_000_000
    stream = TarStream("base", terminated=False)
    (entry,) = stream.feed(memoryview(info.tobuf(tarfile.GNU_FORMAT)))
    assert isinstance(entry, TarEntry)
    assert (entry.size, entry.uid) == (9 << 30, 4_000_000_000)


def test_content_is_passed_on_without_a_copy() -> None:
    data = bytearray(member("a", b"x" * 5000))
    stream = TarStream("base", terminated=False)
    pieces = [event for event in stream.feed(memoryview(data)) if isinstance(event, memoryview)]
    assert [piece.obj is data for piece in pieces] == [True]


@pytest.mark.parametrize("at", [0, 100, 124, 150, 156, 157, 260])
def test_a_damaged_header(at: int) -> None:
    data = bytearray(member("name", b"content"))
    data[at] ^= 0x11
    with pytest.raises(Malformed, match="header is damaged"):
        parsed(bytes(data))


@pytest.mark.parametrize("length", [1, 511, 512, 513, 1023])
def test_an_archive_that_breaks_off(length: int) -> None:
    data = member("name", b"x" * 400) + bytes(1024)
    with pytest.raises(Malformed, match="breaks off"):
        parsed(data[:length], terminated=True)


def test_only_old_servers_leave_the_end_unmarked() -> None:
    data = member("name", b"content")
    assert len(parsed(data)) == 1
    for tail in (b"", bytes(512)):
        with pytest.raises(Malformed, match="without the mark"):
            parsed(data + tail, terminated=True)
    with pytest.raises(Malformed, match="after the mark"):
        parsed(bytes(1024) + data)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "a//b", "."])
def test_a_name_that_leads_elsewhere(name: str) -> None:
    if name == ".":
        assert parsed(member(name, type=tarfile.DIRTYPE))[0][0].name == b""
        return
    with pytest.raises(Malformed, match="plain relative path"):
        parsed(member(name))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"S"])
def test_what_no_server_sends(kind: bytes) -> None:
    with pytest.raises(Malformed, match="no server sends"):
        parsed(member("name", type=kind))


def test_a_folder_with_content() -> None:
    data = member("name", type=tarfile.DIRTYPE)
    with_size = tarfile.TarInfo("name")
    with_size.type, with_size.size = tarfile.REGTYPE, 5
    block = bytearray(with_size.tobuf(tarfile.USTAR_FORMAT))
    block[156:157] = b"5"
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    assert parsed(data)
    with pytest.raises(Malformed, match="with content"):
        parsed(bytes(block))


def test_an_archive_of_tarfile_is_read_as_tarfile_reads_it() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(50):
            info = tarfile.TarInfo(f"base/1/{number}")
            info.size = number * 100
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
    found = parsed(buffer.getvalue(), terminated=True)
    assert [(entry.name, len(content)) for entry, content in found] == [
        (b"base/1/%d" % number, number * 100) for number in range(50)
    ]
