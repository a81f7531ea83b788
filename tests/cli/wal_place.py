"""A store, a data directory and a state folder for `silt wal push` and `silt wal fetch`, and both twins on them.

`silt-wal` lies in a folder of its own here, beside a `silt` that notes what it was handed and ends with HANDED_ON.
"""

import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siltstone.cli.wal_quick import (
    HISTORY,
    SEGMENT,
    archive_state,
    asked,
    becomes_archived,
    from_spool,
    note,
    place_of,
    spool_of,
    write_notes,
)

SYSTEM = 7_405_123_456_789_012_345
SEGMENTS = [f"00000001000000000000000{number}" for number in range(1, 8)]
PROGRAM = Path(sys.executable).parent / "silt-wal"
HANDED_ON = 99


class Place:
    """A store, a data directory and a state folder, and both twins on them. Each answers: was it quick?"""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.data = folder, folder / "store", folder / "data"
        self.wal = self.data / "pg_wal"
        for path in (self.wal, self.data / "global", self.store / "wal" / str(SYSTEM) / "00000001", folder / "bin"):
            path.mkdir(parents=True)
        (self.store / "config").write_bytes(b"config" + bytes(range(100)))
        (self.data / "global" / "pg_control").write_bytes(struct.pack("=Q", SYSTEM) + bytes(8184))
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.environment.pop("SILT_STORE", None)
        self.program = folder / "bin" / "silt-wal"
        shutil.copy(PROGRAM, self.program)
        silt = folder / "bin" / "silt"
        silt.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/handed\nexit {HANDED_ON}\n')
        silt.chmod(0o755)

    def archived(self, name: str) -> Path:
        """A segment that was archived and noted: its object."""
        file, object_path = self.wal / name, self.store / "wal" / str(SYSTEM) / "00000001" / name
        file.write_bytes(b"wal")
        object_path.write_bytes(b"root")
        status = file.stat()
        known = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        write_notes(place_of(str(self.store), str(self.data)), [note(str(file), known, str(object_path))])
        return object_path

    def spool(self, *names: str) -> Path:
        """The spool with these files in it."""
        spool = Path(spool_of(place_of(str(self.store), str(self.data))))
        spool.mkdir(parents=True, exist_ok=True)
        for name in names:
            (spool / name).write_text(name)
        return spool

    def note(self, *names: str, until: float = 1.5) -> None:
        """Note in the spool that these are beyond the archive's end; the archive is as old as it has to be."""
        folders = [self.store / "wal" / str(SYSTEM), self.store / "wal" / str(SYSTEM) / "00000001"]
        for folder in folders:
            os.utime(folder, (1, time.time() - 3))
        state = archive_state(str(self.store), SYSTEM)
        assert state is not None
        clock = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + round(until * 1e9)
        (self.spool() / ".beyond").write_text("".join(f"{line}\n" for line in (clock, *state, *names)))

    def handed(self) -> list[str]:
        """The words that `silt` was given."""
        noted = self.folder / "handed"
        return noted.read_text().split("\n")[:-1] if noted.exists() else []

    def code_in_c(self, *words: str) -> int | None:
        """The exit code; None where it was handed on."""
        done = subprocess.run([self.program, *words], cwd=self.data, env=self.environment, timeout=30)
        return None if done.returncode == HANDED_ON else done.returncode

    def code_in_python(self, *words: str) -> int | None:
        """The exit code; None where there is no quick way."""
        which, plain, store, system = asked(["wal", *words])
        if not store or len(plain) != (1 if which == "push" else 2):
            return None
        if which == "push":
            return 0 if becomes_archived(plain[0], store, system) else None
        found = from_spool(plain[0], plain[1], store, system) if len(plain[0]) in (SEGMENT, HISTORY) else None
        return None if found is None else found[1]

    def in_c(self, *words: str) -> bool:
        code = self.code_in_c(*words)
        assert code in (0, None)
        return code == 0

    def in_python(self, *words: str) -> bool:
        code = self.code_in_python(*words)
        assert code in (0, None)
        return code == 0


def need_program() -> None:
    """Skips the test where `silt-wal` is the script."""
    if PROGRAM.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("there was no compiler")
