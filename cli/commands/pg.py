"""`silt pg`: looking at PostgreSQL, on the server and in the archive. The commands have modules of their own.

Rule: nothing here changes a server or a store.
"""

import click

from ..options import examples_text
from .pg_times import times


@click.group("pg", epilog=examples_text("silt pg times 2026-11-20T14:00"))
def command() -> None:
    """Look at PostgreSQL and its archived history."""


command.add_command(times)
