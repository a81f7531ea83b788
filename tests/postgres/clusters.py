"""Levels of real clusters, in a store in memory, and their restore into the place of another server."""

import os
import subprocess
from pathlib import Path

from siltstone.engine import (
    Event,
    Level,
    RestoreResult,
    Warned,
    back_up,
    parse_deployment,
    restore_cluster,
)
from siltstone.store import Store
from tests.store.backends import MemoryBackend

from .servers import Server


class Backups:
    """A server, a store in memory, and the levels of the one in the other."""

    def __init__(self, server: Server, mode: str) -> None:
        self.server, self.mode = server, mode
        self.store = Store.init(MemoryBackend(), [])
        self.events: list[Event] = []
        self.read_back = False  # whether restores are
        self.deployment = parse_deployment(f'name = "x"\n[postgres]\ndsn = "{server.dsn()}"\nmode = "{mode}"\n')

    def level(self, kind: str = "auto") -> Level:
        result = back_up(self.store, self.deployment, kind=kind, report=self.events.append)  # type: ignore[arg-type]  # from a test's own words
        assert result.level is not None
        return result.level

    @property
    def warned(self) -> list[Warned]:
        return [event for event in self.events if isinstance(event, Warned)]


def restore(backups: Backups, level: Level, to: Server, **moves: Path) -> RestoreResult:
    """Restore into the place of another server."""
    tablespaces = {os.fsencode(old): os.fsencode(new) for old, new in moves.items()}
    place, report = os.fsencode(to.data), backups.events.append
    result = restore_cluster(
        backups.store, level, place, tablespaces=tablespaces, verify=backups.read_back, report=report
    )
    for folder in (to.data, *moves.values()):
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "--reference", to.folder, folder], check=True)
    return result
