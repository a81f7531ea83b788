"""Rows of entries: what is packed comes back, whatever bytes paths and attributes are; what is no row is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.entry import (
    EXTENT,
    HEAD,
    MAX_PIECE,
    Entry,
    Extent,
    extra,
    hole,
    make_row,
    order_key,
    pack_extents,
    parse_row,
    row_changed,
    row_path,
    rows,
    size_of,
    unpack_extents,
    with_size,
)
from siltstone.store import ChunkId

U32, U64, I64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"."))
PATHS = st.lists(NAMES, max_size=6).map(lambda names: b"/" + b"/".join(names))
IDS = st.binary(min_size=32, max_size=32).filter(any).map(ChunkId)
EXTENTS = st.builds(Extent, IDS, U32, U32) | U32.map(lambda length: Extent(None, 0, length))


@st.composite
def any_entries(draw: st.DrawFn) -> Entry:
    """An entry with anything that may stand in a row, whether it makes sense or not."""
    mode, uid, gid, nlink = (draw(U32) for _ in range(4))
    size, ino, rdev = (draw(U64) for _ in range(3))
    entry = Entry(draw(PATHS), mode, uid, gid, nlink, size, draw(I64), draw(I64), ino, rdev)
    entry.extents = draw(st.lists(EXTENTS, max_size=5))
    entry.target = draw(st.binary(max_size=40))
    entry.xattrs = draw(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300), max_size=3))
    entry.flags = draw(U32)
    entry.link = draw(st.none() | st.tuples(U64, U64))
    entry.changed, entry.indirect = draw(st.booleans()), draw(st.booleans())
    return entry


def row_of(entry: Entry) -> bytes:
    head = HEAD.pack(
        entry.mode, entry.uid, entry.gid, entry.nlink, entry.size, entry.mtime_ns, entry.ctime_ns, entry.ino, entry.rdev
    )
    more = extra(
        target=entry.target,
        xattrs=entry.xattrs,
        flags=entry.flags,
        link=entry.link,
        changed=entry.changed,
        indirect=entry.indirect,
    )
    return make_row(entry.path, head, pack_extents(entry.extents), more)


@given(any_entries())
def test_a_row_says_all_of_its_entry(entry: Entry) -> None:
    row = row_of(entry)
    assert parse_row(row) == entry
    assert row_path(row) == entry.path
    assert row_changed(row) == entry.changed


@given(st.lists(any_entries(), max_size=6))
def test_rows_of_a_chunk_are_told_apart(written: list[Entry]) -> None:
    data = b"".join(map(row_of, written))
    assert [parse_row(row) for row in rows(data)] == written


@given(st.lists(any_entries(), min_size=1, max_size=3), st.data())
def test_rows_that_are_cut_off_are_noticed(written: list[Entry], data: st.DataObject) -> None:
    packed = [row_of(entry) for entry in written]
    borders = {sum(map(len, packed[:count])) for count in range(len(packed) + 1)}
    whole = b"".join(packed)
    at = data.draw(st.integers(0, len(whole)).filter(lambda at: at not in borders))
    with pytest.raises(ValueError, match="cut off"):
        list(rows(whole[:at]))


@given(st.lists(EXTENTS, max_size=20))
def test_extents_come_back(extents: list[Extent]) -> None:
    packed = pack_extents(extents)
    assert len(packed) == len(extents) * EXTENT.size
    assert list(unpack_extents(packed)) == extents


@pytest.mark.parametrize("length", [0, 1, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE, 2**40 + 5])
def test_a_hole_may_have_any_length(length: int) -> None:
    pieces = list(unpack_extents(hole(length)))
    assert sum(piece.length for piece in pieces) == length
    assert all(piece.id is None and 0 < piece.length <= MAX_PIECE for piece in pieces)


@given(st.lists(PATHS, unique=True, max_size=12))
def test_paths_are_sorted_by_their_components(paths: list[bytes]) -> None:
    assert sorted(paths, key=order_key) == sorted(paths, key=lambda path: path.split(b"/") if path != b"/" else [b""])


def test_what_is_in_a_folder_comes_before_longer_names_of_its_siblings() -> None:
    paths = [b"/", b"/a", b"/a/b", b"/a/b/c", b"/a/b!", b"/a\x01", b"/a!", b"/a-b", b"/a.b", b"/aa", b"/b"]
    assert sorted(sorted(paths, reverse=True), key=order_key) == paths


def test_a_path_of_the_greatest_length_and_one_beyond() -> None:
    longest = b"/" + b"x" * 65_534
    assert row_path(make_row(longest, bytes(HEAD.size))) == longest
    with pytest.raises(struct.error):
        make_row(longest + b"x", bytes(HEAD.size))


@given(U64, U64)
def test_the_size_in_a_head(size: int, other: int) -> None:
    head = HEAD.pack(0o100644, 1, 2, 3, size, 4, 5, 6, 7)
    assert size_of(head) == size
    assert with_size(head, other) == HEAD.pack(0o100644, 1, 2, 3, other, 4, 5, 6, 7)


@pytest.mark.parametrize("row", [b"", b"\0" * 10, make_row(b"/x", bytes(HEAD.size))[:-5]])
def test_what_is_no_row(row: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        parse_row(row if len(row) < 70 else row + b"\xc1")
