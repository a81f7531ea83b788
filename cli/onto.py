"""`silt restore --onto`: a level onto the deployment that another file describes.

Rule: the whole plan is told, host by host; carried out is what this host has of it. Whether it may be done, and what
goes where, is the engine's word.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import answer
from .deploying import parse_definitions
from .exits import Exit
from .figures import counted, size
from .opening import open_store
from .options import Options
from .paths import path_record, shown
from .records import name_record

if TYPE_CHECKING:
    from siltstone.engine import DatabaseStep, Level, OntoPlan, RestoreResult, Step


@dataclass(frozen=True, slots=True)
class Onto:
    """What was asked for."""

    level: str
    file: str
    definitions: Sequence[str]
    allowed: Sequence[str]
    host: str
    set_name: str | None
    database_only: bool
    dry_run: bool
    verify: bool
    numeric_ids: bool


def restore_onto_file(options: Options, asked: Onto) -> int:
    """Do it; the exit code."""
    from siltstone.engine import check_allowed, host_here, level_for_onto, load_deployment, plan_onto, restore_onto

    from .commands.restore import result_record
    from .reporter import make_reporter

    destination = load_deployment(asked.file, parse_definitions(asked.definitions))
    here = host_here(destination, os.uname().nodename, asked.host)
    store = open_store(options, needing="restore")
    begun = time.monotonic()
    with store.reading(), make_reporter(options) as reporter:
        level, missing = level_for_onto(store, asked.level)
        plan = plan_onto(
            level, destination, set_name=asked.set_name, database_only=asked.database_only, missing=missing
        )
        allowed = check_allowed(plan, asked.allowed, reporter.report)
        result = restore_onto(
            store, level, plan, here, dry_run=asked.dry_run, verify=asked.verify, numeric_ids=asked.numeric_ids,
            report=reporter.report,
        )  # fmt: skip
    record = {
        **name_record(level),
        "host": here,
        "allowed": list(allowed),
        "left_out": list(plan.left_out),
        "plan": [_step_record(step) for step in plan.steps],
        "database": _database_record(plan.database) if plan.database else None,
        "dry_run": asked.dry_run,
        **(result_record(result) if result else {}),
        "duration": time.monotonic() - begun,
    }
    answer(options, record, _lines(level, plan, here, result, dry_run=asked.dry_run))
    if result is not None and result.damaged:
        return int(Exit.DAMAGE)
    return int(Exit.WARNINGS if reporter.warnings.total() else Exit.DONE)


def _step_record(step: "Step") -> dict[str, Any]:
    moves = [{**path_record(move.old, "old"), **path_record(move.new, "new")} for move in step.moves]
    counts = {"files": step.files, "bytes": step.bytes}
    return {"host": step.host, "file_set": step.set_name, "from": step.source, "moves": moves, **counts}


def _database_record(step: "DatabaseStep") -> dict[str, Any]:
    target = path_record(step.target, "target") if step.target else {"target": None}
    spaces = [{**path_record(old, "old"), **path_record(new, "new")} for old, new in step.tablespaces.items()]
    counts = {"files": step.files, "bytes": step.bytes}
    return {"host": step.host, "from": step.source, **target, "tablespaces": spaces, **counts}


def _lines(
    level: "Level", plan: "OntoPlan", here: str, result: "RestoreResult | None", *, dry_run: bool
) -> Iterator[str]:
    yield f"{level.deployment}:{level.ref} ({plan.origin.configuration}) onto {plan.destination.configuration}"
    for host in plan.hosts:
        state = ("to be restored by this command" if dry_run else "restored") if host == here else "run the same there"
        yield f"{host or 'this host'}: {state}"
        for step in plan.steps:
            if step.host == host:
                yield from (f"  {line}" for line in _step_lines(step))
        if plan.database is not None and plan.database.host == host:
            yield from (f"  {line}" for line in _database_lines(plan.database))
    if result is not None:
        yield f"{counted(result.files, 'file')}, {size(result.bytes)}; {size(result.written_bytes)} written"
        if result.warnings:
            yield f"done with {counted(result.warnings, 'warning')}"


def _step_lines(step: "Step") -> Iterator[str]:
    source = f" of {step.source}" if step.source else ""
    yield f"{step.set_name}{source}: {counted(step.files, 'file')}, {size(step.bytes)}; stop what uses them"
    for move in step.moves:
        where = "in place" if move.old == move.new else f"{shown(move.old)} -> {shown(move.new)}"
        yield f"  {where}"


def _database_lines(step: "DatabaseStep") -> Iterator[str]:
    where = shown(step.target) if step.target else "nowhere: [postgres] data-directory does not say"
    yield f"database: {counted(step.files, 'file')}, {size(step.bytes)} -> {where}; stop the server there"
    yield from (f"  tablespace {shown(old)} -> {shown(new)}" for old, new in step.tablespaces.items())
