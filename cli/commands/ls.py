"""`silt ls`: the entries in a folder of a level.

Rule: it lists as it reads, so a level of a million files begins to show at once. Without --recursive it reads only what
it needs of the manifest.
"""

import json
from functools import partial

import click

from ..opening import Opening
from ..options import Options, make_command
from ..selecting import absolute_path


@make_command(
    "ls",
    examples="""
    silt ls 0/1                            # what was backed up, at the top
    silt ls 0/1 /opt/phantom/apps
    silt ls latest /opt/phantom --recursive --json
    """,
)
@click.argument("level")
@click.argument("path", required=False)
@click.option("-r", "--recursive", is_flag=True, help="All that lies below, too.")
@click.option("--host", metavar="NAME", help="Only what this host had.")
def command(options: Options, level: str, path: str | None, recursive: bool, host: str | None) -> int:
    """List a folder of a level, or a single file.

    Without PATH: what was backed up, at the top. Of a level of several hosts each is listed by itself. With --json one
    object for each entry: "type": "entry", "host" (empty where hosts have no names, or there is one), "path",
    "kind", "mode", "uid", "gid", "owner", "group", "size", "mtime", "nlink", for symlinks "target", for devices
    "rdev"; then the result, with the level's names and "entries".
    """
    opening = Opening(options)
    from siltstone.engine import by_host, list_entries, of_each_host, resolve

    from ..entries import entry_line, entry_record
    from ..records import name_record

    folder = absolute_path(path) if path is not None else None
    store = opening.store()
    found = resolve(store, level)
    views = dict(by_host(found, host))
    number, told = 0, ""
    ask = partial(list_entries, store, path=folder, recursive=recursive)
    for name, entry in of_each_host(found, host, ask):
        number += 1
        if options.json:
            print(json.dumps({"type": "entry", "host": name, **entry_record(entry, views[name])}))
            continue
        if len(views) > 1 and name != told:
            print(f"{name}:")
            told = name
        print(entry_line(entry, views[name]))
    if options.json:
        print(json.dumps({"type": "result", **name_record(found), "entries": number}))
    return 0
