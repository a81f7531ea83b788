"""`silt wal stream` as a service: slot, stream, storing, and beginning again when the server or the store was away.

Rule: each run begins from what the archive has, so that nothing is kept between runs, and a kill at any moment loses
nothing that the slot keeps. WAL that the server has no more is a gap, which is said, and the stream goes on behind it:
to stop would only make the gap longer. Another cluster behind the same address ends the service.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from siltstone.store import BackendError, Store

from .archive_catalog import Catalog, read_catalog
from .connection import Connection, connect
from .errors import Malformed, PostgresError, ServerAway
from .history import History, parse_history
from .identity import Identity, fetch_history, identify
from .lsn import format_lsn
from .receive import Receiver
from .receive_errors import WalRemoved
from .slots import Slot, ensure_slot, read_slot
from .stream_sink import StoreSink
from .stream_start import start_position
from .wal_names import history_name

FIRST_PAUSE: Final = 0.5  # seconds before the first try again; doubled up to LAST_PAUSE while nothing gets durable
LAST_PAUSE: Final = 30.0
_SLOT_IN_USE = "55006"  # by ourselves, until the server notices that we were killed
_UNITS = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


class StreamEvent(Struct, frozen=True):
    """`kind`: slot, started, archived, gap, away, stopped. `names` are the files that are durable now."""

    kind: str
    message: str
    names: tuple[str, ...] = ()


class WalStream:
    """The service. stop() may come from anywhere; run() belongs to one thread."""

    def __init__(
        self,
        store: Store,
        dsn: str,
        *,
        slot: str | None,
        create_slot: bool,
        open_every: float,
        report: Callable[[StreamEvent], None],
    ) -> None:
        self._store, self._dsn, self._report = store, dsn, report
        self._slot, self._create, self._open_every = slot, create_slot, open_every
        self._stopping = threading.Event()
        self._receiver: Receiver | None = None
        self._system: int | None = None
        self._skip = self._moved = False

    def stop(self) -> None:
        """End soon, in good order. Safe in a signal handler."""
        self._stopping.set()
        if self._receiver is not None:
            self._receiver.stop()

    def run(self) -> None:
        """Stream until stop(). Raises what does not pass by itself: OtherCluster, Malformed, PostgresError, NoKey."""
        self._store.ring.need("read", "streaming WAL")  # where to go on is in the archive; said before a slot is made
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            self._moved = False
            try:
                self._once()
            except WalRemoved as error:
                self._report(StreamEvent("gap", f"{error}; {error.hint}"))
                if self._skip:
                    raise
                self._skip = True
                continue
            except (ServerAway, BackendError, PostgresError) as error:
                if isinstance(error, PostgresError) and not _passes(error):
                    raise
                pause = FIRST_PAUSE if self._moved else min(2 * pause, LAST_PAUSE)
                self._report(StreamEvent("away", f"{error}; trying again in {pause:g} s"))
                self._stopping.wait(pause)
        self._report(StreamEvent("stopped", "stopped"))

    def _once(self) -> None:
        """One connection, until it breaks or we are to stop."""
        with connect(self._dsn, replication=True) as connection:
            identity = identify(connection, self._system)
            self._system = identity.system_identifier
            size = _segment_size(connection)
            slot = self._ready_slot(connection)
            catalog = read_catalog(self._store, self._system)
            history = self._history(connection, identity)
            position = start_position(catalog, history, identity.position, slot, skip=self._skip)
            with (
                StoreSink(self._store, catalog, size, open_every=self._open_every, durable=self._durable) as sink,
                Receiver(sink, segment_size=size, slot=self._slot) as receiver,
            ):
                self._receiver = receiver
                if self._stopping.is_set():
                    return
                _archive_ancestors(connection, catalog, history, sink)
                place = f"{format_lsn(position.lsn)} of timeline {position.timeline}"
                self._report(StreamEvent("started", f"streaming the cluster {self._system} from {place}"))
                receiver.run(connection, position, self._system)

    def _durable(self, names: list[str]) -> None:
        if self._receiver is not None:
            self._receiver.wake()
        if names:
            self._moved, self._skip = True, False
            self._report(StreamEvent("archived", ", ".join(names), tuple(names)))

    def _ready_slot(self, connection: Connection) -> Slot | None:
        if self._slot is None:
            return None
        if not self._create:
            slot = read_slot(connection, self._slot)
            if slot is None:
                hint = "run it with --create-slot, before the first full backup"
                raise PostgresError(f"there is no replication slot {self._slot}", hint=hint)
            return slot
        slot, made = ensure_slot(connection, self._slot)
        if made:
            self._report(StreamEvent("slot", f"made the replication slot {slot.name}"))
        return slot

    def _history(self, connection: Connection, identity: Identity) -> History:
        timeline = identity.position.timeline
        if timeline == 1:
            return History(1)
        return parse_history(history_name(timeline), timeline, fetch_history(connection, timeline))


def _passes(error: PostgresError) -> bool:
    return isinstance(error, ServerAway) or error.sqlstate == _SLOT_IN_USE


def _archive_ancestors(connection: Connection, catalog: Catalog, history: History, sink: StoreSink) -> None:
    """The histories of the timelines before: recovery from an old backup asks for each. A server may lack some."""
    for ancestor in history.ancestors:
        if ancestor.timeline > 1 and ancestor.timeline not in catalog.histories:
            with suppress(PostgresError):
                sink.history(ancestor.timeline, fetch_history(connection, ancestor.timeline))


def _segment_size(connection: Connection) -> int:
    """In bytes. Raises Malformed."""
    ((text,),) = connection.query("SHOW wal_segment_size")
    number, unit = (text or "")[:-2], (text or "")[-2:]
    if unit not in _UNITS or not number.isdecimal():
        raise Malformed("wal_segment_size", f"the server says {text!r}")
    return int(number) * _UNITS[unit]
