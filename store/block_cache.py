"""Opened blocks of index segments, so that a lookup next to an earlier one opens nothing.

Rule: it holds CACHE_BLOCKS blocks, the last ones that were opened. Safe between threads. What of a segment cannot be
opened is Corrupt, each time it is asked for.
"""

import threading
from collections import OrderedDict

from .ids import ChunkId
from .segment import Segment, rows_in_block

# 4 KiB a block: 32 MiB, which is all of a store of a million chunks.
CACHE_BLOCKS = 8192


class BlockCache:
    """That of one index."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def take_rows(self, segment: Segment, chunk: ChunkId, rows: list[bytes]) -> None:
        """Add the entries of a chunk in a segment to `rows`. Raises Corrupt, also after some."""
        number = segment.block_of(chunk)
        while number >= 0:
            block = self._blocks.get((segment.name, number)) or self._opened(segment, number)
            rows += rows_in_block(block, chunk)
            if block[:8] != chunk[:8]:
                return
            number -= 1  # what shares 8 bytes may straddle a border

    def _opened(self, segment: Segment, number: int) -> bytes:
        block = segment.block(number)
        with self._lock:
            self._blocks[segment.name, number] = block
            if len(self._blocks) > CACHE_BLOCKS:
                self._blocks.popitem(last=False)
        return block
