"""`silt show`: one level in detail.

Rule: all that the level's root says, and nothing that needs its manifest to be read: it answers at once however large
the level is.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..columns import columns, facts
from ..figures import count, local_time, size
from ..opening import Opening
from ..options import Options, make_command
from ..paths import about, path_record, shown
from ..summary import summary

if TYPE_CHECKING:
    from siltstone.engine import Level, Pin, RestoreNote, SetInfo


@make_command(
    "show",
    examples="""
    silt show 0/1
    silt show phantom:latest --json
    """,
)
@click.argument("level")
def command(options: Options, level: str) -> int:
    """Show one level in detail.

    When, of what, how much, whether it is pinned, and the warnings that its backup ended with. With --json: the level,
    "pin", "warned": [{"kind", "path", "message"}], and "restores", those of it onto other deployments: [{"begun",
    "host", "onto", "configuration", "allowed": [{"rule", "sentence"}], "ended", "files", "bytes", "failures"}].
    """
    opening = Opening(options)
    from siltstone.engine import read_pins, read_restores, resolve

    from ..records import level_record, pin_record
    from ..restores import restore_record

    store = opening.store()
    found = resolve(store, level)
    pin = read_pins(store).get(found.ref)
    warned = [{"kind": kind, **path_record(path), "message": shown(message)} for kind, path, message in found.warnings]
    restores = read_restores(store, found.ref)
    more = {"pin": pin_record(pin), "warned": warned, "restores": [restore_record(each) for each in restores]}
    answer(options, {**level_record(found), **more}, _lines(found, pin, restores))
    return 0


def _lines(level: "Level", pin: "Pin | None", restores: "list[RestoreNote]") -> Iterator[str]:
    from ..restores import restore_lines

    yield f"{level.deployment}:{level.ref}  {level.tar_name}"
    yield from facts(
        [
            ("type", level.kind if level.parent is None else f"{level.kind}, compared with level {level.parent}"),
            ("host", shown(level.host)),
            ("product", " ".join(filter(None, [level.product_version, level.privilege]))),
            ("topology", level.origin.configuration if level.origin else ""),
            ("started", local_time(level.started_ns)),
            ("finished", local_time(level.finished_ns)),
            ("pinned", f"since {local_time(pin.pinned_ns)} {shown(pin.note)}".rstrip() if pin else ""),
            *summary(level.stats),
        ]
    )
    yield ""
    rows = [(_name(files), count(files.entries), count(files.files), size(files.bytes)) for files in level.sets]
    yield from columns(("FILE SET", "ENTRIES", "FILES", "SIZE"), rows, right=frozenset({"ENTRIES", "FILES", "SIZE"}))
    yield from _database_lines(level)
    for files in level.sets:
        yield from (f"  {_name(files)}: {shown(root)}" for root in files.roots)
    if level.warnings:
        yield ""
        yield from (f"warning: {about(path, message)}" for _, path, message in level.warnings)
    if restores:
        yield ""
    for each in restores:
        yield from restore_lines(each)


def _name(files: "SetInfo") -> str:
    return f"{files.name}@{files.host}" if files.host else files.name


def _database_lines(level: "Level") -> Iterator[str]:
    from siltstone.engine import format_lsn

    info = level.database
    if info is None:
        return
    version = f"{info.version_num // 10000}.{info.version_num % 10000}"
    yield f"  PostgreSQL {version}, system {info.system_identifier}, timeline {info.timeline}"
    yield f"  WAL from {format_lsn(info.start_lsn)} to {format_lsn(info.stop_lsn)}"
    for oid, location in info.tablespaces:
        yield f"  tablespace {oid}: {shown(location)}"
