"""`silt gc`: garbage collection. What no level needs is condemned, and what an earlier run condemned is removed.

Rule: others may write meanwhile. A dry run says what a run would do and why, and changes nothing. What stands in the
way of removing something is said with the answer; it is no fault.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..figures import count, counted, share, size
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command

if TYPE_CHECKING:
    from siltstone.engine import Collected


_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h)")


@make_command(
    "gc",
    examples="""
    silt gc --dry-run                        # what would go, and what is waited for
    silt gc                                  # condemn what is dead, remove what was condemned before
    silt gc --max-time 2h --max-copy 50GiB   # within a budget; the next run goes on
    silt gc --max-share 90%                  # after most of a store was forgotten
    silt gc --shard 2/8                      # of the packs, the second of eight parts: one for each of eight hosts
    """,
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--max-time", metavar="TIME", help="Begin nothing new after that time (90min, 2h).")
@click.option("--max-copy", metavar="SIZE", help="Copy at most that much out of packs that are mostly dead (50GiB).")
@click.option("--max-share", metavar="SHARE", default="50%", show_default=True, help="Refuse to condemn more.")
@click.option(
    "--patience",
    metavar="TIME",
    default="3min",
    show_default=True,
    help="How long to watch a session that was silent before, until it is given up.",
)
@click.option(
    "--shard", metavar="N/OF", help="Condemn and copy only packs of this part, such as 2/8; 1/8 removes for all."
)
def command(
    options: Options,
    dry_run: bool,
    max_time: str | None,
    max_copy: str | None,
    max_share: str,
    patience: str,
    shard: str | None,
) -> None:
    """Collect garbage, while others back up.

    It takes two runs for something to go: the first condemns it, and a later one removes it, when no session is at work
    any more that had not read of that. What a level came to need meanwhile stays.

    With --shard several hosts share the work, at once or one after the other: each judges, copies and condemns its part
    of the packs, and 1/N removes what any of them condemned.

    With --json the result has "packs", "bytes" (of the store, or of the shard), "dead", "repacked", "freed_bytes",
    "copied_bytes", "left" (packs that found no budget), "removed": {"packs", "bytes", "kept", "locked", "left",
    "held"}, "generation" (or null), "pending" (packs condemned before), "waiting_for" and "given_up" (sessions),
    "void" (roots), "expired".
    """
    from siltstone.engine import Limits, collect, parse_shard
    from siltstone.store import EVERYTHING

    from ..reporter import make_reporter

    limits = Limits(
        seconds=_seconds(max_time) if max_time else None,
        copy_bytes=_bytes(max_copy) if max_copy else None,
        share=_share(max_share),
        patience=_seconds(patience),
        shard=EVERYTHING if shard is None else parse_shard(shard),
    )
    store = open_store(options, needing="garbage")
    with make_reporter(options) as reporter:
        result = collect(store, limits=limits, dry_run=dry_run, report=reporter.report)
    answer(options, _record(result), _lines(result, "store" if shard is None else f"shard {shard}"))


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text.strip().lower())
    if match is None:
        raise Mistake(f"'{text}' is no time", hint="write it in s, min or h, as in 90min")
    return float(match[1]) * _UNITS[match[2]]


def _bytes(text: str) -> int:
    from siltstone.engine import Budget

    budget = Budget.parse(text)
    if budget.bytes is None:
        raise Mistake(f"--max-copy '{text}' is no size", hint="write it as 50GiB")
    return budget.bytes


def _share(text: str) -> float:
    from siltstone.engine import Budget

    budget = Budget.parse(text)
    if budget.bytes is not None:
        raise Mistake(f"--max-share '{text}' is no share", hint="write it as 80%")
    return budget.share


def _record(result: "Collected") -> dict[str, Any]:
    import msgspec

    record: dict[str, Any] = msgspec.to_builtins(result)
    return record


def _lines(result: "Collected", whole: str) -> Iterator[str]:
    yield from _said_first(result)
    removed = result.removed
    dead = f"{counted(result.dead, 'pack')} of no level" if result.dead else ""
    copied = f"{counted(result.repacked, 'pack')}, of which {size(result.copied_bytes)} are live"
    waits = f"{counted(len(result.waiting_for), 'session')} at work since before: {', '.join(result.waiting_for[:3])}"
    kept = f"{counted(removed.kept, 'pack')} that levels came to need" if removed.kept else ""
    yield from facts(
        [
            (whole, f"{counted(result.packs, 'pack')}, {size(result.bytes)}"),
            ("dead", dead),
            ("copied out of", copied if result.repacked else ""),
            ("frees", f"{size(result.freed_bytes)}, {share(result.freed_bytes, result.bytes)} of it"),
            ("left over", f"{counted(result.left, 'pack')}: the budget is used up" if result.left else ""),
            ("brought back", kept),
            ("locked", f"{counted(removed.locked, 'pack')} that the storage keeps" if removed.locked else ""),
            ("held", f"{counted(removed.held, 'pack')} that parity of damaged ones needs" if removed.held else ""),
            ("waits for", waits if result.waiting_for and result.pending else ""),
            ("void", f"{counted(len(result.void), 'root')} of sessions that had been given up" if result.void else ""),
            ("expired", f"{counted(result.expired, 'forgotten level')}" if result.expired else ""),
        ]
    )


def _said_first(result: "Collected") -> Iterator[str]:
    if result.dry_run:
        yield f"a run would remove up to {counted(result.pending, 'pack')} that were condemned before"
    else:
        yield f"removed {counted(result.removed.packs, 'pack')}, {size(result.removed.bytes)}"
    if result.generation is not None:
        yield f"condemned generation {count(result.generation)}: a later run removes it"
