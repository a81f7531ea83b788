"""Which roots a sync copies: from words to names. Pure.

0/1, latest, name:0/1      a level         0, name:0      a group         nothing: all levels, and all WAL
"""

from collections.abc import Sequence

from .levels import LevelRef
from .resolving import named, resolve_ref


def select_levels(refs: Sequence[LevelRef], words: Sequence[str]) -> list[LevelRef]:
    """The levels that the words name, sorted; all where there is none. Raises LevelNotFound."""
    if not words:
        return sorted(refs)
    return sorted({ref for word in words for ref in _named(refs, word)})


def _named(refs: Sequence[LevelRef], word: str) -> set[LevelRef]:
    group = word.rpartition(":")[2]
    return named(refs, word) if group.isdecimal() else {resolve_ref(refs, word)}
