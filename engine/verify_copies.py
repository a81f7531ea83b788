"""Looking for other copies of lost chunks: two hosts that back up the same at once both store it.

Rule: a copy counts only after its frame was read and opened here. A frame that turns out damaged loses its chunks,
too, and the search goes on for these. Memory grows with the lost chunks; each round reads every footer of the store
once.
"""

from collections.abc import Collection

from siltstone.store import (
    BackendError,
    Corrupt,
    Footer,
    ObjectMissing,
    Place,
    Store,
    footer_keys,
    pack_object,
)

from .verify_census import Census
from .verify_damage import DamageLog, Key, frame_opens
from .verify_manifests import key_of


def lose_frames_chunks(store: Store, census: Census, log: DamageLog) -> None:
    """Enter the chunks of all frames that do not open into the log."""
    for pack, frames in log.frames.items():
        try:
            footer = store.footer(pack)
        except (Corrupt, ObjectMissing, BackendError) as error:
            census.discard(pack, str(error))
            continue
        for frame in frames:
            log.lose(pack_object(pack), map(key_of, footer.frames[frame].ids))


def find_copies(store: Store, census: Census, log: DamageLog, wanted: Collection[Key]) -> None:
    """Find intact copies of the log's lost chunks, and of the `wanted` ones; they go to `log.copies`."""
    looked_for: set[Key] = set()
    while True:
        lose_frames_chunks(store, census, log)
        sought = {key for key in (*log.lost, *wanted) if key not in log.copies}
        if sought <= looked_for:
            return
        looked_for = sought
        _search(store, census, log, sought)


def _search(store: Store, census: Census, log: DamageLog, sought: set[Key]) -> None:
    import numpy

    keys = numpy.array(sorted(sought), dtype=numpy.uint64)
    for _, footer in census.footers(list(range(len(census.packs)))):
        held = footer_keys(footer)
        hits = held[numpy.isin(held, keys)]
        if len(hits):
            _prove(store, log, footer, set(hits.tolist()))


def _prove(store: Store, log: DamageLog, footer: Footer, hits: set[Key]) -> None:
    bad = log.frames.get(footer.pack, set())
    for number, frame in enumerate(footer.frames):
        held = [(slot, key_of(chunk)) for slot, chunk in enumerate(frame.ids)]
        wanted = [(slot, key) for slot, key in held if key in hits and key not in log.copies]
        if wanted and number not in bad and frame_opens(store, log, footer.pack, number):
            log.copies |= {key: Place(footer.pack, number, slot) for slot, key in wanted}
