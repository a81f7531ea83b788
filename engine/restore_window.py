"""A window of the plan of a restore: what is read together, and what becomes of it.

Rule: the planner fills it, the writer carries it out, and each piece of a frame's plaintext has one place to go to.
A file in one stretch of one frame is small and goes by the `Batch`; any other is an `Assembly`.
"""

from collections.abc import Iterator
from itertools import compress
from typing import NamedTuple, Protocol

from msgspec import Struct, field

from siltstone.store import FrameInfo, PackName

from .restore_assembly import Assembly

# Files that one call writes: it does not look up before it is done.
BATCH_FILES = 512

SmallFile = tuple[bytes, bytes, int, int, bytes]
"""Path of its directory, name, start in a frame's plaintext, length, row."""


class Batch:
    """Files that are each a stretch of one frame's plaintext, or empty. `plain`: the heads of their rows say all that
    is to be put back.
    """

    __slots__ = ("files", "plain")

    def __init__(self, files: list[SmallFile], *, plain: bool) -> None:
        self.files, self.plain = files, plain

    def by_directory(self) -> dict[bytes, "Batch"]:
        """Its files, directory by directory."""
        parts: dict[bytes, list[SmallFile]] = {}
        for file in self.files:
            parts.setdefault(file[0], []).append(file)
        return {path: Batch(files, plain=self.plain) for path, files in parts.items()}


def in_batches(small: list[SmallFile], others: list[SmallFile]) -> Iterator[Batch]:
    """Plain files, and others, in batches."""
    for files, plain in ((small, True), (others, False)):
        for at in range(0, len(files), BATCH_FILES):
            yield Batch(files[at : at + BATCH_FILES], plain=plain)


class Goal(Protocol):
    """What pieces are for: an Assembly, or a part of one (restore_cell.py). See there."""

    def expect(self) -> None: ...

    def write(self, at: int, data: memoryview, /) -> None: ...

    def settle(self) -> None: ...

    def fail(self, reason: str, *, damaged: bool = False) -> None: ...


class Piece(NamedTuple):
    """`length` bytes from `start` of a frame's plaintext, that go to offset `at` of a file."""

    file: Goal
    at: int
    start: int
    length: int


class Copy(NamedTuple):
    """`length` bytes from `at` of the file that stands there, which the new one keeps."""

    file: Assembly
    at: int
    length: int


class Placed(NamedTuple):
    """A row, and the path below the target that its entry gets."""

    path: bytes
    row: bytes


class FrameWork:
    """One frame that is to be read, and what its plaintext is for: `small` files with nothing beyond their heads,
    `others` that have attributes, and `pieces`.
    """

    __slots__ = ("ids", "lengths", "needed", "others", "pieces", "small", "starts", "stored")

    def __init__(self, info: FrameInfo) -> None:
        self.ids, self.lengths, self.starts, self.stored = list(info.ids), list(info.lengths), info.starts, info.stored
        self.needed = bytearray(len(info.ids))  # of each chunk, whether anything is for it
        self.small: list[SmallFile] = []
        self.others: list[SmallFile] = []
        self.pieces: list[Piece] = []

    def some(self) -> frozenset[int] | None:
        """The numbers of the chunks that are needed; None where all are."""
        return frozenset(compress(range(len(self.needed)), self.needed)) if 0 in self.needed else None


class Window(Struct):
    """What is restored together: `differences` of cells; then contents; then `links`, each with its first name; then
    metadata of `directories`.
    """

    differences: dict[PackName, dict[int, FrameWork]] = field(default_factory=dict)
    packs: dict[PackName, dict[int, FrameWork]] = field(default_factory=dict)
    empty: list[SmallFile] = field(default_factory=list)
    empty_others: list[SmallFile] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    specials: list[Placed] = field(default_factory=list)
    links: list[tuple[bytes, Placed]] = field(default_factory=list)
    directories: list[Placed] = field(default_factory=list)
    files: int = 0
    pieces: int = 0
    assemblies: int = 0
    differing: int = 0  # bytes of differences
