"""Small files into the plan of a restore, all of a folder in one call: the twin of `_plan.c` in plain Python.

Rule: this is the quick way for nearly all files of nearly all trees, and it decides nothing that restore_plan.py would
decide otherwise: a row that is not quite what it is for ends the call, damaged ones too, and the planner looks at it.
"""

from collections.abc import Sequence

from .entry import EXTENT, HEAD_AT, HEAD_END, PATH_AT, size_of
from .restore_window import FrameWork, SmallFile

REGULAR = 0x80  # of the second byte of a mode


def plan_small(
    rows: Sequence[tuple[bytes, bytes, bool]],
    at: int,
    cut: int,
    folder: bytes,
    prefix: bytes,
    work: FrameWork | None,
    slot: int,
    known: dict[bytes, tuple[FrameWork, int]],
    empty: list[SmallFile],
) -> tuple[int, FrameWork | None, int, int]:
    """Plan the files of a folder from rows[at] on, until one is not for here: (where that is, frame, chunk, bytes).

    `rows`: (path, row, ...). `cut`: bytes of each path that lie above the target; `prefix`: what the paths of files in
    the folder begin with behind them, with a slash. `work` and `slot`: the frame and chunk that were planned last, and
    afterwards those that are now. `known`: chunks of the plan's frames. Planned is a file that says nothing beyond its
    head and whose content is a stretch of one known frame; it goes to the frame's `small`, one without content to
    `empty`.
    """
    size = 0
    while at < len(rows):
        path, row = rows[at][:2]
        name = path[cut + len(prefix) :]
        if row[HEAD_AT + 1] & 0xF0 != REGULAR or not name or b"/" in name or not path.startswith(prefix, cut):
            break
        start = PATH_AT + int.from_bytes(row[HEAD_END : HEAD_END + 2], "little")
        if len(row) != start + EXTENT.size * int.from_bytes(row[HEAD_END + 2 : PATH_AT], "little"):
            break
        extents = list(EXTENT.iter_unpack(row[start:]))
        if not extents:
            empty.append((folder, name, 0, 0, row))
        else:
            first, slot = slot + 1, slot + len(extents)
            if work is None or first >= len(work.ids) or work.ids[first] != extents[0][0]:
                place = known.get(extents[0][0])
                if place is None:
                    slot = first - 1
                    break
                work, first = place
                slot = first + len(extents) - 1
            stretch = _stretch(extents, work, first)
            if stretch is None:
                slot = first - 1
                break
            work.needed[first : slot + 1] = b"\1" * len(extents)
            work.small.append((folder, name, *stretch, row))
        size += size_of(row[HEAD_AT:HEAD_END])
        at += 1
    return at, work, slot, size


def _stretch(extents: Sequence[tuple[bytes, int, int]], work: FrameWork, first: int) -> tuple[int, int] | None:
    """(start, length) of a content in the plaintext of a frame, if its extents are those chunks and one stretch."""
    start = end = 0
    for number, (chunk, offset, length) in enumerate(extents):
        slot = first + number
        if slot >= len(work.ids) or work.ids[slot] != chunk or offset + length > work.lengths[slot]:
            return None
        at = work.starts[slot] + offset
        if number and (offset or at != end):
            return None
        start, end = at if not number else start, at + length
    return start, end - start
