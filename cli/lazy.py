"""Groups of commands that are imported one by one, when they are asked for.

Rule: each name of the table is the attribute `command` of a module: the name behind the group's prefix, and a '_'
behind it where Python keeps the name for itself. A new command needs its module and its line in the table, nothing
else. Listing all of them (--help) imports them all, so that their modules import the engine only when they run.
"""

from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

MODULES = f"{__package__}.commands"


class LazyCommands(click.Group):
    """A group of the commands `names`, in this order."""

    def __init__(self, name: str, names: Sequence[str], *, prefix: str = "", **settings: Any) -> None:
        super().__init__(name, **settings)
        self._names, self._prefix = tuple(names), prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for a name that is none."""
        if cmd_name not in self._names:
            return None
        module = self._prefix + cmd_name + "_" * iskeyword(cmd_name)
        command: click.Command = import_module(f"{MODULES}.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but what is like a mistyped name is looked for in the table."""
        if args[0] in self._names or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.exceptions.NoSuchCommand(args[0], possibilities=self._names, ctx=ctx)
