"""The names of compressions, as the command line and the settings file take them.

Rule: a name is checked before anything is made or asked for. What a name means is the store's word; these are those
that it knows.
"""

from .mistake import Mistake

NAMES = frozenset(("zstd", "lz4", "none", *(f"zstd:{level}" for level in range(1, 20))))
IN_WORDS = "zstd, zstd:1 to zstd:19, lz4, none"


def check_compression(name: str | None, *, source: str = "--compression") -> str | None:
    """The name, or None where none was given. Mistake for any other; `source` is where it stands."""
    if name is None or name in NAMES:
        return name
    raise Mistake(f"{source}: there is no compression {name!r}", hint=f"the names are {IN_WORDS}")
