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
            yield bytes(applied(data, difference[1], difference[0].id))
            difference = None


def applied(old: bytes | memoryview, difference: bytes, chunk: ChunkId | None) -> bytearray:
    """The cell that a difference, which lies in `chunk`, makes of an old one. Raises Corrupt."""
    try:
        return apply_difference(old, difference)
    except ValueError as error:
        name = chunk.hex() if chunk is not None else "none"
        raise Corrupt(f"chunk {name}", f"{error}: it was written wrongly") from None
