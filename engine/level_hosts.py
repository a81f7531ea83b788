"""A level as one of its hosts sees it, where several have each a copy of the same file sets.

Rule: pure. A path means something on one host alone, and so does the number of an owner: whoever lists, compares or
writes archives takes one host after the other. A level of one host, named or not, is as it is.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from .errors import NothingSelected
from .levels import Level, LevelRef

T = TypeVar("T")


def hosts_of(level: Level) -> tuple[str, ...]:
    """The hosts that have file sets in a level, in its order; the nameless one where hosts have no names."""
    return tuple(dict.fromkeys(files.host for files in level.sets))


def of_host(level: Level, host: str) -> Level:
    """What a host has of a level. Raises NothingSelected where that is nothing."""
    there = hosts_of(level)
    if host not in there:
        names = ", ".join(filter(None, there)) or "its host has no name"
        raise NothingSelected(f"level {level.ref} has nothing of host '{host}'", hint=f"it has: {names}")
    owners, groups = level.names_of(host)
    sets = tuple(files for files in level.sets if files.host == host)
    return replace(level, sets=sets, owners=owners, groups=groups, names_on={})


def by_host(level: Level, host: str | None = None) -> tuple[tuple[str, Level], ...]:
    """(host, what it has) for each host of a level, or for one. A level of one host is given whole, and its name is
    empty: nobody has to be told. Raises NothingSelected.
    """
    if host is not None:
        return ((host, of_host(level, host)),)
    several = hosts_of(level)
    return tuple((each, of_host(level, each)) for each in several) if len(several) > 1 else (("", level),)


def of_each_host(level: Level, host: str | None, ask: Callable[[Level], Iterator[T]]) -> Iterator[tuple[str, T]]:
    """What there is on each host, with its name. Raises NothingSelected where there is nothing on any."""
    nothing: NothingSelected | None = None
    any_host = False
    for name, mine in by_host(level, host):
        try:
            for found in ask(mine):
                any_host = True
                yield name, found
        except NothingSelected as error:
            nothing = error
    if nothing is not None and not any_host:
        raise nothing


def tar_name_of(ref: LevelRef, host: str) -> str:
    """The name of the archive of what a host has of a level: that of a deployment of its own, `app.node2`."""
    return (replace(ref, deployment=f"{ref.deployment}.{host}") if host else ref).tar_name
