"""`silt scrub`: whether the bytes of every object are those that were stored; without a key, where the storage is.

Rule: damage is the answer of this command, as of `verify`: told on stdout, --quiet or not, with exit code 4. It reads
all unless told otherwise, and asks for no passphrase.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, counted, share, size
from ..opening import store_place
from ..options import Options, make_command
from ..paths import about, shown
from ..reading import reading_options
from ..settings import load_settings

if TYPE_CHECKING:
    from siltstone.engine import ScrubResult


@make_command(
    "scrub",
    examples="""
    silt scrub --store /srv/backup/store           # every byte, without any key
    silt scrub --budget 500GiB                     # so much of it, the longest unread first
    silt scrub --budget 5% --max-age 30d
    silt scrub --shard 2/8 --json
    """,
)
@click.option(
    "--budget", metavar="AMOUNT", default="all", show_default=True, help="How much of the packs: all, 10%, 50GiB, none."
)
@reading_options
def command(options: Options, budget: str, max_age: str | None, shard: str | None) -> int:
    """Compare every object with its name or its checksum.

    It needs no key, so it can run on the file server itself. What was read is remembered in the store, and an
    interrupted scrub goes on where it was. It sees bytes that changed; 'silt verify' sees also what is missing.

    With --json: "objects", "packs", "bytes" (there), "packs_read", "bytes_read", "uncovered" (by parity),
    "coverage": {"days", "share"},
    "damaged": [{"object", "error"}].
    """
    from siltstone.engine import Reading, scrub_store
    from siltstone.store import open_backend

    from ..reporter import make_reporter

    reading = Reading.parse(budget, max_age, shard)
    backend = open_backend(store_place(options, load_settings(os.environ)))
    with make_reporter(options, at_once=True) as reporter:
        result = scrub_store(backend, reading=reading, report=reporter.report)
    answer(options, _record(result), _lines(result))
    if options.quiet and not options.json:
        for line in _damage_lines(result):
            print(line)
    return int(Exit.DAMAGE if result.damaged else Exit.DONE)


def _record(result: "ScrubResult") -> dict[str, Any]:
    numbers = ("objects", "packs", "bytes", "packs_read", "bytes_read", "uncovered")
    return {
        **{name: getattr(result, name) for name in numbers},
        "coverage": {"days": result.days, "share": result.share},
        "damaged": [{"object": fault.object, "error": shown(fault.error)} for fault in result.damaged],
    }


def _lines(result: "ScrubResult") -> Iterator[str]:
    yield counted(len(result.damaged), "damaged object") if result.damaged else "no damage found"
    yield from facts(
        [
            ("objects", f"{count(result.objects)}, of them {counted(result.packs, 'pack')}, {size(result.bytes)}"),
            ("read", f"{counted(result.packs_read, 'pack')}, {size(result.bytes_read)}, and all small objects"),
            ("parity", f"{counted(result.uncovered, 'pack')} not covered: 'silt protect'" if result.uncovered else ""),
            ("coverage", f"{share(result.share, 1)} of the packs read within {result.days} days"),
        ]
    )
    yield from _damage_lines(result)


def _damage_lines(result: "ScrubResult") -> Iterator[str]:
    return (f"damaged: {about(fault.object, fault.error)}" for fault in result.damaged)
