"""WAL as it is written and as it is received: how far a stream is behind the server, sampled while a load runs.

Rule: the server is asked, by one psql that repeats a question every quarter of a second, and nothing of `silt`:
`behind` is what it has written and nobody called durable. A stream that stores whole segments is behind by the open one
even when nothing waits, up to 16 MiB. CPU time is the streaming process's own, from /proc.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Self

from msgspec import Struct

from bench.measure import BenchError
from bench.pg_cluster import Cluster, as_server_user

EVERY = 0.25
PATIENCE = 300  # seconds in which a stream has to catch up
MIB = 1 << 20
_QUESTION = """SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_lsn() - '0/0', flush_lsn - '0/0',
 pg_current_wal_lsn() - sent_lsn FROM pg_stat_replication WHERE flush_lsn IS NOT NULL \\watch {every}
"""
_ROW = re.compile(r"^([\d.]+)\|(\d+)\|(\d+)\|(-?\d+)$", re.MULTILINE)
HEAD = (
    "",
    "seconds",
    "WAL, MiB",
    "MiB/s",
    "behind, median MiB",
    "most",
    "at its end",
    "not even sent, most",
    "CPU s of the stream",
)


class Sample(Struct, frozen=True):
    """At a moment (seconds of the epoch): the LSN written, the LSN called durable, the bytes not even sent."""

    at: float
    written: int
    flushed: int
    unsent: int


class Phase(Struct, frozen=True):
    """A stretch of load: seconds, the WAL that it wrote in bytes, CPU seconds of the stream, the samples in it."""

    name: str
    wall: float
    wal: int
    cpu: float
    samples: Sequence[Sample]

    def row(self) -> list[str]:
        """Its line of the table."""
        behind = [(each.written - each.flushed) / MIB for each in self.samples] or [0.0]
        figures = [self.wall, self.wal / MIB, self.wal / MIB / self.wall, median(behind), max(behind), behind[-1]]
        unsent = max((each.unsent / MIB for each in self.samples), default=0.0)
        return [self.name, *(f"{figure:.1f}" for figure in [*figures, unsent, self.cpu])]


class Watch:
    """Asks the server until it is left. A context manager."""

    def __init__(self, cluster: Cluster, stream: int) -> None:
        self._cluster, self._stream = cluster, stream
        self._said = cluster.folder / "watched"
        self._psql: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        script = self._cluster.folder / "watch.sql"
        script.write_text(_QUESTION.format(every=EVERY))
        psql = [str(self._cluster.programs / "psql"), *self._cluster.where(), "-XqAt", "-f", str(script), "postgres"]
        with self._said.open("wb") as file:
            self._psql = subprocess.Popen(as_server_user(psql), cwd="/", stdout=file, stderr=file)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._psql is not None:
            self._psql.kill()
            self._psql.wait()

    def phase(self, name: str, work: Callable[[], object]) -> Phase:
        """Do something and tell how the stream fared meanwhile."""
        cpu, begun, from_lsn = cpu_of(self._stream), time.time(), self._written()
        work()
        wall = time.time() - begun
        wal = self._written() - from_lsn
        samples = [each for each in self.samples() if begun <= each.at <= begun + wall]
        return Phase(name, wall, wal, cpu_of(self._stream) - cpu, samples)

    def settle(self) -> None:
        """Wait until all WAL that is there now, in whole segments, is called durable. BenchError."""
        self._cluster.sql("SELECT pg_switch_wal()")
        size = int(self._cluster.sql("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"))
        end = self._written() // size * size
        limit = time.monotonic() + PATIENCE
        while self._cluster.sql(f"SELECT max(flush_lsn - '0/0') >= {end} FROM pg_stat_replication") != "t":
            if time.monotonic() > limit:
                raise BenchError("the stream does not catch up")
            time.sleep(0.02)

    def samples(self) -> list[Sample]:
        """All that were taken so far."""
        rows = _ROW.findall(self._said.read_text(errors="replace"))
        return [Sample(float(at), int(written), int(flushed), int(unsent)) for at, written, flushed, unsent in rows]

    def _written(self) -> int:
        return int(self._cluster.sql("SELECT pg_current_wal_lsn() - '0/0'"))


def cpu_of(process: int) -> float:
    """CPU seconds that a running process has taken, its threads together."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
