"""Deployments of several hosts for tests: each host is a folder, in which it has its own copy of what it should have.

Rule: a host reads the same deployment file as the others, and differs in the value of its variable ROOT alone: as if
every host had its own disk. The store is one, in a folder beside them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siltstone.engine import BackupResult, Deployment, Event, back_up, parse_deployment
from siltstone.store import Store
from siltstone.store.directory import DirectoryBackend
from tests.backing_up import KEY, calm_down

SETS = {"conf": "etc", "vault": "vault", "apps": "apps"}


@dataclass
class Site:
    """One deployment: its hosts' folders below `folder`, and the text of its file."""

    folder: Path
    text: str
    hosts: tuple[str, ...]
    store_folder: Path
    events: list[Event] = field(default_factory=list)

    def root(self, host: str) -> Path:
        return self.folder / (host or "only")

    def deployment(self, host: str) -> Deployment:
        """As that host reads the file."""
        return parse_deployment(self.text, variables={"ROOT": str(self.root(host))})

    def fill(self, host: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root(host) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def store(self) -> Store:
        """The store, as a new process would find it."""
        backend = DirectoryBackend(str(self.store_folder), create=True)
        if not os.path.exists(self.store_folder / "config"):
            return Store.init(backend, [(KEY, "test")])
        return Store.open(backend, KEY)

    def back_up(self, host: str, *parts: str, **options: Any) -> BackupResult:
        calm_down()
        return back_up(
            self.store(), self.deployment(host), here=host, parts=parts, report=self.events.append, **options
        )


def cluster_text(nodes: tuple[str, ...], *, more: str = "", top: str = "") -> str:
    """A cluster: each node has its own `conf`; the first has the rest."""
    hosts = "".join(f"[hosts.{name}]\n" for name in nodes)
    each = ", ".join(f'"{name}"' for name in nodes)
    return f"""
name = "app"
{top}
[variables]
ROOT = "/nowhere"
{hosts}
[file-sets.conf]
paths = ["$ROOT/etc"]
hosts = [{each}]
[file-sets.vault]
paths = ["$ROOT/vault"]
[file-sets.apps]
paths = ["$ROOT/apps"]
{more}
"""
