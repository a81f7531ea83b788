"""The corpora that are measured, and how each of them changes between two backups.

    src          successive versions of source trees                          3-8,000 files and 120 MiB a version
    big-text     one file of logs, tables and source text, then 200 edits        2 GiB
    big-random   one file that does not compress                                 2 GiB
    small        files of 0 to 16 KiB, half text, half random                 200,000 files, 1.5 GiB
    vault        attachments: a fifth are copies of others; sparse files,     1.4 GiB
                 hard and symbolic links, a FIFO, xattrs, ACLs

Rule: those are the sizes at scale 1, and every corpus takes any scale above 0. Seeded: the same Python makes the same
bytes. Nothing outside the repository and the interpreter is needed. What this file system may not hold (xattrs, ACLs)
is left out silently: the judge compares with what was made.
"""

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from bench.changes import change_some_files, edit_copy, exchange
from bench.content import ATTACHMENTS, MIB, prose, text_segment
from bench.demo_trees import ACL
from bench.source_trees import write_versions

VERSIONS = 6
EDITS = 200  # of big-text at scale 1
SMALL_WORDS = ("invoice", "report", "attachment", "note", "thumb", "avatar", "session", "export", "draft", "mail")
SMALL_SUFFIXES = ("json", "txt", "eml", "html", "png", "log", "csv", "xml", "conf", "md")
SMALL_BYTES = 16 << 10
LARGEST_ATTACHMENT = 64 * MIB
IMAGE = 64 * MIB
LEAVES = "originals"  # of a corpus: what a change keeps to be undone


class Corpus(Struct, frozen=True):
    """A made corpus. Either it has several versions, each backed up in turn, or `change` changes the only one.

    `change` returns what undoes it. A corpus that has neither is not measured as changed.
    """

    name: str
    versions: tuple[Path, ...]
    change: Callable[[], Callable[[], None]] | None = None


def make_corpus(name: str, folder: Path, scale: float, *, versions: int = VERSIONS) -> Corpus:
    """The corpus below the folder; one that lies there whole already is taken as it is."""
    top = folder / f"{name}@{scale:g}"
    if not (top / "complete").exists() or any((top / LEAVES).iterdir()):
        shutil.rmtree(top, ignore_errors=True)
        (top / LEAVES).mkdir(parents=True)
        (top / "v1").mkdir()
        _MAKERS[name](top, scale, versions)
        (top / "complete").touch()
    return _corpus(name, top)


def corpus_names() -> list[str]:
    """All corpora, in the order in which they are measured."""
    return list(_MAKERS)


def _corpus(name: str, top: Path) -> Corpus:
    trees = tuple(sorted(path for path in top.iterdir() if path.name[0] == "v"))
    if name == "big-text":
        return Corpus(name, trees[:1], lambda: exchange(top / "v1/data.bin", top / "edited.bin", top / LEAVES))
    if name in ("small", "vault"):
        return Corpus(name, trees, lambda: change_some_files(top / "v1", 0.01, top / LEAVES))
    return Corpus(name, trees)


def _make_src(top: Path, scale: float, versions: int) -> None:
    (top / "v1").rmdir()
    write_versions(top, scale, versions)


def _make_big_text(top: Path, scale: float, _versions: int) -> None:
    with open(top / "v1/data.bin", "wb") as file:
        file.writelines(text_segment(number) for number in range(max(1, round(2048 * scale))))
    edit_copy(top / "v1/data.bin", top / "edited.bin", max(3, round(EDITS * scale)))


def _make_big_random(top: Path, scale: float, _versions: int) -> None:
    chance = random.Random(1)
    with open(top / "v1/data.bin", "wb") as file:
        file.writelines(chance.randbytes(MIB) for _ in range(max(1, round(2048 * scale))))


def _make_small(top: Path, scale: float, _versions: int) -> None:
    """About 50 files a folder."""
    chance = random.Random(3)
    for number in range(max(1, round(200_000 * scale))):
        customer = chance.randrange(max(1, round(400 * scale)))
        year, box = 2019 + chance.randrange(5), ("inbox", "archive")[chance.randrange(2)]
        folder = top / f"v1/customers/{customer // 20:02d}/acme-{customer:04d}/{year}/{box}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{SMALL_WORDS[number % 10]}-{number:06d}.{SMALL_SUFFIXES[chance.randrange(10)]}"
        size = chance.randrange(SMALL_BYTES + 1)
        (folder / name).write_bytes(prose(chance, size) if chance.random() < 0.5 else chance.randbytes(size))


def _make_vault(top: Path, scale: float, _versions: int) -> None:
    tree, chance = top / "v1", random.Random(4)
    files: list[Path] = []
    left = round(1400 * MIB * scale)
    while left > 0:
        files.append(_attachment(tree, len(files) + 1, files, chance, scale))
        left -= files[-1].stat().st_size
    for number in range(6):
        _sparse_image(tree / f"images/disk-{number}.img", max(MIB, round(IMAGE * scale)), chance)
    _links(tree / "links", files, chance, scale)
    (tree / "empty folder").mkdir()
    for number, path in enumerate(files[::10]):
        with suppress(OSError):  # a file system without any
            os.setxattr(path, "user.origin", f"case {number}".encode())
            if number % 2:
                os.setxattr(path, "system.posix_acl_access", ACL)


def _attachment(tree: Path, number: int, files: list[Path], chance: random.Random, scale: float) -> Path:
    folder = tree / f"case-{chance.randrange(300):04d}" / ("evidence", "mail", "export")[chance.randrange(3)]
    folder.mkdir(parents=True, exist_ok=True)
    if files and chance.random() < 0.2:
        original = files[chance.randrange(len(files))]
        path = folder / f"copy-{number:05d}-{original.name[-40:]}"
        shutil.copyfile(original, path)
    else:
        suffix, content = ATTACHMENTS[chance.randrange(len(ATTACHMENTS))]
        largest = max(MIB, round(LARGEST_ATTACHMENT * min(1, scale)))
        size = int(min(largest, max(200, chance.lognormvariate(11.8, 1.6))))
        path = folder / f"{number:05d}.{suffix}"
        path.write_bytes(content(number, chance, size))
    path.chmod((0o644, 0o600, 0o640, 0o444)[number % 4])
    when = (1_600_000_000 + number * 3571) * 10**9 + number * 1_234_567 % 10**9
    os.utime(path, ns=(when, when))
    return path


def _sparse_image(path: Path, size: int, chance: random.Random) -> None:
    """Eight runs of data, a thirtysecond of the file together."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as image:
        image.truncate(size)
        for part in range(8):
            image.seek(part * size // 8 + chance.randrange(size // 16) // 4096 * 4096)
            image.write(chance.randbytes(size // 256))


def _links(folder: Path, files: list[Path], chance: random.Random, scale: float) -> None:
    folder.mkdir()
    for number in range(max(3, round(300 * scale))):
        os.link(files[chance.randrange(len(files))], folder / f"hard-{number:03d}")
    for number in range(max(5, round(500 * scale))):
        target = os.path.relpath(files[chance.randrange(len(files))], folder)
        (folder / f"soft-{number:03d}").symlink_to(target if number % 10 else f"nowhere-{number}")
    os.mkfifo(folder / "fifo")


_MAKERS: dict[str, Callable[[Path, float, int], None]] = {
    "src": _make_src,
    "big-text": _make_big_text,
    "big-random": _make_big_random,
    "small": _make_small,
    "vault": _make_vault,
}
