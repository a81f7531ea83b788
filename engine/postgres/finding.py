"""One finding about a cluster, and the commands that mend things.

Rule: a finding is one sentence about one thing, and what mends it is a command for psql or a setting to write, exactly
as it is to be typed. Most of them need a superuser; that the role of the backup has such power is never assumed.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from .condition import Condition

State: TypeAlias = Literal["ok", "note", "warning", "fault"]


class Finding(Struct, frozen=True):
    """`what` is its short name. A note needs nothing done; with a warning backups work, and something may be lost or
    fail later; with a fault they do not work. `restart`: what mends it counts from the server's next start.
    """

    what: str
    state: State
    sentence: str
    mend: str = ""
    restart: bool = False


def set_and_reload(setting: str, value: str) -> str:
    """The commands that change a setting at once."""
    return f"ALTER SYSTEM SET {setting} = {value}; SELECT pg_reload_conf();"


def needs_restart(what: str, state: State, sentence: str, condition: Condition, setting: str, value: str) -> Finding:
    """A finding about a setting that counts from the next start; it may have been changed and only wait for that."""
    if setting in condition.waiting:
        return Finding(what, state, f"{sentence}; it was changed, and waits for a restart", "", restart=True)
    return Finding(what, state, sentence, f"ALTER SYSTEM SET {setting} = {value};", restart=True)


def amount(size: int) -> str:
    """An amount of WAL: 3 MiB, 12 GiB."""
    return f"{size / (1 << 30):.0f} GiB" if size >= 10 << 30 else f"{size / (1 << 20):.0f} MiB"
