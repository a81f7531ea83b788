"""`silt restore --onto`: a level onto the deployment that another file describes.

Rule: the whole plan is told, host by host; carried out is what this host has of it. Whether it may be done, and what
goes where, is the engine's word.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from .answer import answer
from .deploying import parse_definitions
from .exits import Exit
from .figures import counted, duration, rate, size, time_left
from .opening import open_store
from .options import Options
from .paths import path_record, shown
from .records import name_record
from .recovering import with_command
from .restored import result_record

if TYPE_CHECKING:
    from siltstone.engine import DatabaseStep, Expected, Level, OntoPlan, Recovery, Report, RestoreResult, Step

# Seconds: a shorter restore is over before anybody has read how long it takes.
WORTH_SAYING = 10.0


class Onto(Struct, frozen=True):
    """What was asked for."""

    level: str
    file: str
    definitions: Sequence[str]
    allowed: Sequence[str]
    host: str
    set_name: str | None
    database_only: bool
    recovery: "Recovery | None"


def restore_onto_file(options: Options, asked: Onto, *, dry_run: bool, **how: Any) -> int:
    """Do it; the exit code. `how` is as `restore_onto` of the engine takes it."""
    from siltstone.engine import (
        check_allowed,
        expected_times,
        full_of,
        host_here,
        level_for_onto,
        load_deployment,
        measured_restores,
        plan_onto,
        restore_onto,
    )  # fmt: skip

    from .reporter import make_reporter

    destination = load_deployment(asked.file, parse_definitions(asked.definitions))
    here = host_here(destination, os.uname().nodename, asked.host)
    store = open_store(options, needing="restore")
    begun = time.monotonic()
    # A dry run writes nothing, and no lease either.
    with nullcontext() if dry_run else store.reading(), make_reporter(options) as reporter:
        level, missing, recovery = level_for_onto(store, asked.level, asked.recovery)
        if recovery is not None:
            recovery = with_command(recovery, store, level, options.key_file)
        plan = plan_onto(
            level, destination, set_name=asked.set_name, database_only=asked.database_only, missing=missing
        )
        times = expected_times(plan, level, full_of(store, level), measured_restores(store))
        allowed = check_allowed(plan, asked.allowed, reporter.report)
        _tell(times, here, reporter.report)
        how |= {"allowed": allowed, "recovery": recovery, "dry_run": dry_run, "report": reporter.report}
        result = restore_onto(store, level, plan, here, **how)
    record = {
        **name_record(level),
        "host": here,
        "allowed": [refusal.rule for refusal in allowed],
        "left_out": list(plan.left_out),
        "plan": [_step_record(step) for step in plan.steps],
        "database": _database_record(plan.database) if plan.database else None,
        "expected": [_time_record(each) for each in times],
        "until": _until(recovery) if recovery else None,
        "dry_run": dry_run,
        **(result_record(result) if result else {}),
        "duration": time.monotonic() - begun,
    }
    lines = _plan_lines(level, plan, times, here, recovery, dry_run=dry_run)
    answer(options, record, chain(lines, _result_lines(result, record["duration"])))
    if result is not None and result.damaged:
        return int(Exit.DAMAGE)
    return int(Exit.WARNINGS if reporter.warnings.total() else Exit.DONE)


def _tell(times: "list[Expected]", here: str, report: "Report") -> None:
    """Say before it begins how long it may take, where somebody has to wait for it."""
    from siltstone.engine import Noted

    for each in times:
        if each.host == here and each.seconds >= WORTH_SAYING:
            report(Noted(f"{size(each.bytes)} to restore here: {_time_words(each)}"))


def _step_record(step: "Step") -> dict[str, Any]:
    moves = [{**path_record(move.old, "old"), **path_record(move.new, "new")} for move in step.moves]
    counts = {"files": step.files, "bytes": step.bytes}
    return {"host": step.host, "file_set": step.set_name, "from": step.source, "moves": moves, **counts}


def _database_record(step: "DatabaseStep") -> dict[str, Any]:
    target = path_record(step.target, "target") if step.target else {"target": None}
    spaces = [{**path_record(old, "old"), **path_record(new, "new")} for old, new in step.tablespaces.items()]
    counts = {"files": step.files, "bytes": step.bytes}
    return {"host": step.host, "from": step.source, **target, "tablespaces": spaces, **counts}


def _time_record(each: "Expected") -> dict[str, Any]:
    counts = {"files": each.files, "bytes": each.bytes, "seconds": each.seconds}
    return {"host": each.host, **counts, "basis": each.by.basis}


def _time_words(each: "Expected") -> str:
    basis, by = each.by.basis, each.by
    about = f"about {time_left(max(1, each.seconds))}"
    if basis == "assumed":
        return f"{about}, if it goes as usual; nothing was measured yet"
    run = "the last restore" if basis == "restore" else "the full backup"
    return f"{about}, as {run} went: {rate(by.bytes / by.seconds)}"


def _until(recovery: "Recovery") -> str:
    return " ".join(filter(None, [recovery.kind, recovery.value]))


def _plan_lines(
    level: "Level",
    plan: "OntoPlan",
    times: "list[Expected]",
    here: str,
    recovery: "Recovery | None",
    *,
    dry_run: bool,
) -> Iterator[str]:
    yield f"{level.deployment}:{level.ref} ({plan.origin.configuration}) onto {plan.destination.configuration}"
    for host in plan.hosts:
        state = ("to be restored by this command" if dry_run else "restored") if host == here else "run the same there"
        yield f"{host or 'this host'}: {state}"
        if dry_run or host != here:
            yield from (f"  {size(each.bytes)}, {_time_words(each)}" for each in times if each.host == host)
        for step in plan.steps:
            if step.host == host:
                yield from (f"  {line}" for line in _step_lines(step))
        if plan.database is not None and plan.database.host == host:
            yield from (f"  {line}" for line in _database_lines(plan.database, recovery))


def _result_lines(result: "RestoreResult | None", seconds: float) -> Iterator[str]:
    if result is not None:
        verb = "to write" if result.dry_run else f"written in {duration(seconds)}"
        yield f"{counted(result.files, 'file')}, {size(result.bytes)}; {size(result.written_bytes)} {verb}"
        if result.warnings:
            yield f"done with {counted(result.warnings, 'warning')}"


def _step_lines(step: "Step") -> Iterator[str]:
    source = f" of {step.source}" if step.source else ""
    yield f"{step.set_name}{source}: {counted(step.files, 'file')}, {size(step.bytes)}; stop what uses them"
    for move in step.moves:
        where = "in place" if move.old == move.new else f"{shown(move.old)} -> {shown(move.new)}"
        yield f"  {where}"


def _database_lines(step: "DatabaseStep", recovery: "Recovery | None") -> Iterator[str]:
    where = shown(step.target) if step.target else "nowhere: [postgres] data-directory does not say"
    yield f"database: {counted(step.files, 'file')}, {size(step.bytes)} -> {where}; stop the server there"
    if recovery is not None:
        yield f"  started there, it replays WAL until {shown(_until(recovery))}; that time is not counted"
    yield from (f"  tablespace {shown(old)} -> {shown(new)}" for old, new in step.tablespaces.items())
