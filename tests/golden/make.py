"""Makes the golden stores of a format: small ones, kept as they are, which every later version must read.

    python -m tests.golden.make        as root, on a file system with holes and extended attributes

Rule: they are made once, by the first version that writes the format, and never again: what is there is not touched.
Their contents are compared with the tree on the disk before they are written down.
"""

import json
import os
import random
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Literal
from unittest.mock import patch

from siltstone.engine import Deployment, Event, FileSet, back_up, entries, list_levels
from siltstone.store import (
    PackList,
    Passphrase,
    Secret,
    Store,
    listed_packs,
    make_key_file,
    open_backend,
    parse_key_file,
    verified_notes,
)
from siltstone.store import lease as lease_module
from siltstone.store.lease import HeldLease

from .describe import checksum, content, describe, lease_key

HERE = Path(__file__).parent
FORMAT = HERE / "format-1"
KEY_FILE = FORMAT / "key"
PASSPHRASE = "golden"
TREE = Path("/tmp/siltstone-golden")  # the same wherever it is made: paths stand in the manifests
OWNER = {"host": "golden", "boot": "b", "pids": "p", "pid": 1, "start": "1"}
STORES: dict[str, tuple[bool, str]] = {"encrypted": (True, "zstd"), "plain": (False, "lz4")}


def main() -> None:
    if FORMAT.exists():
        sys.exit(f"{FORMAT} is there already")
    FORMAT.mkdir()
    KEY_FILE.write_text(make_key_file())
    with (
        patch.object(os, "uname", lambda: SimpleNamespace(nodename="golden")),
        patch.object(lease_module, "_owner", lambda: OWNER),
    ):
        for name, (encrypted, compression) in STORES.items():
            make(FORMAT / name, encrypted=encrypted, compression=compression)


def make(folder: Path, *, encrypted: bool, compression: str) -> None:
    """One store: three levels of a tree that changes, a note of verification, and the lease of a session cut off."""
    key: Secret = parse_key_file(KEY_FILE.read_text())
    secrets = [(Passphrase(PASSPHRASE), "a passphrase"), (key, "a key file")] if encrypted else []
    store = Store.init(open_backend(str(folder), create=True), secrets, compression=compression)
    shutil.rmtree(TREE, ignore_errors=True)
    plant()
    level(store, "full")
    (TREE / "notes" / "changed.txt").write_bytes(b"after the change\n" * 40)
    (TREE / "gone").unlink()
    level(store, "incr")
    (TREE / "notes" / "new.txt").write_bytes(b"new\n")
    level(store, "diff")
    packs = PackList(listed_packs(store.backend))
    verified_notes(store.opened, packs).remember(1_700_000_000_000_000_000, range(len(packs) - 1), [])
    HeldLease(store.backend, "0123456789abcdef" * 2, lease_key(store)).end(keep=True)
    store = Store.open(store.backend, key if encrypted else None)
    compare(store)
    expected = json.dumps(describe(store), indent=1, sort_keys=True)
    folder.with_suffix(".json").write_text(expected + "\n")
    shutil.rmtree(TREE)


def plant() -> None:
    """A little of everything that an entry can be."""
    rng = random.Random(1)
    (TREE / "notes").mkdir(parents=True)
    (TREE / "notes" / "changed.txt").write_bytes(b"before the change\n" * 40)
    (TREE / "notes" / "empty").touch()
    (TREE / "gone").write_bytes(b"removed before the second level\n")
    (TREE / "noise").write_bytes(rng.randbytes(3000))
    page = bytes(rng.choices(b"abcdefgh ", k=1500))
    (TREE / "pages").write_bytes(b"".join(b"page %d\n" % number + page for number in range(400)))  # several chunks
    with (TREE / "islands").open("wb") as file:  # so many that their list is kept as chunks
        for number in range(600):
            file.seek(number * 8192)
            file.write(b"an island" * 455 + b"!")
        file.truncate(600 * 8192 + 5000)
    os.link(TREE / "noise", TREE / "notes" / "noise-again")
    os.symlink("nowhere", TREE / "symlink")
    os.mkfifo(TREE / "fifo", 0o620)
    os.mknod(TREE / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.setxattr(TREE / "gone", "user.golden", b"\x00\xff")
    Path(os.fsdecode(os.fsencode(TREE) + b"/not-utf8-\xff\xfe")).write_bytes(b"named by bytes")
    os.chmod(TREE / "notes", 0o1755)
    os.chmod(TREE / "noise", 0o4711)
    os.utime(TREE / "noise", ns=(0, 1_234_567_890_123_456_789))
    os.utime(TREE / "pages", ns=(0, -1_000_000_001))


def level(store: Store, kind: Literal["full", "incr", "diff"]) -> None:
    root = os.fsencode(TREE)
    sets = (FileSet("all", (root,), ("fifo",)), FileSet("notes", (root + b"/notes", root + b"/fifo")))
    back_up(store, Deployment("golden", sets, "1.2.3", "privileged"), kind=kind, report=ignore)


def ignore(event: Event) -> None:
    pass


def compare(store: Store) -> None:
    """The newest level is the tree, byte for byte; so what is written down is right."""
    newest = list_levels(store)[-1]
    seen = 0
    for entry in entries(store, newest):
        found = os.lstat(entry.path)
        assert (entry.mode, entry.size, entry.mtime_ns) == (found.st_mode, found.st_size, found.st_mtime_ns), entry
        if stat.S_ISREG(entry.mode):
            with open(entry.path, "rb") as file:
                assert checksum(file.read()) == checksum(content(store, entry)), entry
            seen += 1
    assert seen > 8


if __name__ == "__main__":
    main()
