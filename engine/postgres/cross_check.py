"""The cross-check of levels that were made of what a server called changed: did it miss any page?

A page that differs from the base level was changed since that one's start, and then its LSN says so; else the base
level is wrong there. Native incrementals of 17 and 18 had such faults, in visibility maps for one.

Rule: pure, and only for main forks of clusters with checksums: there the first change after a checkpoint is always
logged, hint bits too. Free space and visibility maps change without. Pages without an LSN of their own (0, and 1 while
an index is built) tell nothing. What was missed is stored as it is now, whatever is found here.
"""

import numpy as np

from .cells import OldCell, parse_records
from .grid import PAGE
from .pages import changed_pages, page_lsns

_FIRST_REAL_LSN = 2


def missed_pages(pages: memoryview, old: list[OldCell | None], records: bytes, since: int) -> list[int]:
    """The numbers of the pages that differ from the cells of the base level, and say that they did not change since its
    start. `records` are those of the pages as they are now.
    """
    found: list[int] = []
    at = 0
    for before, (cell, digests) in zip(old, parse_records(records), strict=False):
        count = len(digests)
        if before is not None and before.id != cell:
            changed = changed_pages(before.digests, digests)
            changed = changed[changed < len(before.digests)]
            lsns = page_lsns(pages[at * PAGE : (at + count) * PAGE])[changed]
            missed = changed[(lsns >= np.uint64(_FIRST_REAL_LSN)) & (lsns < np.uint64(since))]
            found += [at + int(page) for page in missed]
        at += count
    return found
