"""From words to a recovery target: --until and its kin, and the command by which a restored server gets its WAL.

Rule: one target at most. The command that stands in the server's settings names this program by its full path, the
store and the cluster, and no secret: those come from the environment of the server or from the settings file. It fails
closed: PostgreSQL takes exit codes 1 to 125 for the end of the archive, so only a proved end becomes 1.
"""

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .exits import Exit
from .mistake import Mistake

if TYPE_CHECKING:
    from siltstone.engine import Level, Recovery
    from siltstone.store import Store

Targets = dict[str, str | None]


def recovery_of(targets: Targets, timeline: str | None, *, exclusive: bool) -> "Recovery | None":
    """The target that was asked for, yet without the command; None without any. Mistake for two."""
    given = {kind: value for kind, value in targets.items() if value is not None}
    if len(given) > 1:
        raise Mistake("two moments to recover to", hint="give one of --until, --until-lsn, --until-xid, --until-name")
    if not given:
        if timeline or exclusive:
            raise Mistake("--timeline and --exclusive have no meaning without --until")
        return None
    from siltstone.engine import Recovery

    ((kind, value),) = given.items()
    if kind == "time" and value in ("latest", "immediate"):
        return Recovery("latest" if value == "latest" else "immediate", "", timeline=timeline or "latest")
    made = {"time": "time", "lsn": "lsn", "xid": "xid", "name": "name"}[kind]
    return Recovery(made, "", value or "", timeline=timeline or "latest", inclusive=not exclusive)  # type: ignore[arg-type]  # one of its kinds


def with_command(recovery: "Recovery", store: "Store", level: "Level", key_file: str | None) -> "Recovery":
    """The target with the command by which the server of a level gets its WAL out of the store."""
    assert level.database is not None, "a target was found to be reachable from it"
    command = restore_command(store.backend.location, level.database.system_identifier, key_file)
    return replace(recovery, restore_command=command)


def restore_command(place: str, system_identifier: int, key_file: str | None) -> str:
    """What PostgreSQL runs for each WAL file that it wants."""
    program = sys.argv[0] if os.path.basename(sys.argv[0]) == "silt" else shutil.which("silt") or "silt"
    program = os.path.abspath(program) if os.path.sep in program else program
    store = os.path.abspath(place) if os.path.exists(place) else place
    words = [f"{program}-wal", "fetch"] if shutil.which(f"{program}-wal") else [program, "wal", "fetch"]
    options = ["--store", store, "--system", str(system_identifier)]
    options += ["--key-file", os.path.abspath(key_file)] if key_file else []
    # %f and %p are PostgreSQL's; any other % has to be doubled.
    fixed = " ".join(map(shlex.quote, words)).replace("%", "%%")
    rest = " ".join(map(shlex.quote, options)).replace("%", "%%")
    return f'{fixed} "%f" "%p" {rest} || exit $(($? == {int(Exit.NOT_ARCHIVED)} ? 1 : 255))'
