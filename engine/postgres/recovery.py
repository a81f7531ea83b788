"""What a restored cluster does when it is started: how far it recovers, and from where it gets WAL.

Rule: settings go to the end of postgresql.auto.conf, where the last word of a name counts, below a line that says whose
they are. Targets that stand there from an earlier recovery go: a server refuses two, also an empty one beside another.
recovery.signal asks for archive recovery. Without a target there is neither: backup_label and the WAL that
came with the backup bring a server to the backup's end, and no further. standby.signal, which a standby's base backup
brings along, always goes.
"""

import os
from contextlib import suppress
from typing import Literal

from msgspec import Struct

_AUTO_CONF = b"postgresql.auto.conf"
_SIGNALS = (b"recovery.signal", b"standby.signal")
_HEADER = "# Written by silt restore.\n"

Kind = Literal["latest", "immediate", "time", "lsn", "xid", "name"]


class Recovery(Struct, frozen=True):
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
    path = target + b"/" + _AUTO_CONF
    text = b"".join(line for line in _lines(path) if not line.lstrip().startswith(b"recovery_target"))
    if settings:
        text += (_HEADER + "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())).encode()
    _write(path, text, owner)
    if recovery:
        _write(target + b"/recovery.signal", b"", owner)


def _lines(path: bytes) -> list[bytes]:
    """The lines of a file, each with its end; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            return [line if line.endswith(b"\n") else line + b"\n" for line in file]
    except FileNotFoundError:
        return []


def _write(path: bytes, content: bytes, owner: os.stat_result) -> None:
    with open(path, "wb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(content)
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _quoted(value: str) -> str:
    """As postgresql.conf quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
