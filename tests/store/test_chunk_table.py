"""The table of chunks against a naive model, and the list of packs.

Rule: packs, rows and references are drawn at random with few distinct keys, so that duplicates and misses are common.
"""

import numpy
from hypothesis import given
from hypothesis import strategies as st

from siltstone.store import ChunkId, ChunkTable, Footer, FrameInfo, PackList, PackName
from siltstone.store.pack_list import MISSING
from siltstone.store.segment_scan import KEYS, place_number

keys = st.integers(1, 12).map(lambda number: number * (KEYS // 16))
chunks = st.tuples(keys, st.integers(1, 50))
packs = st.lists(st.lists(st.lists(chunks, max_size=4), max_size=3), max_size=4)


def footer(pack: list[list[tuple[int, int]]]) -> Footer:
    frames = [
        FrameInfo(
            0, 0, 0, 0, 0, [ChunkId(key.to_bytes(8, "big") + bytes(24)) for key, _ in frame], [n for _, n in frame]
        )
        for frame in pack
    ]
    return Footer(PackName(""), 0, [], frames)


def array(numbers: list[int]) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.uint64]]":
    return numpy.array(numbers, dtype=numpy.uint64)


@given(
    stored=packs,
    adopted=st.sets(st.integers(0, 3)),
    unread=st.sets(st.integers(0, 3)),
    strays=st.lists(st.tuples(keys, st.integers(0, 3)), max_size=3),
    asked=st.lists(chunks, max_size=8),
    borders=st.tuples(st.integers(0, 15), st.integers(1, 16)).map(sorted),
)
def test_against_a_model(
    stored: list[list[list[tuple[int, int]]]],
    adopted: set[int],
    unread: set[int],
    strays: list[tuple[int, int]],
    asked: list[tuple[int, int]],
    borders: list[int],
) -> None:
    """Every chunk of an indexed pack has a row; `strays` are rows that name places where their chunk is not."""
    low, high = (border * (KEYS // 16) for border in borders)
    high = max(high, low + 1)
    table = ChunkTable(low, high)
    rows: list[tuple[int, int, int | None, int | None]] = []  # key, pack, place unless adopted, length if confirmed
    for number, pack in enumerate(stored):
        for at, frame in enumerate(pack):
            for slot, (key, length) in enumerate(frame):
                if number in adopted:
                    rows.append((key, number, None, length))
                else:
                    rows.append((key, number, place_number(number, at, slot), None if number in unread else length))
    rows += [(key, number, place_number(number, 999, 0), None) for key, number in strays]
    rows = [row for row in rows if low <= row[0] < high]
    indexed = [(key, place) for key, _, place, _ in rows if place is not None]
    table.add(array([key for key, _ in indexed]), array([place for _, place in indexed]))
    for number, pack in enumerate(stored):
        if number in adopted:
            table.adopt(number, footer(pack))
    table.seal()
    for number, pack in enumerate(stored):
        if number not in adopted | unread:
            table.confirm(number, footer(pack))

    assert len(table) == len(rows)
    assert sorted(table.unconfirmed()) == sorted((pack, key) for key, pack, _, length in rows if length is None)
    unknown, short, used = table.look_up(array([key for key, _ in asked]), array([end for _, end in asked]))
    wanted = [(key, end) for key, end in asked if low <= key < high]
    held = {key: [row for row in rows if row[0] == key] for key, _ in wanted}
    assert set(unknown.tolist()) == {key for key, found in held.items() if not found}
    for key, end in wanted:
        lengths = {row[3] for row in held[key]}
        if key in short:
            assert short[key] in lengths
            assert short[key] < max(end for other, end in wanted if other == key)
        elif held[key]:
            assert None in lengths or end <= max(length or 0 for length in lengths)
    only_adopted = {row[1] for found in held.values() if all(row[2] is None for row in found) for row in found}
    assert used <= only_adopted
    assert bool(used) == bool(only_adopted)


def test_numbers_of_packs() -> None:
    names = [PackName(f"{number:064}") for number in range(0, 20, 2)]
    gone = [PackName(f"{number:064}") for number in (99, 7)]
    listed = PackList([(name, 100) for name in names], [names[3], *gone])
    assert len(listed) == 12
    assert [listed.names[number] for number in listed.missing()] == sorted(gone)
    assert all(listed.number(name) == number for number, name in enumerate(listed.names))
    assert listed.number(PackName(f"{5:064}")) is None
    assert listed.sizes[listed.missing()[0]] == MISSING
    assert listed.bytes == 1000
