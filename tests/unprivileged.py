"""Tests that need all of root's powers, and parts of tests that run without any: as nobody, in a folder of his.

Rule: only the effective user changes, in this process and for the length of a `with` block. Where the tests do not run
as root they are unprivileged anyhow, and nothing changes. A container's root may lack powers; that is not all of root.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
# linux/capability.h: chown, linux_immutable, sys_admin (for trusted attributes), mknod, setfcap
_POWERS = 1 << 0 | 1 << 9 | 1 << 21 | 1 << 27 | 1 << 31


def _is_full_root() -> bool:
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return os.geteuid() == 0 and int(held.split()[1], 16) & _POWERS == _POWERS


FULL_ROOT = _is_full_root()
needs_root = pytest.mark.skipif(not FULL_ROOT, reason="only root with all its powers may do this")


@contextmanager
def unprivileged(*groups: int) -> Iterator[int]:
    """Be nobody, in these other groups (which only root can arrange); yields the user's number."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that belongs to nobody, and whose parents let him in (pytest's own folders do not)."""
    folder = Path(tempfile.mkdtemp(prefix="siltstone-test-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
