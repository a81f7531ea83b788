"""Bringing a root into a store with other keys: its contents are read, compared and stored anew.

Rule: whether a level is there is told by what its root says of it (when and where it was made), and of a WAL file by
its digest, since no id of the one means anything in the other. The newest level that both have shows which parts of the
manifests are there already.
"""

from typing import Any

from siltstone.store import DryWriter, Inherited, Store, Writer

from .events import Progress, Report
from .levels import LEVELS, from_root
from .manifest import manifest_chunks
from .postgres.archive_names import WAL
from .rekey import Rekeyer, same_root
from .root_chunks import level_of
from .sync_carrier import Commit


class RekeyCarrier:
    """See sync.Carrier."""

    def __init__(self, source: Store, target: Store, sink: Writer | DryWriter, report: Report) -> None:
        self._source, self._target, self._sink, self._report = source, target, sink, report
        self._rekeyer = Rekeyer(source, target, sink)
        self._newest: str | None = None
        self._paired: str | None = None
        self._done = 0
        self.packs = self.bytes = 0

    def is_same(self, name: str) -> bool:
        """Equal in what tells levels, or files, apart."""
        same = same_root(name, self._source.read_root(name), self._target.read_root(name))
        if same and name.startswith(LEVELS):
            self._newest = name
        return same

    def bring(self, name: str) -> Commit:
        """See sync.Carrier."""
        if self._newest:
            self._rekeyer.pair(self._source.read_root(self._newest), self._target.read_root(self._newest))
            self._paired, self._newest = self._newest, None
        root = self._source.read_root(name)
        made = self._rekeyer.wal(root) if name.startswith(WAL) else self._rekeyer.level(root)
        self._done += 1
        self._report(Progress("levels", self._done, self._rekeyer.read, self._sink.new_bytes, current=name))
        return lambda writer: self._commit(writer, name, made)

    def _commit(self, writer: Writer, name: str, root: dict[str, Any]) -> None:
        inherited = None
        if self._paired is not None and not name.startswith(WAL):
            # What pairs up was taken over from that level without a look at where it lies.
            ref = level_of(name)
            assert ref is not None, "a root that is of no WAL file is of a level"
            level = from_root(ref, root)
            inherited = Inherited(self._paired, lambda: manifest_chunks(self._target, level))
        writer.commit(name, root, inherited)
        self.packs, self.bytes = writer.packs, writer.stored_bytes
