"""`silt pg times`: what happened near a moment.

Rule: a moment without a zone is local time, and answers are UTC in JSON and local on a terminal, as everywhere. Where
recovery can really go to is the word of `silt restore`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import columns
from ..figures import lsn_text, utc_time
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command

if TYPE_CHECKING:
    from siltstone.engine import Moment


@make_command(
    "times",
    examples="""
    silt pg times 2026-11-20T14:00
    silt pg times '2026-11-20 14:03:07+00' --count 20 --json
    """,
)
@click.argument("moment")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many on either side.")
@click.option("--system", type=int, metavar="NUMBER", help="Of which cluster, where the store has several.")
@click.option("--timeline", type=click.IntRange(1), metavar="NUMBER", help="On the way to which timeline; the newest.")
def command(options: Options, moment: str, count: int, system: int | None, timeline: int | None) -> int:
    """Show commits and restore points near a moment.

    With --json: {"moments": [{"time", "timeline", "lsn", "xid" or "restore_point", "before"}]}; before: recovery to
    MOMENT would keep it.
    """
    at = _parse(moment)
    store = open_store(options, needing="postgres.wal_times")
    from siltstone.engine import moments_near

    found = moments_near(store, at, count=count, system_identifier=system, timeline=timeline)
    answer(options, {"moments": [_record(each) for each in found]}, _lines(found))
    return 0


def _parse(text: str) -> int:
    """Microseconds since 1970 UTC. Mistake."""
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise Mistake(f"{text}: this is no moment", hint="write it like 2026-11-20T14:03:07 or with +00:00") from None


def _record(moment: "Moment") -> dict[str, Any]:
    what: dict[str, Any] = {"restore_point": moment.name} if moment.name else {"xid": moment.xid}
    return {
        "time": utc_time(moment.time * 1000),
        "timeline": moment.timeline,
        "lsn": lsn_text(moment.lsn),
        **what,
        "before": moment.before,
    }


def _lines(moments: "list[Moment]") -> Iterator[str]:
    if not moments:
        yield "no commit in the archive"
        return
    rows = [
        (
            "before" if each.before else "after",
            datetime.fromtimestamp(each.time / 1_000_000).astimezone().isoformat(" ", "microseconds"),
            lsn_text(each.lsn),
            each.name or str(each.xid),
        )
        for each in moments
    ]
    yield from columns(("", "TIME", "LSN", "XID OR RESTORE POINT"), rows)
