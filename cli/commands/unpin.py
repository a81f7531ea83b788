"""`silt unpin`: a level may go again.

Rule: it removes the pin and nothing else; what rules make of the level is decided when they are next applied.
"""

import click

from ..answer import answer
from ..opening import open_store
from ..options import Options, make_command


@make_command("unpin", examples="silt unpin 0/3")
@click.argument("level")
def command(options: Options, level: str) -> int:
    """Remove a level's pin.

    With --json: the level's name.
    """
    from siltstone.engine import level_refs, pinned_refs, resolve_ref, unpin_level

    from ..records import name_record

    store = open_store(options)
    ref = resolve_ref(sorted({*level_refs(store), *pinned_refs(store)}), level)
    unpin_level(store, ref)
    answer(options, name_record(ref), [f"{ref.deployment}:{ref} is not pinned any more"])
    return 0
