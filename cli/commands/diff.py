"""`silt diff`: what differs between two levels, path by path.

Rule: a line for each path that differs and nothing else, so that no line means no difference; it lists as it reads.
Contents are not read: they are the same where their chunks are.
"""

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from ..opening import Opening
from ..options import Options, make_command
from ..paths import path_record, shown

if TYPE_CHECKING:
    from siltstone.engine import Change, Level

SIGNS = {"added": "+", "removed": "-", "changed": "M"}


@make_command(
    "diff",
    examples="""
    silt diff 0/0 0/1
    silt diff 0/0 latest --json
    """,
)
@click.argument("before")
@click.argument("after")
@click.option("--host", metavar="NAME", help="Only what this host had.")
def command(options: Options, before: str, after: str, host: str | None) -> int:
    """Show what differs from one level to another.

    '+ path' was added, '- path' removed, 'M path (content, mode)' changed in these respects: content, mode, owner,
    mtime, type, xattrs, flags, target. Of levels of several hosts the path stands behind 'host:'. With --json one
    object for each: "type": "change", "host" (empty where hosts have no names), "path", "kind" (added, removed,
    changed), "what": [respects], "before" and "after" (entries as in 'ls --json', or null); then the result, with
    "added", "removed", "changed" (how many).
    """
    opening = Opening(options)
    from siltstone.engine import diff, hosts_of, of_host, resolve

    store = opening.store()
    old, new = (resolve(store, level) for level in (before, after))
    if host is not None:
        old, new = (of_host(level, host) for level in (old, new))
    several = max(len(hosts_of(level)) for level in (old, new)) > 1
    numbers: Counter[str] = Counter(dict.fromkeys(SIGNS, 0))
    for change in diff(store, old, new):
        numbers[change.kind] += 1
        print(_record(change, old, new) if options.json else _line(change, several=several))
    if options.json:
        print(json.dumps({"type": "result", **numbers}))
    return 0


def _line(change: "Change", *, several: bool) -> str:
    where = f"{change.host}:" if several else ""
    what = f" ({', '.join(sorted(change.what))})" if change.what else ""
    return f"{SIGNS[change.kind]} {where}{shown(change.path)}{what}"


def _record(change: "Change", old: "Level", new: "Level") -> str:
    from ..entries import entry_record

    record = {
        "type": "change",
        "host": change.host,
        **path_record(change.path),
        "kind": change.kind,
        "what": sorted(change.what),
        "before": entry_record(change.before, old) if change.before else None,
        "after": entry_record(change.after, new) if change.after else None,
    }
    return json.dumps(record)
