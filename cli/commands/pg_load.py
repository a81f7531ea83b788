"""`silt pg load`: configuration that a level keeps of a database, back into a running one.

Rule: what would change is told first, and only --yes changes it. Tables of one database change together or not at all.
"""

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..database import dsn_option, file_option, needed_dsn
from ..exits import Exit
from ..figures import counted
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command
from ..paths import shown

if TYPE_CHECKING:
    from siltstone.engine import SettingChange, TableName


@make_command(
    "load",
    examples="""
    silt pg load phantom.config:latest -c deployment.toml
    silt pg load phantom.config:0/3 -c deployment.toml --yes
    silt pg load phantom.config:0/3 -c deployment.toml --table public.settings --no-settings --yes
    """,
)
@click.argument("level")
@dsn_option
@file_option
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this [DATABASE.]SCHEMA.TABLE; repeat.")
@click.option("--settings/--no-settings", default=True, show_default=True, help="Settings of the server, too.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only told.")
def command(
    options: Options,
    level: str,
    dsn: str | None,
    file: str | None,
    tables: tuple[str, ...],
    settings: bool,
    yes: bool,
) -> int:
    """Put configuration back into a running database.

    The LEVEL is one of 'silt backup --config-only'. The rows of its tables replace those that are there, in one
    transaction for each database, in the order of config-tables of the deployment file; the settings that came from a
    file and differ are set by ALTER SYSTEM.

    With --json: {"tables": [{"table", "rows" (null: not done)}], "settings": [{"name", "now", "kept", "restart"}],
    "done"}.
    """
    from siltstone.engine import LevelTables, compare_settings, resolve, write_settings, write_tables

    place = needed_dsn(dsn, file)
    store = open_store(options)
    kept = LevelTables(store, resolve(store, level))
    names = _names(kept.paths(), _wanted(tables, file))
    changes = _changes(kept, place, compare_settings) if settings else []
    rows: dict[TableName, int] = {}
    if yes:
        rows = write_tables(place, {name: partial(kept.content, path) for name, path in names.items()})
        write_settings(place, changes)
    record = {
        "tables": [{"table": _shown(name), "rows": rows.get(name)} for name in names],
        "settings": [_setting_record(change) for change in changes],
        "done": yes,
    }
    answer(options, record, _lines(names, rows, changes, done=yes))
    return int(Exit.DONE)


def _wanted(tables: tuple[str, ...], file: str | None) -> "list[TableName]":
    """The tables in the order in which they are to be filled; none: all of the level."""
    from siltstone.engine import load_deployment, parse_table_name

    if tables:
        try:
            return [parse_table_name(text) for text in tables]
        except ValueError as error:
            raise Mistake(f"--table: {error}") from None
    database = load_deployment(file).database if file else None
    return list(database.config_tables) if database else []


def _names(paths: list[bytes], wanted: "list[TableName]") -> "dict[TableName, bytes]":
    """Table -> path in the level, in the order of what is wanted."""
    from siltstone.engine import SETTINGS, parse_table_name

    there: dict[TableName, bytes] = {}
    for path in paths:
        if path != SETTINGS:
            database, table = os.fsdecode(path).split("/")[-2:]
            there[parse_table_name(f"{database}.{table.removesuffix('.csv')}")] = path
    if not wanted:
        return there
    found = {}
    for name in wanted:
        alike = [each for each in there if (each.schema, each.table) == (name.schema, name.table)]
        alike = [each for each in alike if name.database in ("", each.database)]
        if not alike:
            raise Mistake(f"the level holds no table {_shown(name)}", hint=f"it holds {', '.join(map(_shown, there))}")
        found[alike[0]] = there[alike[0]]
    return found


def _changes(kept: Any, place: str, compare: Any) -> "list[SettingChange]":
    from siltstone.engine import SETTINGS

    changes: list[SettingChange] = compare(place, b"".join(kept.content(SETTINGS)))
    return changes


def _shown(name: "TableName") -> str:
    return shown(".".join(filter(None, (name.database, name.schema, name.table))))


def _setting_record(change: "SettingChange") -> dict[str, Any]:
    return {"name": change.name, "now": change.now, "kept": change.kept, "restart": change.restart}


def _lines(
    names: "dict[TableName, bytes]", rows: "dict[TableName, int]", changes: "list[SettingChange]", *, done: bool
) -> Iterator[str]:
    for name in names:
        yield f"{_shown(name)}: {counted(rows[name], 'row')}" if done else f"{_shown(name)}: would be replaced"
    for change in changes:
        after = "; counts after a restart" if change.restart else ""
        yield f"{change.name}: {shown(change.now)} -> {shown(change.kept)}{after}"
    if not done:
        yield "nothing was changed: --yes does it"
