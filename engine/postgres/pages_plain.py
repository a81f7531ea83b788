"""Judging and digesting pages in numpy: the twin of `_pages.c`, used where that was not built.

The checksum is PostgreSQL's (src/include/storage/checksum_impl.h): 32 lanes of FNV-1a over the page as 64 rows of 32
words, two more rows of zeros, the lanes and the block number joined by XOR, then `% 65535 + 1`.

The digest is a keyed universal hash, 8 bytes a page. With w the page's 2048 words of 32 bits and k secret random words:
    NH(w, k) = sum over i < 1024 of ((w[i] + k[i]) mod 2^32) * ((w[i+1024] + k[i+1024]) mod 2^32), mod 2^64
    two NH with separate keys make four words of 32 bits, l; twice, with separate keys of 64 bits,
    (c[0] + c[1] l[0] + c[2] l[1] + c[3] l[2] + c[4] l[3] mod 2^64) >> 32 makes one half of the digest.
Two different pages meet with a probability of at most 2^-32 in an NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC,
1999), independently in each, and of 2^-64 in the rest (Lemire, Kaser: Strongly universal string hashing is fast): below
2^-63 together, whatever the pages are, as long as who makes them sees neither key nor digests.

A page is judged as pages.judge() says: SOUND, BAD, RENEWED or NEW.

Rule: what is here is exact. It is no cryptographic hash: a digest proves nothing to someone else.
"""

import os

import numpy as np
import numpy.typing as npt

from .grid import PAGE

Bytes = bytes | bytearray | memoryview
Sums = npt.NDArray[np.uint16]
Digests = npt.NDArray[np.uint64]

_ROWS, _LANES, _HALF = 64, 32, 1024

_HEADER = np.dtype(
    {
        "names": ["lsn_high", "lsn_low", "checksum", "flags", "lower", "upper", "special", "size_version"],
        "formats": ["<u4", "<u4", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2"],
        "offsets": [0, 4, 8, 10, 12, 14, 16, 18],
        "itemsize": 24,
    }
)
_KNOWN_FLAGS = 7

_SEEDS = np.array(
    [
        *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
        *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
        *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
        *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
    ],
    np.uint32,
)
_PRIME, _SHIFT = np.uint32(16777619), np.uint32(17)


def judge(pages: Bytes, first_block: int, start_lsn: int, checksummed: bool, out: bytearray, /) -> None:
    """Put a byte for each page into `out`: 0 where it is sound, 1 bad, 2 renewed, 3 new (pages.judge)."""
    rows = np.frombuffer(pages, np.uint8).reshape(len(out), PAGE)
    heads = np.ascontiguousarray(rows[:, : _HEADER.itemsize]).view(_HEADER)[:, 0]
    unused = heads["upper"] == 0
    wrong = ~unused & ~_sensible(heads)
    if checksummed:
        wrong |= ~unused & (checksums(pages, first_block) != heads["checksum"])
    new = unused & ~rows.any(axis=1)
    wrong |= unused & ~new
    lsns = heads["lsn_high"].astype(np.uint64) << np.uint64(32) | heads["lsn_low"]
    out[:] = (
        np.where(wrong, np.where(lsns < np.uint64(start_lsn), 1, 2), np.where(new, 3, 0)).astype(np.uint8).tobytes()
    )


def _sensible(heads: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    lower, upper, special = heads["lower"], heads["upper"], heads["special"]
    sensible: npt.NDArray[np.bool_] = (heads["flags"] & ~np.uint16(_KNOWN_FLAGS)) == 0
    sensible &= (lower >= _HEADER.itemsize) & (lower <= upper) & (upper <= special) & (special <= PAGE)
    sensible &= (special & 7) == 0
    return sensible


def checksums(pages: Bytes, first_block: int) -> Sums:
    """The checksum that each page should bear, as block `first_block` and those behind it."""
    rows = np.frombuffer(pages, "<u4").reshape(-1, _ROWS, _LANES)
    sums = np.broadcast_to(_SEEDS, (len(rows), _LANES)).copy()
    mixed = np.empty_like(sums)
    for row in range(_ROWS + 2):
        if row == 0:
            first = rows[:, 0].copy()
            first[:, 2] &= np.uint32(0xFFFF0000)  # the checksum itself counts as zero
            sums ^= first
        elif row < _ROWS:
            sums ^= rows[:, row]
        np.right_shift(sums, _SHIFT, out=mixed)
        sums *= _PRIME
        sums ^= mixed
    result = np.bitwise_xor.reduce(sums, axis=1)
    result ^= (np.arange(len(rows), dtype=np.uint64) + np.uint64(first_block)).astype(np.uint32)
    found: Sums = (result % np.uint32(65535) + np.uint32(1)).astype(np.uint16)
    return found


def digests(pages: Bytes, key: bytes, out: bytearray, /) -> None:
    """Put the digest of each page into `out`. `key` is page_digest.KEY_BYTES long."""
    found, keys = np.frombuffer(out, np.uint64), np.frombuffer(key, np.uint32)
    words = np.frombuffer(pages, "<u4").reshape(len(found), 2, _HALF)
    folds = keys[4 * _HALF :].view(np.uint64).reshape(2, 5)
    for start in range(0, len(found), _STEP):
        part = words[start : start + _STEP]
        sums = np.stack([_inner(part, keys[at : at + 2 * _HALF]) for at in (0, 2 * _HALF)], axis=1)
        limbs = sums.view("<u4").astype(np.uint64)
        halves = [(limbs @ fold[1:] + fold[0]) >> np.uint64(32) for fold in folds]
        found[start : start + _STEP] = halves[0] << np.uint64(32) | halves[1]


def file_digests(file: int, offset: int, key: bytes, out: bytearray, /) -> int:
    """Put the digests of the pages of an open file from `offset` on into `out`, as far as there is room or the file
    has whole pages: how many. Raises OSError.
    """
    pages = os.pread(file, len(out) // 8 * PAGE, offset)
    count = len(pages) // PAGE
    found = bytearray(count * 8)
    digests(pages[: count * PAGE], key, found)
    out[: len(found)] = found
    return count


_STEP = 32  # pages: what is computed in between then stays in the processor's cache


def _inner(words: npt.NDArray[np.uint32], key: npt.NDArray[np.uint32]) -> Digests:
    left = (words[:, 0] + key[:_HALF]).astype(np.uint64)
    left *= words[:, 1] + key[_HALF:]
    total: Digests = left.sum(axis=1, dtype=np.uint64)
    return total
