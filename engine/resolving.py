"""From a user's words to levels: `0/1`, `latest`, `name:0/1`, `name:latest`; and `0`, `name:0` where groups are meant.

Rule: pure, but for `resolve`. Words without a name mean the one deployment that the store holds. The configuration-only
backups of another deployment there (`name.config` beside `name`) count only where they are named: they come and go
beside it, and a word that meant something yesterday means the same today.
"""

from collections.abc import Iterable, Sequence

from siltstone.store import Store, VoidRoot

from .errors import LevelNotFound
from .levels import CONFIG_SUFFIX, Level, LevelRef, level_refs, read_level
from .parts import incomplete_refs

_LISTED = "'silt list' shows what there is"


def meant(refs: Iterable[LevelRef], deployment: str) -> list[LevelRef]:
    """The levels that words behind this name of a deployment may mean; behind none, where it is empty."""
    refs = list(refs)
    if deployment:
        return [ref for ref in refs if ref.deployment == deployment]
    derived = {ref.deployment + CONFIG_SUFFIX for ref in refs}
    return [ref for ref in refs if ref.deployment not in derived]


def named(refs: Iterable[LevelRef], word: str) -> set[LevelRef]:
    """The levels that a word means: of `0` or `name:0` all of the group, of `0/3` one. Raises LevelNotFound."""
    deployment, _, which = word.rpartition(":")
    group, slash, level = which.partition("/")
    if not group.isdecimal() or (slash and not level.isdecimal()):
        raise LevelNotFound(f"'{word}' names no group and no level", hint="write 0 for a group, 0/3 for a level")
    mine = meant(refs, deployment)
    found = {ref for ref in mine if ref.group == int(group) and (not slash or ref.level == int(level))}
    if not found:
        raise LevelNotFound(f"there is no {'level' if slash else 'group'} {word}", hint=_LISTED)
    _check_one(mine, word, min(found), which)
    return found


def resolve_ref(refs: Sequence[LevelRef], spec: str) -> LevelRef:
    """The level that a user's words name: 'latest', '0/1', 'name:0/1', 'name:latest'. Raises LevelNotFound."""
    deployment, _, which = spec.rpartition(":")
    mine = meant(refs, deployment)
    if not mine:
        names = sorted({ref.deployment for ref in refs})
        what = f"deployment '{deployment}' has no backup in this store" if deployment else "the store holds no backup"
        raise LevelNotFound(what, hint=f"it holds: {', '.join(names)}" if names else "run 'silt backup' first")
    if which == "latest":
        _check_one(mine, spec, min(mine), which)
        return max(mine)
    group, _, level = which.partition("/")
    if not (group.isdecimal() and level.isdecimal()):
        raise LevelNotFound(f"'{spec}' names no level", hint="write group/level as in 0/1, or latest")
    (found,) = named(mine, spec)
    return found


def _check_one(mine: Iterable[LevelRef], word: str, example: LevelRef, which: str) -> None:
    """Raises LevelNotFound where the words may mean levels of several deployments."""
    if len({ref.deployment for ref in mine}) > 1:
        raise LevelNotFound(
            f"'{word}' is ambiguous: the store holds several deployments",
            hint=f"write for example {example.deployment}:{which}",
        )


def resolve(store: Store, spec: str) -> Level:
    """See `resolve_ref`; reads the level. LevelNotFound says it where parts of the level are missing."""
    refs = level_refs(store)
    while True:
        try:
            ref = resolve_ref(refs, spec)
        except LevelNotFound:
            _check_whole(store, refs, spec)
            raise
        try:
            return read_level(store, ref)
        except VoidRoot:  # of a session that had been given up: it counts for nobody
            refs.remove(ref)


def _check_whole(store: Store, refs: Sequence[LevelRef], spec: str) -> None:
    """Raises LevelNotFound where the words name a level that is not whole."""
    unfinished = incomplete_refs(store)
    ref = resolve_ref([*refs, *unfinished], spec)
    if ref in unfinished:
        hint = "'silt list' says which parts are missing; 'silt restore --onto FILE --allow incomplete' takes the rest"
        raise LevelNotFound(f"level {spec} is incomplete: not all hosts have sent their parts", hint=hint)
