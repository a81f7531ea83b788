"""Small files into the plan of a restore: what the call takes and leaves, and that the two twins do the same."""

import random
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import plan_plain
from siltstone.engine.entry import DIFFERENCE, HEAD, HOLE, Extent, extra, make_row, pack_extents
from siltstone.engine.restore_window import FrameWork, SmallFile
from siltstone.store import ChunkId
from siltstone.store.pack import FrameInfo
from tests.files_twins import footprint

Plan = Callable[..., tuple[int, FrameWork | None, int, int]]
Made = tuple[bytes, bytes, bool]

try:
    from siltstone.engine import _plan
except ImportError:  # there was no compiler
    TWINS: list[Plan] = [plan_plain.plan_small]
else:
    TWINS = [_plan.plan_small, plan_plain.plan_small]

IDS = [ChunkId(bytes([number]) * 32) for number in range(1, 10)]
LENGTHS = [10, 20, 30, 40, 50, 60, 70, 80, 90]


def new_frame(first: int, last: int) -> FrameWork:
    """A frame of the chunks of these numbers."""
    return FrameWork(FrameInfo(0, 0, 0, 0, 0, IDS[first:last], LENGTHS[first:last]))


def new_row(
    name: bytes, extents: Sequence[Extent] = (), *, kind: int = stat.S_IFREG, size: int = 0, more: bytes = b""
) -> Made:
    path = b"/cut/folder/" + name
    return path, make_row(path, HEAD.pack(kind | 0o644, 0, 0, 1, size, 0, 0, 1, 0), pack_extents(extents), more), True


def whole(*numbers: int) -> list[Extent]:
    """Extents of all of these chunks."""
    return [Extent(IDS[number], 0, LENGTHS[number]) for number in numbers]


class Planned:
    """Frames, and what a call planned into them."""

    def __init__(self, plan: Plan, rows: list[Made], at: int = 0, *, work: int | None = None, slot: int = -1) -> None:
        self.frames = [new_frame(0, 5), new_frame(5, 7)]
        known = {chunk: (frame, slot) for frame in self.frames for slot, chunk in enumerate(frame.ids)}
        self.empty: list[SmallFile] = []
        first = None if work is None else self.frames[work]
        folder, prefix = b"/folder", b"/folder/"
        self.at, frame, self.slot, self.size = plan(rows, at, 4, folder, prefix, first, slot, known, self.empty)
        self.work = None if frame is None else self.frames.index(frame)

    @property
    def said(self) -> tuple[Any, ...]:
        """All of it, to compare."""
        inside = [(frame.small, frame.others, frame.pieces, bytes(frame.needed)) for frame in self.frames]
        return self.at, self.work, self.slot, self.size, self.empty, inside


@pytest.fixture(params=TWINS, ids=lambda plan: str(plan.__module__).rpartition(".")[2])
def plan(request: pytest.FixtureRequest) -> Plan:
    twin: Plan = request.param
    return twin


def test_files_of_a_folder_go_to_their_frames_until_another_row_comes(plan: Plan) -> None:
    rows = [
        new_row(b"whole", whole(0), size=10),
        new_row(b"of two", whole(1, 2), size=50),
        new_row(b"empty"),
        new_row(b"of another frame", whole(5), size=60),
        new_row(b"a part", [Extent(IDS[3], 5, 7)], size=7),
        new_row(b"again", whole(0), size=10),
        new_row(b"folder", kind=stat.S_IFDIR),
        new_row(b"never", whole(4)),
    ]
    planned = Planned(plan, rows)
    assert (planned.at, planned.work, planned.slot, planned.size) == (6, 0, 0, 137)
    one, other = planned.frames
    path = b"/folder"
    files = [(b"whole", 0, 10), (b"of two", 10, 50), (b"a part", 65, 7), (b"again", 0, 10)]
    rows_of = {row[0].rpartition(b"/")[2]: row[1] for row in rows}
    assert one.small == [(path, name, start, length, rows_of[name]) for name, start, length in files]
    assert other.small == [(path, b"of another frame", 0, 60, rows[3][1])]
    assert planned.empty == [(path, b"empty", 0, 0, rows[2][1])]
    assert (bytes(one.needed), bytes(other.needed)) == (b"\1\1\1\1\0", b"\1\0")


@pytest.mark.parametrize(
    "row",
    [
        new_row(b"in a folder/below", whole(0)),
        new_row(b"", whole(0)),
        (b"/cut/elsewhere/file", new_row(b"file", whole(0))[1], True),
        (b"/cut", new_row(b"file", whole(0))[1], True),
        new_row(b"link", kind=stat.S_IFLNK),
        new_row(b"linked", whole(0), more=extra(link=(1, 2))),
        new_row(b"unknown", whole(8)),
        new_row(b"hole", [Extent(None, 0, 5)]),
        new_row(b"ends in a hole", [*whole(0), Extent(None, 0, 5)]),
        new_row(b"of two frames", whole(4, 5)),
        new_row(b"not one stretch", whole(0, 2)),
        new_row(b"a gap before", [Extent(IDS[0], 0, 10), Extent(IDS[1], 1, 19)]),
        new_row(b"a gap between", [Extent(IDS[0], 0, 9), Extent(IDS[1], 0, 20)]),
        new_row(b"beyond the chunk", [Extent(IDS[0], 4, 7)]),
        new_row(b"far beyond", [Extent(IDS[0], 2**32 - 1, 2)]),
        new_row(b"beyond the frame", [*whole(4), Extent(IDS[4], 0, 1)]),
        new_row(b"a difference", [Extent(IDS[0], DIFFERENCE, 3), *whole(1)]),
        new_row(b"zeros for an id", [Extent(ChunkId(HOLE), 0, 1)]),
        (b"/cut/folder/short", new_row(b"short", whole(0))[1][:-1], True),
        (b"/cut/folder/longer", new_row(b"longer", whole(0))[1] + b"\0", True),
    ],
    ids=lambda row: row[0].decode(),
)
def test_whatever_is_not_quite_so_is_left_to_the_caller_and_nothing_planned_of_it(plan: Plan, row: Made) -> None:
    before, after = new_row(b"before", whole(6), size=70), new_row(b"after", whole(0))
    planned = Planned(plan, [before, row, after])
    assert (planned.at, planned.size) == (1, 70)
    assert [len(frame.small) for frame in planned.frames] == [0, 1]
    assert [bytes(frame.needed) for frame in planned.frames] == [bytes(5), b"\0\1"]
    assert not planned.empty


