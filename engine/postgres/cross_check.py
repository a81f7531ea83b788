"""The cross-check of levels that were made of what a server called changed: did it miss any page?

A page that differs from the base level was changed since that one's start, and then its LSN says so; else the base
level is wrong there. Native incrementals of 17 and 18 had such faults, in visibility maps for one.

Rule: pure, and only for main forks of clusters with checksums: there the first change after a checkpoint is always
logged, hint bits too. Free space and visibility maps change without. Pages without an LSN of their own (0, and 1 while
an index is built) tell nothing. What was missed is stored as it is now, whatever is found here.
"""

from .cells import OldCell, parse_records
from .grid import DIGEST
from .page_digest import changed_pages
from .pages import page_lsn

_FIRST_REAL_LSN = 2


def missed_pages(pages: memoryview, old: list[OldCell | None], records: bytes, since: int) -> list[int]:
    """The numbers of the pages that differ from the cells of the base level, and say that they did not change since its
    start. `records` are those of the pages as they are now.
    """
    found: list[int] = []
    at = 0
    for before, (_, digests) in zip(old, parse_records(records), strict=False):
        if before is not None and before.digests != digests:
            changed = (at + page for page in changed_pages(before.digests, digests) if page < before.pages)
            found += [page for page in changed if _FIRST_REAL_LSN <= page_lsn(pages, page) < since]
        at += len(digests) // DIGEST
    return found
