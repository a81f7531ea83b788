"""Restores for tests: doing one, and levels made by hand of entries that no scan would give.

Rule: stores are in memory (`backed_up`); what came back is compared by code that shares nothing with the program
(`trees.difference`).
"""

import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from siltstone.engine import Event, Level, RestoreResult, Selection, list_levels, restore_level
from siltstone.engine.entry import HEAD, Entry, extra, make_row, order_key, pack_extents
from siltstone.engine.levels import LevelRef, SetInfo, to_root
from siltstone.engine.manifest import ManifestWriter
from siltstone.store import Store
from tests.backed_up import ignore


def put_back(store: Store, level: Level, target: Path | None, *patterns: Path | str, **options: Any) -> RestoreResult:
    """Restore a level below a folder (None: in place), owners by number."""
    selection = Selection(tuple(map(os.fsencode, patterns)), options.pop("set_name", None))
    folder = None if target is None else os.fsencode(target)
    base = options.pop("base", None)
    options.setdefault("numeric_ids", True)
    options.setdefault("report", ignore)
    if base is not None:
        options["base"] = os.fsencode(base)
    return restore_level(store, level, target=folder, selection=selection, **options)


def below(target: Path, path: Path) -> Path:
    """Where a path is restored to below a target."""
    return target / path.relative_to("/")


def leftovers(folder: Path) -> list[str]:
    """Temporaries in a tree."""
    found = (name for _, folders, files, _ in os.fwalk(folder) for name in (*folders, *files))
    return [name for name in found if re.fullmatch(r"\.silt-[0-9a-f]{16}-.*", name)]


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """An empty file system of this size at `folder`, which is made. Skips the test where nothing may be mounted."""
    folder.mkdir(parents=True)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "silt-test", folder], capture_output=True
    ).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def commit_rows(
    store: Store, made: Iterable[Entry], *, roots: tuple[bytes, ...] = (b"/",), kept: bool = False
) -> Level:
    """A level of these entries, whatever they say; sorted by path, or `kept` in their order."""
    listed = list(made) if kept else sorted(made, key=lambda entry: order_key(entry.path))
    with store.writer() as writer:
        manifest = ManifestWriter(writer)
        for entry in listed:
            head = HEAD.pack(
                entry.mode, entry.uid, entry.gid, entry.nlink, entry.size,
                entry.mtime_ns, entry.ctime_ns, entry.ino, entry.rdev,
            )  # fmt: skip
            more = extra(target=entry.target, xattrs=entry.xattrs, flags=entry.flags, link=entry.link)
            manifest.add(entry.path, make_row(entry.path, head, pack_extents(entry.extents), more))
        index = tuple(manifest.finish())
        ref = LevelRef("hand", 0, len(list_levels(store)))
        files = SetInfo("files", roots, index, len(listed), len(listed), 0)
        level = Level(ref, "full", None, 0, 0, "host", "", "", (files,), {}, (), {}, {})
        writer.commit(ref.name, to_root(level))
    return list_levels(store)[-1]


def made_entry(path: bytes, kind: int = stat.S_IFREG, *, mode: int = 0o644, **fields: Any) -> Entry:
    """An entry of the running user's."""
    entry = Entry(path, kind | mode, os.geteuid(), os.getegid(), 1, 0, 10**18 + 1, 0, 1, 0)
    return replace(entry, **fields)


class Events(list[Event]):
    """A report that keeps all events."""

    def __call__(self, event: Event) -> None:
        self.append(event)
