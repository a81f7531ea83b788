"""All roots below wal/, one after the other, for who has to know everything that the archive refers to.

Rule: a root that cannot be read is noted as damage, and the others are looked at. One that vanished since it was listed
is no damage: an open part is removed as soon as a longer one, or the whole segment, is archived. That a root is gone
that ought to be there is seen in the names (archive_catalog: a gap), and not here.
Memory: the names.
"""

from collections.abc import Iterator

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store, fault_of, in_parallel

from ..verify_damage import DamageLog
from .archive_names import WAL
from .archive_record import ArchivedFile, read_object

# Roots are small and many, one a segment: several requests at once hide what each of them waits.
THREADS = 4


class WalRoots:
    """The WAL files of a store, listed when this is made. `lost`: the objects that cannot be read."""

    def __init__(self, store: Store, log: DamageLog) -> None:
        self._store, self._log = store, log
        self.names = list(store.root_names(WAL))
        self.lost: set[str] = set()

    def files(self) -> Iterator[tuple[str, ArchivedFile]]:
        """(object, what it says) of each that can be read. Raises BackendError, NoKey, NewerFormat."""
        for name, found in in_parallel(self._read, self.names, THREADS):
            if isinstance(found, ArchivedFile):
                yield name, found
            elif not isinstance(found, ObjectMissing):
                self.lost.add(name)
                self._log.add(name, fault_of(name, found, self._store.backend).error)

    def _read(self, name: str) -> tuple[str, ArchivedFile | Corrupt | ObjectMissing | BackendError]:
        try:
            return name, read_object(self._store, name)
        except (Corrupt, ObjectMissing, BackendError) as error:
            return name, error
