"""The record of what a verification finds: faults by object, lost chunks by key, copies of these that are intact.

Rule: an object is one entry however many faults it has, and its first fault is reported at once: a verification of days
must not keep it to itself. Memory grows with the damage, never with the store.
"""

from collections.abc import Iterable

from siltstone.store import BackendError, Corrupt, ObjectMissing, PackName, Place, Store, pack_object, raise_if_away

from .events import Report, Warned
from .verify_result import Damage

Key = int  # the first 8 bytes of a chunk's id, as a number


class DamageLog:
    """Faults and lost chunks. One thread."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._errors: dict[str, list[str]] = {}
        self.lost: dict[Key, tuple[str, ...]] = {}  # a chunk, and the objects that were lost with it
        self.copies: dict[Key, Place] = {}  # where a lost chunk can be had after all
        self.frames: dict[PackName, set[int]] = {}  # that do not open

    def add(self, name: str, error: str) -> None:
        """An object is damaged. Saying the same twice changes nothing."""
        errors = self._errors.setdefault(name, [])
        if error not in errors:
            errors.append(error)
            if len(errors) == 1:
                self._report(Warned("damaged", name, error))

    def lose(self, name: str, keys: Iterable[Key]) -> None:
        """These chunks were in a damaged object."""
        for key in keys:
            owners = self.lost.get(key, ())
            if name not in owners:
                self.lost[key] = (*owners, name)

    def lose_frames(self, pack: PackName, frames: Iterable[int], error: str) -> None:
        """These frames of a pack do not open; which chunks they hold is told by `lose`, once all are known."""
        self.frames.setdefault(pack, set()).update(frames)
        self.add(pack_object(pack), error)

    def gone(self) -> dict[Key, tuple[str, ...]]:
        """The chunks that are lost for good."""
        return {key: owners for key, owners in self.lost.items() if key not in self.copies}

    def damages(self) -> dict[str, Damage]:
        """One for each object, without levels."""
        found = {name: Damage(name, "; ".join(errors)) for name, errors in sorted(self._errors.items())}
        for key, owners in self.lost.items():
            for owner in owners:
                if key in self.copies:
                    found[owner].copies += 1
                else:
                    found[owner].chunks += 1
        for damage in found.values():
            if damage.copies and not damage.chunks:
                damage.error += "; nothing is lost: there is another copy of every chunk"
                damage.error += ", and 'silt repair' removes this one" if damage.object.startswith("packs/") else ""
        return found


def frame_opens(store: Store, log: DamageLog, pack: PackName, frame: int) -> bool:
    """Whether a frame opens; enters it into the log where it does not. Raises BackendError when the storage is away."""
    try:
        for _ in store.read_frames(pack, [frame]):
            pass
    except (Corrupt, BackendError) as error:
        if isinstance(error, BackendError):
            raise_if_away(store.backend)
        verb = "cannot be read" if isinstance(error, BackendError) else "does not open"
        log.lose_frames(pack, [frame], f"frame {frame} {verb}")
        return False
    except (ObjectMissing, IndexError):  # the pack is gone, or the index names a frame that it does not have
        return False
    return True
