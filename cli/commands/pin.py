"""`silt pin`: a level that nobody forgets until it is unpinned.

Rule: a level has one pin at most, and a second one is refused: the note of the first would be lost.
"""

import click

from ..answer import answer
from ..opening import open_store
from ..options import Options, make_command


@make_command(
    "pin",
    examples="""
    silt pin 0/3 --note "before the move"
    silt pin app:latest
    """,
)
@click.argument("level")
@click.option("--note", default="", metavar="TEXT", help="Why; 'silt list' and 'silt show' tell it.")
def command(options: Options, level: str, note: str) -> int:
    """Pin a level: neither rules nor 'silt forget' remove it.

    With --json: the level's name, and "note".
    """
    from siltstone.engine import level_refs, pin_level, resolve_ref

    from ..records import name_record

    store = open_store(options)
    pin = pin_level(store, resolve_ref(level_refs(store), level), note)
    said = f"{pin.ref.deployment}:{pin.ref} is pinned; 'silt unpin {pin.ref.deployment}:{pin.ref}' lets it go"
    answer(options, {**name_record(pin.ref), "note": note}, [said])
    return 0
