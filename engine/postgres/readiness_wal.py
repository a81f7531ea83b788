"""Readiness, as far as it is about WAL: is enough of it written, can it be streamed, and does somebody keep it?

Rule: pure, as `readiness`. WAL reaches a store over a slot or by an archive_command; one of the two is enough, and
without either a backup can be restored to its own end only. What another tool archives is its own business.
"""

import re
from collections.abc import Iterator

from .condition import Condition
from .finding import Finding, State, amount, needs_restart, set_and_reload
from .lsn import format_lsn
from .slots import Slot

PUSH = "silt-wal push %p"
_OURS = re.compile(r"""(^|[\s/'"])silt(-wal['"]?\s+|['"]?\s(.*\s)?wal\s+)push\b""")
_MANY = 10  # what max_wal_senders and max_replication_slots are by default
_KEEP = "64GB"
_LONG = 80  # of a command in a sentence: some are whole scripts


def judge_wal(condition: Condition, slot: str) -> Iterator[Finding]:
    """What is to be said of WAL, WAL senders, archiving and the slot."""
    yield _level(condition)
    yield _senders(condition, slot)
    yield from _refusal(condition)
    yield _room_for_slots(condition, slot)
    yield _archiving(condition)
    yield from _quiet_hours(condition, slot)
    yield _slot(condition, slot)
    yield from _limit(condition, slot)


def _level(condition: Condition) -> Finding:
    level = condition.settings["wal_level"]
    if level != "minimal":
        return Finding("wal_level", "ok", level)
    said = "minimal: too little is in the WAL for a backup"
    return needs_restart("wal_level", "fault", said, condition, "wal_level", "replica")


def _senders(condition: Condition, slot: str) -> Finding:
    most, used = condition.number("max_wal_senders"), condition.senders or 0
    said = f"max_wal_senders is {most}, {used} in use"
    streaming = _find(condition, slot)
    wanted = 1 if streaming is not None and streaming.active else 2
    if most - used >= wanted:
        return Finding("WAL senders", "ok", said)
    state: State = "fault" if most <= used else "warning"
    why = "none is left for a backup" if most <= used else "one is left, and a backup and a stream need two"
    value = str(max(_MANY, used + 2 * wanted))
    return needs_restart("WAL senders", state, f"{said}: {why}", condition, "max_wal_senders", value)


def _refusal(condition: Condition) -> Iterator[Finding]:
    """Only where nothing that was said before explains it."""
    full = condition.number("max_wal_senders") <= (condition.senders or 0)
    if condition.refusal is not None and condition.role.replication and not full:
        said = f"a replication connection was refused: {condition.refusal.message}"
        yield Finding("replication", "fault", said, condition.refusal.hint)


def _room_for_slots(condition: Condition, slot: str) -> Finding:
    most = condition.number("max_replication_slots")
    if condition.slots is None:
        return Finding("slots", "note", f"max_replication_slots is {most}; how many are in use cannot be seen")
    said = f"max_replication_slots is {most}, {condition.slots.count} in use"
    if most > condition.slots.count or condition.slots.named(slot) is not None:
        return Finding("slots", "ok", said)
    value = str(max(_MANY, condition.slots.count + 2))
    state: State = "note" if _pushes(condition) else "warning"
    return needs_restart("slots", state, f"{said}: none is left", condition, "max_replication_slots", value)


def _archiving(condition: Condition) -> Finding:
    mode, command = condition.settings["archive_mode"], _command(condition)
    archiver = condition.archiver
    if mode == "off" or (mode == "on" and condition.in_recovery):
        said = f"archive_mode is {mode}: {'a standby' if mode == 'on' else 'the server'} pushes no WAL to an archive"
        return Finding("archiving", "ok", said)
    if not command:
        said = "archive_mode is on and there is no archive_command: the server keeps all WAL until its disk is full"
        return Finding("archiving", "fault", said, set_and_reload("archive_command", f"'{PUSH}'"))
    whose = "silt's own" if _pushes(condition) else f"another's ({_short(command)})"
    if archiver is None:
        return Finding("archiving", "note", f"{whose}; whether it fails cannot be seen")
    if archiver.failing:
        said = f"{whose}, and it fails: {archiver.failed_wal} at {archiver.failed_at}, {archiver.failures} failures"
        mend = "see the server's log for what it said"
        return Finding("archiving", "fault", f"{said} in all; WAL piles up on the server", mend)
    last = f"last {archiver.archived_wal} at {archiver.archived_at}" if archiver.archived_wal else "nothing yet"
    if archiver.failures:
        said = f"{whose}, {last}; {archiver.failures} failures before, the last at {archiver.failed_at}"
        return Finding("archiving", "note", said)
    return Finding("archiving", "ok" if _pushes(condition) else "note", f"{whose}; {last}")


