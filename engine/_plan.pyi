# Types of `_plan.c`; what the function does is said in plan_plain.py.

from collections.abc import Sequence

from .restore_window import FrameWork, SmallFile

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
    /,
) -> tuple[int, FrameWork | None, int, int]: ...
