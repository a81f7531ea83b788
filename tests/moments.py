"""Something that happens at a certain moment of a backup, deterministically: by wrapping the call that reads.

Rule: the wrapped call does what it always does; the program has no hooks for tests. Wrappers go with the patch.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import files_plain
from siltstone.engine.files import read_files
from siltstone.engine.scan import Found, Scan

Happening = Callable[[], object]


def before_small_files_are_read(patch: pytest.MonkeyPatch, happen: Happening) -> None:
    """Between the scan of the first files and the reading of their batch, once."""
    left = [happen]

    def reading(paths: Sequence[bytes], sizes: Sequence[int], buffer: memoryview) -> Any:
        while left:
            left.pop()()
        return read_files(paths, sizes, buffer)

    patch.setattr("siltstone.engine.content.read_files", reading)


def while_it_is_read(patch: pytest.MonkeyPatch, path: Path, happen: Happening, *, after: int = 1) -> None:
    """Once so many reads of a large file were made."""
    real, seen = os.preadv, [0]

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(str(path)):
            seen[0] += 1
            if seen[0] == after + 1:
                happen()
        return real(fd, buffers, offset)

    patch.setattr(os, "preadv", preadv)


def nothing_ahead(patch: pytest.MonkeyPatch) -> None:
    """The scan lists each directory itself, when it enters it."""
    patch.setattr("siltstone.engine.ahead.Lister", files_plain.Lister)


def once_it_is_scanned(patch: pytest.MonkeyPatch, name: str, happen: Happening) -> None:
    """After the scan found the entry of this name, before it lists any further directory."""
    nothing_ahead(patch)
    real = Scan.__iter__

    def scan(self: Scan) -> Iterator[Found]:
        for found in real(self):
            yield found
            if found[0].endswith(b"/" + name.encode()):
                happen()

    patch.setattr(Scan, "__iter__", scan)
