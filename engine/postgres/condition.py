"""The condition of a cluster: everything that decides whether it can be backed up and archived, as plain data.

Rule: what the role may not see is None, or missing among the settings. Nothing is judged here (`readiness` does that),
and no server is asked (`inquiry`). The data are of one moment.
"""

from collections.abc import Mapping

from msgspec import Struct

from .facts import Tablespace
from .slots import Slot
from .standby import Supply
from .unlogged import Unlogged


class Link(Struct, frozen=True, kw_only=True):
    """The connection: `tls` is the version of TLS, or GSSAPI, or empty; `verified`: the server's name is compared with
    its certificate; `near`: over a socket of this host or the loopback.
    """

    tls: str
    verified: bool
    near: bool


class Role(Struct, frozen=True, kw_only=True):
    """`sees_settings`: all of them, as pg_read_all_settings may."""

    name: str
    replication: bool
    sees_settings: bool


class Archiver(Struct, frozen=True, kw_only=True):
    """pg_stat_archiver. Times as the server writes them, in UTC. `failing`: the last try, of `failed_wal`, failed."""

    archived_wal: str | None
    archived_at: str | None
    failed_wal: str | None
    failed_at: str | None
    failures: int
    failing: bool


class Slots(Struct, frozen=True, kw_only=True):
    """The replication slots of the cluster: physical ones, and the names of the logical ones."""

    physical: tuple[Slot, ...]
    logical: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.physical) + len(self.logical)

    def named(self, name: str) -> Slot | None:
        """The physical slot of that name."""
        return next((slot for slot in self.physical if slot.name == name), None)


class Refusal(Struct, frozen=True):
    """Why a replication connection was refused, and what to do."""

    message: str
    hint: str


class Condition(Struct, frozen=True, kw_only=True):
    """`settings` holds those that exist in this version and that the role may see; `waiting` those that were changed
    and wait for a restart. `senders` counts the WAL senders at work. `position` is where WAL is written, on a standby
    (in_recovery) where it is received; `supply` is there for a standby alone. `written_whole`: full_page_writes as the
    WAL of the last checkpoint had it. `clock` is how many seconds the server's clock is ahead of ours, give or take
    `clock_doubt`.
    """

    version_num: int
    link: Link
    role: Role
    settings: Mapping[str, str]
    waiting: frozenset[str]
    in_recovery: bool
    position: int | None
    supply: Supply | None
    senders: int | None
    slots: Slots | None
    archiver: Archiver | None
    written_whole: bool | None
    tablespaces: tuple[Tablespace, ...]
    unlogged: Unlogged
    clock: float
    clock_doubt: float
    refusal: Refusal | None

    def number(self, setting: str) -> int:
        """A setting that every role may see and that is a number."""
        return int(self.settings[setting])

    def on(self, setting: str) -> bool:
        """Whether a setting is on; one that this version does not know is not."""
        return self.settings.get(setting) == "on"
