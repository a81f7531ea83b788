"""What a verification is asked for, and what it answers: budget, damage, coverage.

Rule: damage names the object, says in one clause what is wrong, and lists every level and file that needs what was
lost. An object whose loss concerns nobody (an index segment; a chunk of which there is another copy) is damage all the
same, with empty lists. Levels are written `deployment:group/level`, which is also how a user may name them.
"""

import re

from msgspec import Struct, field

from .amount import parse_amount
from .errors import ConfigError

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Budget(Struct, frozen=True):
    """How much of the packs is read: `share` of their bytes (0 to 1), or `bytes`.

    The pack that it ends in is read whole.
    """

    share: float = 0.0
    bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """'none', 'all', '10%', '50GiB' (1024s; '50GB' counts 1000s). Raises ConfigError."""
        words = text.strip().lower()
        if words in ("none", "all"):
            return cls(1.0 if words == "all" else 0.0)
        match = _SHARE.fullmatch(words)
        if match and float(match[1]) <= 100:
            return cls(float(match[1]) / 100)
        if (amount := parse_amount(words)) is not None:
            return cls(bytes=amount)
        raise ConfigError(f"'{text}' is no amount of data to read", hint="write none, all, 10% or 50GiB")

    def limit(self, total: int) -> int:
        """How many bytes of a store whose packs have `total`."""
        return round(total * self.share) if self.bytes is None else min(total, self.bytes)


NO_DATA, ALL_DATA = Budget(0.0), Budget(1.0)


class Stretch(Struct, frozen=True):
    """Entries of a level that cannot even be listed: of a file set, from the path `first` on and before `after`.

    None: from the beginning, to the end, or nobody knows how many `entries`. A set without a name: all of the level.
    """

    set_name: str = ""
    first: bytes | None = None
    after: bytes | None = None
    entries: int | None = None


class Shortened(Struct, frozen=True):
    """Recovery from a level that gets less far: on the way to the end of a timeline up to LSN `end`, and no more to
    `was`. `moment`: of the last commit before that (microseconds since 1970 UTC); None where none was found.
    """

    timeline: int
    end: int
    was: int
    moment: int | None = None


class Damage(Struct):
    """One damaged or missing object; a name that ends in '/' is of a folder in which something is missing.

    `chunks` are lost with it; of `copies` more there is another copy that was read and is intact. `levels` has every
    level concerned, with the paths whose content or attributes need a lost chunk; `unlisted` has, for some of these
    levels, what cannot be listed any more. `wal` has every WAL file concerned, as system identifier/name, and `reach`
    the levels from which recovery gets less far without them.
    """

    object: str
    error: str
    chunks: int = 0
    copies: int = 0
    levels: dict[str, list[bytes]] = field(default_factory=dict)
    unlisted: dict[str, list[Stretch]] = field(default_factory=dict)
    wal: list[str] = field(default_factory=list)
    reach: dict[str, list[Shortened]] = field(default_factory=dict)


class Coverage(Struct, frozen=True):
    """Which part of the packs' bytes was read whole and found intact within the last `days`, by whichever host.

    `oldest_ns`: since when all packs were (ns since 1970); None while one of them never was, or there are none.
    """

    days: int
    share: float
    oldest_ns: int | None


class VerifyResult(Struct, frozen=True):
    """What was looked at, and what was found. `entries` counts an entry that levels share once.

    `wal_files` are the archived ones; `wal_gaps` what is missing between them, which no verification can tell from WAL
    that never came. `unreferenced` packs are in no index: of a backup that is under way or was cut off, whose next one
    uses them.
    """

    levels: int
    entries: int
    wal_files: int
    wal_gaps: list[str]
    chunks: int
    packs: int
    bytes: int
    packs_read: int
    bytes_read: int
    unreferenced: int
    unreferenced_bytes: int
    damaged: list[Damage]
    coverage: Coverage
