"""Differences of pages: what is made leads back, nothing else does, and twins agree; levels that consist of them."""

import random
from types import ModuleType

import pytest

from siltstone.engine.postgres import differences, differences_plain
from siltstone.engine.postgres.differences import CHECK, LONGEST, apply_difference, make_difference
from siltstone.engine.postgres.grid import CELL, PAGE

compiled: ModuleType | None
try:
    from siltstone.engine.postgres import _differences as compiled
except ImportError:
    compiled = None

needs_c = pytest.mark.skipif(compiled is None, reason="the C module was not built")
each_twin = pytest.mark.parametrize(
    "twin", [differences_plain, pytest.param(compiled, marks=needs_c)], ids=["plain", "C"]
)


def changed(page: bytes, source: random.Random) -> bytes:
    """The page after some of what a server does: bytes change, a row is added, rows move together, all is new."""
    new = bytearray(page)
    for _ in range(source.randrange(1, 5)):
        start, length = source.randrange(PAGE), source.randrange(1, 300)
        length = min(length, PAGE - start)
        match source.randrange(5):
            case 0:
                new[start : start + 8] = source.randbytes(min(8, PAGE - start))
            case 1:
                new[start : start + length] = source.randbytes(length)
            case 2:  # what lies behind moves up, as line pointers do
                new[start:] = (source.randbytes(4) + new[start:])[: PAGE - start]
            case 3:  # what lies before moves down, as rows do in a page that is pruned
                new[: start + length] = (bytes(length) + new[:start])[: start + length]
            case _:
                new[start:] = bytes(PAGE - start)
    return bytes(new)


def cells(seed: int, pages: int) -> tuple[bytes, bytes]:
    source = random.Random(seed)
    old = source.randbytes(pages * PAGE) if seed % 2 else (b"0123456789abcdef" * PAGE)[: pages * PAGE]
    parts = [old[at : at + PAGE] for at in range(0, len(old), PAGE)]
    return old, b"".join(part if source.random() < 0.4 else changed(part, source) for part in parts)


def numbers(old: bytes, new: bytes | bytearray) -> list[int]:
    return [at // PAGE for at in range(0, len(old), PAGE) if old[at : at + PAGE] != new[at : at + PAGE]]


def applied(old: bytes, difference: bytes | bytearray) -> bytearray:
    cell = bytearray(old)
    apply_difference(cell, difference)
    return cell


@needs_c
@each_twin
@pytest.mark.parametrize("pages", [1, 3, 16])
def test_what_is_made_leads_back(twin: ModuleType, pages: int) -> None:
    made = 0
    for seed in range(60):
        old, new = cells(seed, pages)
        difference = make_difference(old, new, numbers(old, new))
        if difference is not None:
            made += 1
            cell = bytearray(old)
            twin.apply(cell, memoryview(difference)[CHECK:])
            assert cell == new
            assert applied(old, difference) == new
    assert made > 5


@needs_c
@each_twin
def test_what_is_no_difference_of_a_cell_is_refused(twin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever bit is wrong, and in whatever other cell it is applied: the right bytes come out, or none."""
    monkeypatch.setattr(differences, "_apply", twin.apply)
    source = random.Random(8)
    refused = 0
    for seed in range(20):
        old, new = cells(seed, 4)
        difference = make_difference(old, new, numbers(old, new))
        if difference is None:
            continue
        with pytest.raises(ValueError, match="does not become"):
            applied(old[::-1], difference)
        for _ in range(30):
            wrong = bytearray(difference)
            wrong[source.randrange(len(wrong))] ^= 1 << source.randrange(8)
            try:
                assert applied(old, wrong[: source.choice([len(wrong), source.randrange(len(wrong))])]) == new
            except ValueError:
                refused += 1
    assert refused > 200


@each_twin
@pytest.mark.parametrize(
    "instructions",
    [
        b"\x04",  # a page that is not there
        b"\x00",  # nothing
        b"\x00\x05ab",  # fewer literals than it says
        b"\x00\x80\x80\x80\x01",  # a number that does not end
        b"\x00\x00\x80\x40\x02",  # from behind the page
        b"\x00\x00\x08\x01",  # from before it
        b"\x00\x00\x00\x00",  # a copy of nothing
        b"\x00\x00\x81\x40\x00",  # more than a page
    ],
)
def test_instructions_that_leave_the_page_are_refused(twin: ModuleType, instructions: bytes) -> None:
    with pytest.raises(ValueError, match="difference"):
        twin.apply(bytearray(4 * PAGE), instructions)


@needs_c
def test_a_long_one_is_not_made() -> None:
    old = bytes(CELL)
    new = bytearray(old)
    new[: LONGEST - 200] = random.Random(1).randbytes(LONGEST - 200)
    assert make_difference(old, bytes(new), numbers(old, new)) is not None
    new[:LONGEST] = random.Random(1).randbytes(LONGEST)
    assert make_difference(old, bytes(new), numbers(old, new)) is None


@needs_c
def test_rows_that_moved_together_cost_little() -> None:
    """A page that was pruned: every row lies elsewhere, and is found."""
    source = random.Random(3)
    rows = [source.randbytes(120) for _ in range(60)]
    old = bytes(PAGE - 60 * 120) + b"".join(rows)
    kept = b"".join(row for number, row in enumerate(rows) if number % 7)
    difference = make_difference(old, bytes(PAGE - len(kept)) + kept, [0])
    assert difference is not None
    assert len(difference) < 150
