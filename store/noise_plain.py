"""Which chunks look like noise: what is compressed or encrypted already, and compresses no further.

Rule: it is a guess, and serves only to put like with like. Text that shares a frame with noise compresses worse, for
the frame holds less of it, and takes longer; whether a frame is compressed is decided by trying (frame.py). This
is the definition; `_noise.c`, its twin, is what runs where it was built.

The guess is by the index of coincidence (Friedman, 1922): how many pairs of sampled bytes are equal. Of noise that is
one in 256, give or take the root of their number; of anything else there are more.
"""

from collections import Counter

from .ids import ChunkId

PARTS, PART = 8, 128  # samples of a chunk, spread evenly, and their bytes; a chunk of no more than all is taken whole
LEAST = 32  # of fewer bytes nothing can be said
MORE = 4  # roots of the expected number: of a thousand chunks of noise, one has more pairs than that


def noise(buffer: memoryview, chunks: list[tuple[ChunkId, int, int]], /) -> bytes:
    """For each chunk (id, start, end) of the buffer a byte: 1 if it looks like noise. ValueError: it lies outside."""
    if any(not 0 <= start <= end <= len(buffer) for _, start, end in chunks):
        raise ValueError("a chunk lies outside the buffer")
    return bytes(_is_noise(buffer[start:end]) for _, start, end in chunks)


def _is_noise(data: memoryview) -> bool:
    if len(data) < LEAST:
        return False
    sample = bytes(data)
    if len(data) > PARTS * PART:
        step = (len(data) - PART) // (PARTS - 1)
        sample = b"".join([data[at : at + PART] for at in range(0, PARTS * step, step)])
    pairs = sum(count * (count - 1) / 2 for count in Counter(sample).values())
    expected = len(sample) * (len(sample) - 1) / 2 / 256
    more = pairs - expected - 1
    return more <= 0 or more * more < MORE * MORE * expected
