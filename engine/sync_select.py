"""Which roots a sync copies: from words to names. Pure.

0/1, latest, name:0/1      a level         0, name:0      a group         nothing: all levels, and all WAL
"""

from collections.abc import Sequence

from .errors import LevelNotFound
from .levels import LevelRef, resolve_ref


def select_levels(refs: Sequence[LevelRef], words: Sequence[str]) -> list[LevelRef]:
    """The levels that the words name, sorted; all where there is none. Raises LevelNotFound."""
    if not words:
        return sorted(refs)
    return sorted({ref for word in words for ref in _named(refs, word)})


def _named(refs: Sequence[LevelRef], word: str) -> list[LevelRef]:
    deployment, _, which = word.rpartition(":")
    if not which.isdecimal():
        return [resolve_ref(refs, word)]
    found = [ref for ref in refs if ref.group == int(which) and deployment in ("", ref.deployment)]
    names = {ref.deployment for ref in found}
    if len(names) > 1:
        raise LevelNotFound(
            f"'{word}' is ambiguous: the store holds several deployments",
            hint=f"write for example {min(names)}:{which}",
        )
    if not found:
        raise LevelNotFound(f"there is no group {word}", hint="'silt list' shows what there is")
    return found
