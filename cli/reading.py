"""The options of commands that read packs whole: which of them, beside an amount.

Rule: both `verify` and `scrub` take them and mean the same by them; what the words mean is the engine's (`read_plan`).
"""

from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def reading_options(command: Command) -> Command:
    """--max-age and --shard."""
    command = click.option(
        "--shard", metavar="N/OF", help="Read only packs of this part, such as 2/8; another host reads the next."
    )(command)
    return click.option(
        "--max-age", metavar="AGE", help="Read also what was not read for so long (30d, 12h, 2w), whatever the amount."
    )(command)
