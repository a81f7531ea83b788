"""What is live: every chunk that any root of a store refers to, of levels and of archived WAL alike.

    levels ---> manifests ---> entries, extent lists, records of cells ---> chunks
    copies of forgotten levels, as long as they can be undeleted: likewise
    wal/   ---> extents of a WAL file, its commit index                ---> chunks

Rule: one walk for everybody who has to know, so that nobody forgets a kind of root. What cannot be read is noted in the
log and left out, and `complete` is False then: a verification goes on, and who means to remove what is not live must
not. The roots are listed when a Live is made; that has to be before the index is read. Memory: the names of the roots,
and what Manifests needs.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store, fault_of

from .forgotten import Copy, copies, until_ns
from .levels import Level, read_level
from .postgres.archive_roots import WalRoots
from .verify_damage import DamageLog
from .verify_manifests import BATCH, Manifests, extent_columns
from .verify_roots import read_roots

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


class Live:
    """The roots of a store and what they refer to. One thread.

    `levels` can be read, `lost_roots` cannot. Raises BackendError when the storage is away, NoKey,
    NewerFormat.
    """

    def __init__(self, store: Store, log: DamageLog) -> None:
        self.levels, self.lost_roots = read_roots(store, log)
        # After the levels: forgetting moves them here.
        self._copy_names, self.forgotten, self._lost_copies = _read_copies(store, log)
        self.wal = WalRoots(store, log)
        self.manifests = Manifests(store, self.levels, log)
        self._copies = Manifests(store, self.forgotten, log)

    @property
    def names(self) -> list[str]:
        """The names of the roots of levels, and of copies of forgotten ones."""
        return [level.name for level in self.levels] + self._copy_names

    @property
    def complete(self) -> bool:
        """Whether references(), once it was walked through, gave all there are."""
        lost = self.lost_roots or self._lost_copies or self.wal.lost
        return not (lost or any(each.unreadable or each.senseless for each in (self.manifests, self._copies)))

    def references(
        self, tell: Callable[[int], None]
    ) -> Iterator[tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]]:
        """Every reference to a chunk, as arrays of keys (verify_manifests.key_of) and ends (offset + length).

        Of what several manifests share it is given once; otherwise a chunk may come often. `tell` hears how many
        entries of levels were looked at. Can be asked again, and reads everything again then.
        """
        yield from self.manifests.references(tell)
        yield from self._copies.references(tell)
        batch = bytearray()
        for _, file in self.wal.files():
            batch += file.references
            if len(batch) >= BATCH:
                yield extent_columns(bytes(batch))
                batch.clear()
        yield extent_columns(bytes(batch))


def _read_copies(store: Store, log: DamageLog) -> tuple[list[str], list[Level], list[Copy]]:
    """The forgotten levels that can still be undeleted, with the names of their copies; and copies that are damaged."""
    names: list[str] = []
    levels: list[Level] = []
    lost: list[Copy] = []
    now = time.time_ns()
    for copy in copies(store):
        if until_ns(store, copy) < now:
            continue
        try:
            levels.append(read_level(store, copy.ref, copy.name))
            names.append(copy.name)
        except ObjectMissing:
            continue  # undeleted meanwhile, by a session whose end is waited for
        except (Corrupt, BackendError) as error:
            log.add(copy.name, fault_of(copy.name, error, store.backend).error)
            lost.append(copy)
    return names, levels, lost
