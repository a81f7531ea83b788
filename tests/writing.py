"""Writing below a target, for tests: the entry of nothing in particular, one whole file, and what came of it."""

import gc
import os
import stat
from pathlib import Path

from siltstone.engine.create import BigFile
from siltstone.engine.entry import Entry
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.entries import NUMBERS


def entry(kind: int = stat.S_IFREG, *, mode: int = 0o644, **fields: object) -> Entry:
    """An entry of the running user's; its path is not what the target goes by."""
    made = Entry(b"/in/the/manifest", kind | mode, os.geteuid(), os.getegid(), 1, 0, 10**18 + 1, 0, 1, 0)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def write_file(target: Target, path: bytes, content: bytes = b"restored") -> None:
    """Restore one file."""
    with BigFile(target, path, entry(size=len(content))) as file:
        file.write(0, content)
        file.finish(NUMBERS, Problems())


def listing(folder: Path) -> list[str]:
    """All paths below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def descriptors() -> int:
    """How many this process has open, without what earlier tests left to the collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
