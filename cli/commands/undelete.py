"""`silt undelete`: forgotten levels come back, as long as their window is open.

Rule: what comes back is the level as it was, under its own number. A level that is there already is said to be, and is
no mistake: the same command again finishes what was interrupted.
"""

import click

from ..answer import answer
from ..opening import open_store
from ..options import Options, make_command


@make_command(
    "undelete",
    examples="""
    silt list --forgotten
    silt undelete 0/3
    silt undelete app:0                # all that is left of a group
    """,
)
@click.argument("what", nargs=-1, required=True, metavar="GROUP | GROUP/LEVEL...")
def command(options: Options, what: tuple[str, ...]) -> int:
    """Bring forgotten levels back.

    'silt list --forgotten' shows them, and until when. With --json: "undeleted" and "there" (already), lists of levels.
    """
    from siltstone.engine import undelete

    from ..records import name_record

    done = undelete(open_store(options), what)
    record = {name: [name_record(ref) for ref, back in done if back is new] for name, new in _NAMES.items()}
    words = {True: "is back", False: "is there already"}
    answer(options, record, (f"{ref.deployment}:{ref} {words[back]}" for ref, back in done))
    return 0


_NAMES = {"undeleted": True, "there": False}
