"""`silt pg`: what concerns a PostgreSQL cluster itself.

Rule: each name in COMMANDS is the attribute `command` of the module pg_<name>, imported when it is named; a new one
needs its module and its line here.
"""

from importlib import import_module

import click

from ..options import examples_text

COMMANDS = ("check", "times")


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".pg_{cmd_name}", __package__).command
        return command


@click.group("pg", cls=Commands, epilog=examples_text("silt pg check -c deployment.toml"))
def command() -> None:
    """PostgreSQL: is a cluster ready; moments of its WAL."""
