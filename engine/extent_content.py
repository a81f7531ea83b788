"""The bytes that extents stand for, chunk by chunk, for whoever reads a content in order and needs no plan.

Rule: an extent that is a difference (postgres/differences.py) is applied to the one behind it; nothing else here knows
of databases. Whoever reads much of a level plans by frames (restore_plan.py, archive_windows.py).
"""

from collections.abc import Callable, Iterable, Iterator

from siltstone.store import ChunkId, Corrupt

from .entry import Extent
from .postgres.differences import apply_difference


def read_content(read: Callable[[ChunkId], bytes], extents: Iterable[Extent]) -> Iterator[bytes]:
    """The bytes of each extent that makes some; `read` gives a chunk. Raises what that raises, and Corrupt."""
    difference: tuple[Extent, bytes] | None = None
    for extent in extents:
        data = (
            bytes(extent.length) if extent.id is None else read(extent.id)[extent.start : extent.start + extent.length]
        )
        if extent.is_difference:
            difference = extent, data
        elif difference is None:
            yield data
        else:
            cell = bytearray(data)
            apply_to(cell, difference[1], difference[0].id)
            difference = None
            yield bytes(cell)


def apply_to(cell: bytearray | memoryview, difference: bytes, chunk: ChunkId | None) -> None:
    """Make a cell what the difference, which lies in `chunk`, says. Raises Corrupt."""
    try:
        apply_difference(cell, difference)
    except ValueError as error:
        name = chunk.hex() if chunk is not None else "none"
        raise Corrupt(f"chunk {name}", f"{error}: it was written wrongly") from None
