"""How long a restore onto another deployment takes, host by host, as far as that can be known before.

A restore costs time for its files and time for its bytes. How much of each is assumed; by what factor that is wrong
here is taken from the last run that was measured: a restore onto the same host, else onto any, plain ones included
(restore_measured.py), else the full backup of the level's group, which read the same files. Rule: pure, and every
figure says where it comes from. It counts all that the plan holds: what is right already at the destination is compared
and not written, which is quicker. It does not count the recovery of a database, whose server replays WAL when it is
started.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from .levels import Level
from .restore_notes import Ended, RestoreNote

if TYPE_CHECKING:  # a plain restore notes its pace, too, and has no use for what plans others
    from .onto import OntoPlan

# Where nothing was measured: a disk or a network of 1 Gbit/s, and a file system that creates 5,000 files a second. What
# docs/performance.md measured is quicker than either, and somebody waits for this.
ASSUMED_BYTES = 100 << 20
ASSUMED_FILES = 5_000

# Of smaller runs the time is that of starting up.
LEAST_BYTES = 16 << 20
LEAST_FILES = 2_000

Basis = Literal["restore", "backup", "assumed"]


class Measured(Struct, frozen=True):
    """A run that was measured."""

    basis: Basis
    files: int
    bytes: int
    seconds: float

    @property
    def counts(self) -> bool:
        """Whether it was large enough to tell anything of others."""
        return self.seconds > 0 and (self.bytes >= LEAST_BYTES or self.files >= LEAST_FILES)


NOTHING = Measured("assumed", 0, 0, 0.0)


class Expected(Struct, frozen=True):
    """What a host has to restore, and in about how many seconds; told by `by`."""

    host: str
    files: int
    bytes: int
    seconds: float
    by: Measured


def expected_times(plan: "OntoPlan", level: Level, full: Level | None, notes: Sequence[RestoreNote]) -> list[Expected]:
    """For each host of a plan. `full` is level 0 of the level's group, `notes` what the store remembers of restores."""
    return [_expected(plan, host, _measured(host, level, full, notes)) for host in plan.hosts]


def seconds_for(files: int, size: int, by: Measured) -> float:
    """How long so many files and bytes take, as that run went."""
    factor = by.seconds / _assumed(by.files, by.bytes) if by.counts else 1.0
    return _assumed(files, size) * factor


def _assumed(files: int, size: int) -> float:
    return files / ASSUMED_FILES + size / ASSUMED_BYTES


def _expected(plan: "OntoPlan", host: str, by: Measured) -> Expected:
    counts = [(step.files, step.bytes) for step in plan.steps if step.host == host]
    if plan.database is not None and plan.database.host == host:
        counts.append((plan.database.files, plan.database.bytes))
    files, size = (sum(each) for each in zip(*counts, strict=True))
    return Expected(host, files, size, seconds_for(files, size, by), by)


def _measured(host: str, level: Level, full: Level | None, notes: Sequence[RestoreNote]) -> Measured:
    """The run that tells most of this host: the newest of its own, else of any, else the full backup."""
    runs = [(note.onto, _of_note(note)) for note in sorted(notes, key=lambda note: -note.begun_ns)]
    known = [*(run for onto, run in runs if onto == host), *(run for _, run in runs)]
    known += [_of_backup(each) for each in (full, level) if each is not None and each.kind == "full"]
    return next((run for run in known if run.counts), NOTHING)


def _of_note(note: RestoreNote) -> Measured:
    return NOTHING if note.ended is None else measured(note.begun_ns, note.ended)


def measured(begun_ns: int, ended: Ended) -> Measured:
    """What a restore that ended so tells of others."""
    return Measured("restore", ended.files, ended.bytes, (ended.ended_ns - begun_ns) / 1e9)


def _of_backup(level: Level) -> Measured:
    counts = (level.stats.get("files", 0), level.stats.get("read_bytes", 0))
    return Measured("backup", *counts, level.stats.get("duration_ns", 0) / 1e9)
