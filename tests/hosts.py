"""Deployments of several hosts for tests: each host is a folder, in which it has its own copy of what it should have.

Rule: a host reads the same deployment file as the others, and differs in the value of its variable ROOT alone: as if
every host had its own disk. The store is one, in a folder beside them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from siltstone.engine import BackupResult, Deployment, Event, back_up, parse_deployment
from siltstone.store import Store
from siltstone.store.directory import DirectoryBackend
from siltstone.store.key_copy import Opener
from tests.backing_up import KEY, calm_down


class Site(Struct):
    """One deployment: its hosts' folders below `folder`, and the text of its file."""

    folder: Path
    text: str
    hosts: tuple[str, ...]
    store_folder: Path
    events: list[Event] = field(default_factory=list)
    keys: dict[str, Opener] = field(default_factory=dict)  # of hosts that have others than KEY

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

    def store(self, key: Opener = KEY) -> Store:
        """The store, as a new process would find it."""
        backend = DirectoryBackend(str(self.store_folder), create=True)
        if not os.path.exists(self.store_folder / "config"):
            return Store.init(backend, [(KEY, "test")])
        return Store.open(backend, key)

    def back_up(self, host: str, *parts: str, **options: Any) -> BackupResult:
        calm_down()
        store = self.store(self.keys.get(host, KEY))
        return back_up(store, self.deployment(host), here=host, parts=parts, report=self.events.append, **options)


def deployment_text(hosts: str = "", *, conf: str = "", vault: str = "", more: str = "", top: str = "") -> str:
    """A deployment of three file sets; what is said of its hosts, of `conf` and of `vault` besides their paths."""
    return f"""
name = "app"
{top}
[variables]
ROOT = "/nowhere"
{hosts}
[file-sets.conf]
paths = ["$ROOT/etc"]
{conf}
[file-sets.vault]
paths = ["$ROOT/vault"]
{vault}
[file-sets.apps]
paths = ["$ROOT/apps"]
{more}
"""


def cluster_text(nodes: tuple[str, ...], *, more: str = "", top: str = "") -> str:
    """A cluster: each node has its own `conf`; the first has the rest."""
    each = ", ".join(f'"{name}"' for name in nodes)
    return deployment_text("".join(f"[hosts.{name}]\n" for name in nodes), conf=f"hosts = [{each}]", more=more, top=top)
