"""Roots that are damaged: put back from another store, or named.

Rule: a root is put back with all that it needs: packs from a copy of this store, contents from a store with other keys.
A damaged root is replaced by the one that bears its name there; that is the same level unless both stores were backed
up into, which the plan leaves to whoever reads it.
"""

from collections.abc import Iterator
from functools import partial

from siltstone.store import (
    Corrupt,
    NewerFormat,
    ObjectMissing,
    Remedy,
    Store,
    VoidRoot,
    are_twins,
    listed_packs,
)

from .levels import PARTS, level_refs, part_object
from .parts import part_names
from .rekey import Rekeyer
from .root_chunks import level_of
from .sync_twin import TwinCarrier

ADVICE = "put it back from a copy of the store, or use --from; other levels do not need it"
ADVICE_PART = "use --from; without it its level cannot become whole: 'silt forget' it, and back up again"
ADVICE_WAL = "recovery stops at this file; put it back from a copy of the store, or use --from"


def mend_roots(store: Store, partner: Store | None = None) -> Iterator[Remedy]:
    """Roots of levels, parts and WAL files that cannot be read. Their chunks may be there; what leads there is not."""
    names = [ref.name for ref in level_refs(store)] + [part_object(*each) for each in part_names(store)]
    for name in (*names, *store.root_names("wal/")):
        try:
            store.read_root(name)
        except VoidRoot:
            continue  # of a session that had been given up: it counts for nobody
        except (Corrupt, ObjectMissing, NewerFormat) as error:
            yield _remedy(store, name, error, partner)
    if not names and any(True for _ in listed_packs(store.backend)):
        advice = "put backups/ back from a copy: 'silt sync' copies them from another store"
        yield Remedy("backups/", "no level is there, although there are packs", advice=advice)


def _remedy(store: Store, name: str, error: Corrupt | ObjectMissing | NewerFormat, partner: Store | None) -> Remedy:
    wrong = str(error).removeprefix(f"{name}: ")
    advice = ADVICE_PART if name.startswith(PARTS) else ADVICE if level_of(name) else ADVICE_WAL
    if partner is None or isinstance(error, NewerFormat) or not _is_whole(partner, name):
        return Remedy(name, wrong, advice=advice)
    put_back = _from_twin if are_twins(store.opened, partner.opened) else _from_other
    action = f"put it back from {partner.backend.location}, with what it needs"
    return Remedy(name, wrong, action, apply=partial(put_back, store, name, partner))


def _is_whole(partner: Store, name: str) -> bool:
    try:
        partner.read_root(name)
    except (Corrupt, ObjectMissing, NewerFormat):
        return False
    return True


def _from_twin(store: Store, name: str, twin: Store) -> None:
    with store.writer() as writer:
        TwinCarrier(twin, store, writer, lambda _: None).bring(name)
        writer.commit(name, twin.read_root(name), replace=True)


def _from_other(store: Store, name: str, other: Store) -> None:
    with store.writer() as writer:
        rekeyer, root = Rekeyer(other, store, writer), other.read_root(name)
        made = rekeyer.level(root) if level_of(name) else rekeyer.wal(root)
        writer.commit(name, made, replace=True)