def test_it_begins_where_it_is_told(plan: Plan) -> None:
    rows = [new_row(b"folder", kind=stat.S_IFDIR), new_row(b"file", whole(3))]
    assert Planned(plan, rows, 1, work=0, slot=2).said[:3] == (2, 0, 3)
    assert Planned(plan, rows, 2, work=1, slot=0).said[:3] == (2, 1, 0)
    assert Planned(plan, [], work=None).said[:3] == (0, None, -1)


def some_extents() -> st.SearchStrategy[list[Extent]]:
    run = st.builds(
        lambda first, count: whole(*range(first, min(9, first + count))), st.integers(0, 8), st.integers(0, 4)
    )
    numbers = st.integers(0, 90)
    odd = st.builds(Extent, st.sampled_from([*IDS, None]), numbers | st.just(DIFFERENCE), numbers)
    return st.one_of(
        run, run, st.lists(odd, max_size=2), st.builds(lambda one, two: one + two, run, st.lists(odd, max_size=1))
    )


def some_rows() -> st.SearchStrategy[list[Made]]:
    names = st.sampled_from([b"a", b"b" * 255, b"c\xff", b"d", b"e/f"])
    kinds = st.sampled_from([stat.S_IFREG] * 9 + [stat.S_IFDIR])
    more = st.sampled_from([b""] * 9 + [extra(flags=1)])
    row = st.builds(
        lambda name, extents, kind, size, more: new_row(name, extents, kind=kind, size=size, more=more),
        names, some_extents(), kinds, st.integers(0, 2**63), more,
    )  # fmt: skip
    return st.lists(row, max_size=12)


@pytest.mark.skipif(len(TWINS) < 2, reason="there was no compiler")
@given(some_rows(), st.sampled_from([None, 0, 1]), st.integers(-1, 1))
def test_the_twins_do_the_same(rows: list[Made], work: int | None, slot: int) -> None:
    said = [Planned(plan, rows, work=work, slot=slot).said for plan in TWINS]
    assert said[0] == said[1]


@pytest.mark.skipif(len(TWINS) < 2, reason="there was no compiler")
class TestCompiled:
    def test_what_it_cannot_be_given(self) -> None:
        plan: Any = TWINS[0]
        frame = new_frame(0, 5)
        good: tuple[Any, ...] = ([], 0, 0, b"/", b"/", frame, 0, {}, [])
        assert plan(*good) == (0, frame, 0, 0)
        for at, bad in (
            (0, ()),
            (1, -1),
            (2, -1),
            (3, "/"),
            (4, None),
            (5, object()),
            (6, 5),
            (6, -2),
            (7, []),
            (8, ()),
        ):
            with pytest.raises((TypeError, ValueError, AttributeError)):
                plan(*good[:at], bad, *good[at + 1 :])

    def test_what_is_no_row_is_left_alone(self) -> None:
        plan: Any = TWINS[0]
        for odd in ((), (b"/a",), (b"/a", b""), ("/a", bytes(66)), (b"/a", None), None, [b"/a", bytes(66)]):
            assert plan([odd], 0, 0, b"/", b"/", None, -1, {}, []) == (0, None, -1, 0)

    def test_a_frame_that_changed_meanwhile_is_refused(self) -> None:
        plan: Any = TWINS[0]
        for spoil in (lambda frame: frame.lengths.pop(), lambda frame: setattr(frame, "needed", b"")):
            frame = new_frame(0, 5)
            spoil(frame)
            with pytest.raises(TypeError, match="not a frame"):
                plan([new_row(b"a", whole(0))], 0, 4, b"/folder", b"/folder/", None, -1, {IDS[0]: (frame, 0)}, [])

    def test_it_leaves_nothing_behind(self) -> None:
        rows = [new_row(b"%d" % number, extents) for number, extents in enumerate(many())]

        def run() -> None:
            for at in range(len(rows)):
                Planned(TWINS[0], rows, at)

        footprint(run, 3)
        one, two = footprint(run, 20), footprint(run, 20)
        assert abs(two.blocks - one.blocks) < 1000  # 8,000 calls


def many() -> Iterator[list[Extent]]:
    """Contents of every kind."""
    chosen = random.Random(5)
    starts = list(accumulate(LENGTHS, initial=0))
    for _ in range(200):
        first = chosen.randrange(9)
        yield whole(*range(first, min(9, first + chosen.randrange(3))))
        yield [Extent(IDS[first], starts[first] % 7, 3)]
