"""Source trees in successive versions, made from the interpreter's own library.

Rule: a tree is packages; each is the library with the letters of its text permuted (another alphabet for each package),
so that packages have nothing in common and yet compress like the source that they come from. A version is the one
before with edits as of a release: lines inserted, deleted, replaced; files added and removed. Seeded throughout.
It does not promise that anything compiles.
"""

import random
import string
from collections.abc import Iterator
from pathlib import Path

from bench.content import LIBRARY, library

PACKAGES = 4  # at scale 1: about 8,000 files and 120 MiB a version
EDITED, REMOVED, ADDED = 0.3, 0.01, 0.02  # shares of the files from one version to the next
MOST_EDITS = 8  # of one file
TEXT = {".py", ".txt", ".pyi", ".rst", ".cfg", ".toml", ".html", ".xml", ".json"}

Tree = dict[str, bytes]


def write_versions(folder: Path, scale: float, versions: int) -> list[Path]:
    """The versions as folders v1, v2, ... of `folder`."""
    tree = _first_version(scale)
    made = []
    for number in range(1, versions + 1):
        top = folder / f"v{number}"
        _write(tree, top)
        made.append(top)
        tree = next_version(tree, number)
    return made


def next_version(tree: Tree, number: int) -> Tree:
    """The release after version `number`."""
    chance = random.Random(f"version {number}")
    after: Tree = {}
    for name, data in tree.items():
        if chance.random() < REMOVED:
            continue
        is_edited = Path(name).suffix in TEXT and chance.random() < EDITED
        after[name] = _edit(data, chance) if is_edited else data
        if chance.random() < ADDED:
            after[f"{name.rpartition('.')[0]}_{number}.py"] = _shuffle(data, chance)
    return after


def _first_version(scale: float) -> Tree:
    chance = random.Random("packages")
    tree: Tree = {}
    for number, (share, alphabet) in enumerate(_packages(PACKAGES * scale)):
        for path in library():
            if chance.random() < share:
                name = f"package{number}/{path.relative_to(LIBRARY)}"
                tree[name] = path.read_bytes().translate(alphabet)
    return tree


def _packages(amount: float) -> Iterator[tuple[float, bytes]]:
    """For each package the share of the library's files that it has, and its alphabet."""
    letters = string.ascii_lowercase
    for number in range(int(amount) + (amount % 1 > 0)):
        other = random.Random(f"alphabet {number}").sample(letters, len(letters)) if number else list(letters)
        yield min(1.0, amount - number), bytes.maketrans(letters.encode(), "".join(other).encode())


def _edit(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    for _ in range(chance.randint(1, MOST_EDITS)):
        at, length = chance.randrange(len(lines) + 1), chance.randint(0, 6)
        source = chance.randrange(len(lines) + 1)
        # Lines of the same file elsewhere: what is written anew looks like what is there.
        lines[at : at + chance.choice((0, length))] = _shuffled_words(lines[source : source + length], chance)
        lines = lines or [b"\n"]
    return b"".join(lines)


def _shuffle(data: bytes, chance: random.Random) -> bytes:
    """A new file of the same words."""
    return b"".join(_shuffled_words(data.splitlines(keepends=True), chance))


def _shuffled_words(lines: list[bytes], chance: random.Random) -> list[bytes]:
    shuffled = []
    for line in lines:
        words = line.split(b" ")
        chance.shuffle(words)
        shuffled.append(b" ".join(words).replace(b"\n", b"") + b"\n")
    return shuffled


def _write(tree: Tree, top: Path) -> None:
    top.mkdir(parents=True)
    for name, data in tree.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
