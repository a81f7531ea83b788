"""Packs that are damaged or gone: put back from where they are whole, or removed once nothing in them is needed.

    parity         of this store: the stripe gives the pack
    a twin         another copy of this store: it has the pack under the same name
    other packs    every chunk of it lies elsewhere, too (a backup healed it): it is removed, or forgotten
    other keys     a store with other keys has the same levels: their contents are stored again, chunk by chunk

Rule: which packs are damaged is known from the notes of `verify` and `scrub`; contents are not read to find more. What
is put back is compared with its name first and takes the damaged object's place at once; what is removed is removed
after every chunk of it was read elsewhere. What has no source stays as it is: not all of it may be lost.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from msgspec import Struct

from siltstone.store import (
    Corrupt,
    PackCopier,
    PackList,
    PackName,
    ParityCoder,
    Remedy,
    Store,
    Stripe,
    are_twins,
    is_healed,
    is_replaced,
    listed_packs,
    move_and_remove,
    pack_object,
    remove_replaced_pack,
    scrubbed_notes,
    sound_stripes,
    stripe_of,
    verified_notes,
)

from .rekey import store_again

MISSING = "it is missing"
ADVICE = "'silt verify' names the files; a backup that still has their content stores it again; or use --from"


class Sources(Struct, frozen=True):
    """Where packs may come from. `stripes`: by pack; `twin`: a copy of this store with its packs; `other`: a store with
    other keys.
    """

    bad: frozenset[PackName]
    stripes: Mapping[PackName, Stripe]
    twin: Store | None
    twin_packs: Collection[PackName]
    other: Store | None


def mend_packs(store: Store, partner: Store | None = None) -> Iterator[Remedy]:
    """A remedy for each pack that is damaged or missing; where none helps, one that says so."""
    there = dict(listed_packs(store.backend))
    stripes = stripe_of(sound_stripes(store.backend)[0])
    missing = (store.index.packs(by_damaged=True) | stripes.keys()) - there.keys()
    damaged = store.index.suspect & there.keys()
    store.index.lost |= missing  # so that a chunk is looked for elsewhere
    sources = _sources(store, partner, frozenset(missing | damaged), stripes)
    unmended = 0
    for pack in sorted(missing | damaged):
        wrong = MISSING if pack in missing else "it was damaged when it was last read"
        remedy = _remedy(store, pack, wrong, sources)
        unmended += remedy.apply is None
        yield remedy
    if unmended and sources.other is not None:
        yield Remedy(
            "packs/",
            f"{unmended} packs are damaged or missing",
            f"store again what {sources.other.backend.location} has of the levels that are in both",
            "then run 'silt repair' again: damaged packs whose chunks are all elsewhere are removed",
            partial(store_again, sources.other, store),
        )


def _sources(
    store: Store, partner: Store | None, bad: frozenset[PackName], stripes: Mapping[PackName, Stripe]
) -> Sources:
    twins = partner is not None and are_twins(store.opened, partner.opened)
    if partner is None or not twins:
        return Sources(bad, stripes, None, (), partner)
    packs = {pack for pack, _ in listed_packs(partner.backend)}
    return Sources(bad, stripes, partner, packs - partner.index.suspect, None)


def _remedy(store: Store, pack: PackName, wrong: str, sources: Sources) -> Remedy:
    name = pack_object(pack)
    if is_replaced(store, pack):
        verb = "forget it" if wrong == MISSING else "remove it"
        action = f"{verb}: every chunk of it lies in other packs too"
        return Remedy(name, wrong, action, apply=partial(remove_replaced_pack, store, pack))
    stripe = sources.stripes.get(pack)
    if stripe is not None and _is_enough(stripe, sources.bad):
        return Remedy(name, wrong, "rebuild it from parity", apply=partial(_rebuild, store, pack, stripe, sources.bad))
    if sources.twin is not None and pack in sources.twin_packs:
        action = f"take it from {sources.twin.backend.location}"
        return Remedy(name, wrong, action, apply=partial(_fetch, store, pack, sources.twin))
    if wrong != MISSING and is_healed(store, pack):
        action = "store again what is intact in it, and remove it: the rest lies in other packs too"
        return Remedy(name, wrong, action, apply=partial(move_and_remove, store, pack))
    return Remedy(name, wrong, advice=ADVICE)


def _is_enough(stripe: Stripe, bad: Collection[PackName]) -> bool:
    lost = sum(1 for member in stripe.members if member.pack in bad)
    return lost <= len(stripe.objects)


def _rebuild(store: Store, pack: PackName, stripe: Stripe, bad: Collection[PackName]) -> None:
    there = {found for found, _ in listed_packs(store.backend)}
    if pack in there and pack not in store.index.suspect:
        return  # another pack of its stripe was rebuilt, and this one with it
    still = {member.pack for member in stripe.members} & set(bad)
    still = {each for each in still if each not in there or each in store.index.suspect}
    coder = ParityCoder(store.backend)
    try:
        rebuilt = coder.rebuild(stripe, still | {pack})
    finally:
        coder.close()
    if pack not in rebuilt:
        raise Corrupt(pack_object(pack), "too much of its stripe is damaged or missing")
    for each, content in rebuilt.items():
        store.backend.replace(pack_object(each), [content])
        _mended(store, each)


def _fetch(store: Store, pack: PackName, twin: Store) -> None:
    copied = PackCopier(twin.reader, twin.backend, store.backend).copy(pack, replace=True)
    if copied.error:
        raise Corrupt(pack_object(pack), f"in {twin.backend.location} {copied.error}")
    _mended(store, pack)


def _mended(store: Store, pack: PackName) -> None:
    """The pack is whole: writers may rely on it again."""
    store.index.suspect -= {pack}
    store.index.lost -= {pack}
    only = PackList([(pack, 1)])
    for notes in (verified_notes(store.opened, only), scrubbed_notes(store.backend, only)):
        notes.remember(time.time_ns(), [0], [])