def _quiet_hours(condition: Condition, slot: str) -> Iterator[Finding]:
    streaming = _find(condition, slot)
    if _pushes(condition) and condition.settings["archive_timeout"] == "0" and not (streaming and streaming.active):
        said = "0: on a quiet server the last segment may stay away from the archive for hours"
        yield Finding("archive_timeout", "note", said, set_and_reload("archive_timeout", "'60s'"))


def _slot(condition: Condition, name: str) -> Finding:
    if condition.slots is None:  # `may see` has said so
        return Finding("slot", "note", f"whether there is a slot {name} cannot be seen")
    if name in condition.slots.logical:
        return Finding("slot", "fault", f"{name} is a logical slot", "name another one with --slot")
    slot = condition.slots.named(name)
    if slot is None:
        return _no_slot(condition, name)
    if slot.lost:
        said = f"{name} is lost: the server has removed WAL that it was to keep; take a backup after this"
        return Finding("slot", "fault", said, f"SELECT pg_drop_replication_slot('{name}'); {_make(name)}")
    if slot.restart_lsn is None:
        said = f"{name} keeps no WAL until something was streamed over it"
        return Finding("slot", "warning", said, f"SELECT pg_drop_replication_slot('{name}'); {_make(name)}")
    where = f"{slot.wal_status}, from {format_lsn(slot.restart_lsn)}{_lag(condition, slot)}"
    if slot.wal_status == "unreserved":
        said = f"{name} is about to be lost with the next checkpoint: {where}"
        return Finding("slot", "warning", said, "start 'silt wal stream' at once")
    if not slot.active:
        said = f"{name} is not in use, and the server keeps WAL for it: {where}"
        return Finding("slot", "warning", said, "start 'silt wal stream'")
    return Finding("slot", "ok", f"{name} is in use: {where}")


def _no_slot(condition: Condition, name: str) -> Finding:
    if _pushes(condition):
        return Finding("slot", "ok", f"there is no {name}; WAL comes by archive_command")
    said = (
        f"there is no {name}, and nothing archives WAL for silt: only moments at which a backup ended can be restored"
    )
    # Nobody else's slot is there that the limit, which is the server's, could break.
    bounded = condition.number("max_slot_wal_keep_size") >= 0 or (condition.slots is not None and condition.slots.count)
    first = "" if bounded else set_and_reload("max_slot_wal_keep_size", f"'{_KEEP}'") + " "
    return Finding("slot", "warning", said, first + _make(name))


def _limit(condition: Condition, name: str) -> Iterator[Finding]:
    slot = _find(condition, name)
    if slot is None or slot.lost:
        return
    limit = condition.number("max_slot_wal_keep_size")  # in MB; -1 for none
    if limit < 0:
        said = "none: while nobody streams, the slot keeps WAL until the server's disk is full"
        yield Finding("slot limit", "note", said, set_and_reload("max_slot_wal_keep_size", f"'{_KEEP}'"))
    else:
        said = f"max_slot_wal_keep_size is {amount(limit << 20)}: a stream that stays away for longer leaves a gap"
        yield Finding("slot limit", "ok", said)
    if condition.settings.get("idle_replication_slot_timeout", "0") != "0":
        said = "idle_replication_slot_timeout is set: a stream that stays away for so long loses its slot"
        mend = set_and_reload("idle_replication_slot_timeout", "0")
        yield Finding("slot limit", "note", said, mend)


def _make(name: str) -> str:
    return f"SELECT pg_create_physical_replication_slot('{name}', true);"


def _lag(condition: Condition, slot: Slot) -> str:
    if condition.position is None or slot.restart_lsn is None:
        return ""
    return f", {amount(max(0, condition.position - slot.restart_lsn))} behind"


def _find(condition: Condition, name: str) -> Slot | None:
    return None if condition.slots is None else condition.slots.named(name)


def _command(condition: Condition) -> str:
    """What archives: a command, or since 15 a library."""
    return condition.settings.get("archive_library") or condition.settings.get("archive_command") or ""


def _short(command: str) -> str:
    return command if len(command) <= _LONG else f"{command[: _LONG - 3]}..."


def _pushes(condition: Condition) -> bool:
    """Whether WAL is pushed into a store of ours."""
    mode = condition.settings["archive_mode"]
    at_work = mode == "always" or (mode == "on" and not condition.in_recovery)
    return at_work and not condition.settings.get("archive_library") and bool(_OURS.search(_command(condition)))
