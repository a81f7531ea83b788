"""Large reads and writes past the page cache, where the file system can do that.

Rule: a pack is written once and waited for, and read once, so caching it helps nobody; and filling the cache costs more
CPU than sealing or opening what it holds (measured: writing 2 GiB takes 2.6 CPU s through the cache and 0.4 past it).
What is in the cache already is read from there. Only whole blocks between addresses and offsets that are multiples of
BLOCK go this way; everything else, and every file system that refuses, goes through the cache as ever.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .backend import BLOCK

# What is smaller than this is not worth the trouble.
LEAST = 256 << 10
# Of what is in the cache: the first request, and the longest.
STEP, MOST_STEP = 64 << 10, 1 << 20


def write_blocks(file: int, view: memoryview) -> int:
    """Write the whole blocks at the beginning of the view where that can be done past the cache: how many bytes, or 0.

    The descriptor stands behind them then. Raises OSError as write does.
    """
    whole = len(view) // BLOCK * BLOCK
    done = 0
    if whole >= LEAST:
        with _uncached(file), _refusal():
            while done < whole and not done % BLOCK:
                done += os.write(file, view[done:whole])
    return done


def read_into(file: int, buffer: memoryview, offset: int) -> int:
    """Fill the buffer from that offset: the number of bytes, short only where the file ends. Raises OSError."""
    done = 0
    if len(buffer) >= LEAST:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # else the kernel reads on into the cache behind our back
        done = _read_cached(file, buffer, offset)
        if done < len(buffer) and not (offset + done) % BLOCK:
            with _uncached(file), _refusal():
                while done < len(buffer) and (count := os.preadv(file, [buffer[done:]], offset + done)):
                    done += count
                    if count % BLOCK:
                        break  # the end of the file
    while done < len(buffer) and (count := os.preadv(file, [buffer[done:]], offset + done)):
        done += count
    return done


def _read_cached(file: int, buffer: memoryview, offset: int) -> int:
    """Read what is in the page cache without a gap.

    In requests that begin short: a long one that may not wait has the kernel read ahead into the cache, finds there
    what it asked for, and goes on; in the end all of the file lies there (measured: 296 MB took 0.45 CPU s that way,
    0.04 this way). Longer ones follow those that found everything: each wants the interpreter lock back, for which an
    import of a cached archive waited one second in five.
    """
    done, step = 0, STEP
    try:
        while count := os.preadv(file, [buffer[done : done + step]], offset + done, os.RWF_NOWAIT):
            done += count
            step = min(2 * step, MOST_STEP) if count == step else STEP
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    return done


@contextmanager
def _uncached(file: int) -> Iterator[None]:
    """The descriptor bypasses the page cache inside the `with`, where the file system knows how to."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    with _refusal():
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(file, fcntl.F_SETFL, flags)


@contextmanager
def _refusal() -> Iterator[None]:
    """EINVAL inside the `with` ends it and is no error: not on this file system, or not at this address."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
