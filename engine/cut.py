"""Cutting file contents into chunks by what they contain.

FastCDC (Xia et al., 2020, doi:10.1109/TPDS.2020.2984632) with normalised chunking level 1 and a gear table that is the
store's secret. Rule: where a content is cut depends on the content and the table alone, so an insertion moves the cuts
around it and no others. What the table does not promise is in docs/security.md.

Other than in the paper, a place is judged by the same number of bytes before it, wherever a chunk began.
"""

import os

import zstandard

try:
    from ._cut import ends as _ends
except ImportError:
    from .cut_plain import ends as _ends

# The true average is about AVERAGE + MIN. Smaller chunks find more duplicates and cost more ids, index entries and
# seeks at restore; 128 KiB grows `big-text` by a seventh of what 1 MiB chunks do (docs/performance.md).
MIN_CHUNK = 32 << 10
AVERAGE = 128 << 10
MAX_CHUNK = 512 << 10

# Large files that do not compress (media, archives, what is encrypted) are hardly ever edited in places, and there are
# many of them: an eighth of the ids, index entries and extents serves them as well. MAX stays below a frame and a
# buffer.
COARSE_FROM = 64 << 20
COARSE_MIN, COARSE_AVERAGE, COARSE_MAX = 1 << 20, 1 << 20, 2 << 20

# Up to this size a file is one chunk: cutting it would only make two small ones.
WHOLE = 128 << 10

_SAMPLE = 64 << 10
_SAMPLES = 4
_INCOMPRESSIBLE = 0.97


class Cutter:
    """Cuts buffers. For any thread."""

    def __init__(self, gear: bytes, *, coarse: bool = False) -> None:
        """`gear`: see KeyRing.gear."""
        self._sizes = (COARSE_MIN, COARSE_AVERAGE, COARSE_MAX) if coarse else (MIN_CHUNK, AVERAGE, MAX_CHUNK)
        self._gear = gear

    def ends(self, data: memoryview, *, last: bool) -> list[int]:
        """Where chunks of `data` end. Unless it is the `last` of its content, what follows the last end is no chunk
        yet.
        """
        ends = _ends(data, self._gear, *self._sizes)
        if not last and ends:
            ends.pop()
        return ends


def suits_coarse(fd: int, size: int, start: int = 0) -> bool:
    """Whether an open file of this size is to be cut coarsely: it is large, and samples spread over it do not compress.
    Of a content that lies in a file, `start` says where.

    Spread, so that an edit here or there does not turn the answer, and with it every chunk of the file.
    """
    if size < COARSE_FROM:
        return False
    samples = b"".join(os.pread(fd, _SAMPLE, start + size // _SAMPLES * number) for number in range(_SAMPLES))
    return len(zstandard.compress(samples, 1)) > len(samples) * _INCOMPRESSIBLE
