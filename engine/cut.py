"""Cutting file contents into chunks by what they contain.

FastCDC (Xia et al., 2020, doi:10.1109/TPDS.2020.2984632) with normalised chunking level 1, its gear table keyed by the
store's cut seed. Rule: where a content is cut depends on the content and the seed alone, so an insertion moves the cuts
around it and no others. What the seed does not promise is in docs/security.md.
"""

from pyfastcdc import FastCDC

# The library's true average is about AVERAGE + MIN. Smaller chunks find more duplicates and cost more ids, index
# entries
# and seeks at restore; 128 KiB grows `big-text` by a tenth of what 1 MiB chunks do (docs/performance.md).
MIN_CHUNK = 32 << 10
AVERAGE = 128 << 10
MAX_CHUNK = 512 << 10

# Up to this size a file is one chunk: cutting it would only make two small ones.
WHOLE = 128 << 10


class Cutter:
    """Cuts buffers. One thread at a time."""

    def __init__(self, seed: int) -> None:
        self._cdc = FastCDC(AVERAGE, min_size=MIN_CHUNK, max_size=MAX_CHUNK, normalized_chunking=1, seed=seed)

    def ends(self, data: memoryview, *, last: bool) -> list[int]:
        """Where chunks of `data` end. Unless it is the `last` of its content, what follows the last end is no chunk
        yet.
        """
        ends = [chunk.offset + chunk.length for chunk in self._cdc.cut_buf(data)]
        if not last and ends:
            ends.pop()
        return ends
