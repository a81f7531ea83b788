"""`silt wal stream`: the service that receives WAL.

Rule: it runs until SIGTERM, SIGINT or an error that does not pass by itself, and ends in good order: what has come is
durable then. It says what happens as lines, or with --json as objects, one a line.
"""

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..database import dsn_option, file_option, needed_dsn, slot_option
from ..opening import Opening
from ..options import Options, make_command
from ..paths import shown

if TYPE_CHECKING:
    from siltstone.engine import StreamEvent

OPEN_EVERY = 30.0


@make_command(
    "stream",
    examples="""
    silt wal stream --create-slot -c deployment.toml
    silt wal stream --dsn 'host=db.example user=backup' --slot silt_standby --open-every 5
    """,
)
@dsn_option
@file_option
@slot_option
@click.option("--create-slot", is_flag=True, help="Make the slot where there is none; before the first full backup.")
@click.option("--no-slot", is_flag=True, help="Without a slot: the server may throw WAL away that was not received.")
@click.option(
    "--open-every",
    type=click.FloatRange(min=0),
    default=OPEN_EVERY,
    show_default=True,
    metavar="SECONDS",
    help="How often the segment that is still written is stored; 0: never.",
)
def stream(
    options: Options,
    dsn: str | None,
    file: str | None,
    slot: str,
    create_slot: bool,
    no_slot: bool,
    open_every: float,
) -> int:
    """Receive WAL from a server and archive it, as a service.

    The server may forget WAL only once it is durable in the store. When the server or the store is away it tries again;
    the slot makes the server keep the WAL meanwhile. With --json: {"type": "wal", "event", "message", "names"}; event:
    slot, started, archived, gap, away, stopped.
    """
    opening = Opening(options)
    words = needed_dsn(dsn, file)
    from siltstone.engine import WalStream

    service = WalStream(
        opening.store(),
        words,
        slot=None if no_slot else slot,
        create_slot=create_slot,
        open_every=open_every,
        report=_teller(options),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    service.run()
    answer(options, {}, [])
    return 0


def _teller(options: Options) -> "Callable[[StreamEvent], None]":
    def tell(event: "StreamEvent") -> None:
        if options.json:
            record = {"type": "wal", "event": event.kind, "message": shown(event.message), "names": event.names}
            print(json.dumps(record), flush=True)
        elif not options.quiet or event.kind in ("gap", "away"):
            print(f"{event.kind}: {shown(event.message)}", flush=True)

    return tell
