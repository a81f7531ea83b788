"""What a restored cluster does when it is started: how far it recovers, and from where it gets WAL.

Rule: settings go to the end of postgresql.auto.conf, where the last word of a name counts, below a line that says whose
they are; recovery.signal asks for archive recovery. Without a target there is neither: backup_label and the WAL that
came with the backup bring a server to the backup's end, and no further. standby.signal, which a standby's base backup
brings along, always goes.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

_AUTO_CONF = b"postgresql.auto.conf"
_SIGNALS = (b"recovery.signal", b"standby.signal")
_HEADER = "# Written by silt restore.\n"

Kind = Literal["latest", "immediate", "time", "lsn", "xid", "name"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery target: `value` is a moment with its zone, an LSN, a transaction or a restore point, as PostgreSQL
    writes them. `restore_command` fetches WAL.
    """

    kind: Kind
    restore_command: str
    value: str = ""
    timeline: str = "latest"
    inclusive: bool = True
    action: Literal["promote", "pause", "shutdown"] = "promote"


def settings_of(recovery: Recovery) -> dict[str, str]:
    """The server's settings for a target."""
    settings = {"restore_command": recovery.restore_command, "recovery_target_timeline": recovery.timeline}
    # What the old cluster had set must not add a second target: the server refuses two.
    settings |= {f"recovery_target{suffix}": "" for suffix in ("", "_time", "_lsn", "_xid", "_name")}
    if recovery.kind == "immediate":
        settings["recovery_target"] = "immediate"
    elif recovery.kind != "latest":
        settings[f"recovery_target_{recovery.kind}"] = recovery.value
        settings["recovery_target_inclusive"] = "on" if recovery.inclusive else "off"
    settings["recovery_target_action"] = recovery.action
    return settings


def write_recovery(target: bytes, recovery: Recovery | None, *, keep_archiving: bool) -> None:
    """Write the settings into the data directory at `target`. Raises OSError."""
    settings = {} if keep_archiving else {"archive_mode": "off"}
    settings |= settings_of(recovery) if recovery else {}
    owner = os.stat(target)
    for name in _SIGNALS:
        with suppress(FileNotFoundError):
            os.unlink(target + b"/" + name)
    if settings:
        text = _HEADER + "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        _append(target + b"/" + _AUTO_CONF, text, owner)
    if recovery:
        _append(target + b"/recovery.signal", "", owner)


def _append(path: bytes, text: str, owner: os.stat_result) -> None:
    with open(path, "a", encoding="utf-8", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(text)
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _quoted(value: str) -> str:
    """As postgresql.conf quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
