"""What happens to a corpus between two backups, and how that is undone.

Rule: a change keeps what it replaces in a folder beside the tree, and the function that it returns puts it back: same
file, same content, same mtime (folders keep the time of the change). While that folder is not empty, the corpus is
changed: whoever finds it so after a crash makes it anew.
"""

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PIECE = 8 << 20
LONGEST_EDIT = 4000


def change_some_files(tree: Path, share: float, keep: Path) -> Callable[[], None]:
    """Rewrite this share of the files, at least one: other bytes in the middle third, the same size."""
    chance = random.Random(5)
    files = sorted(path for path in tree.rglob("*") if _is_plain(path))
    kept: list[tuple[Path, Path]] = []
    for number, path in enumerate(chance.sample(files, max(1, round(len(files) * share)))):
        data, mode = path.read_bytes(), path.stat().st_mode
        third = len(data) // 3
        os.rename(path, keep / str(number))
        path.write_bytes(data[:third] + chance.randbytes(third + 1) + data[2 * third + 1 :])
        path.chmod(stat.S_IMODE(mode))
        kept.append((keep / str(number), path))

    def undo() -> None:
        for original, path in kept:
            os.replace(original, path)

    return undo


def _is_plain(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_blocks * 512 >= found.st_size > 0


def exchange(path: Path, other: Path, keep: Path) -> Callable[[], None]:
    """Put another file in the place of one."""
    os.rename(path, keep / "0")
    os.rename(other, path)

    def undo() -> None:
        os.rename(path, other)
        os.rename(keep / "0", path)

    return undo


def edit_copy(source: Path, copy: Path, edits: int) -> None:
    """A copy with so many inserts, deletions and overwrites of 1 to 4,000 bytes all over it."""
    chance = random.Random(2)
    size = source.stat().st_size
    places = sorted(chance.randrange(size - 2 * LONGEST_EDIT) for _ in range(edits))
    with open(source, "rb") as before, open(copy, "wb") as after:
        for place in places:
            _copy(before, after, place - before.tell())
            length = chance.randint(1, LONGEST_EDIT)
            kind = chance.choice(("insert", "delete", "overwrite"))
            if kind != "delete":
                after.write(chance.randbytes(length))
            if kind != "insert":
                before.seek(length, os.SEEK_CUR)
        shutil.copyfileobj(before, after, PIECE)


def _copy(before: BinaryIO, after: BinaryIO, length: int) -> None:
    while length > 0:
        length -= after.write(before.read(min(length, PIECE)))
