"""The hosts that a deployment names, and parts: what one of them has of a file set, or of the database.

Rule: plain data, which everything that reads a deployment or a level may use. What a deployment's hosts come to is in
topology.py; whether they are there is nobody's word here.
"""

from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

Role: TypeAlias = Literal["node", "database", "share"]
ROLES: tuple[Role, ...] = ("node", "database", "share")

Configuration: TypeAlias = Literal[
    "standalone", "external-database", "external-shares", "external-database-and-shares", "cluster"
]
CONFIGURATIONS: tuple[Configuration, ...] = (
    "standalone", "external-database", "external-shares", "external-database-and-shares", "cluster",
)  # fmt: skip

# Backups are made daily or more often, at about the same time on all hosts: who comes half a day later means the next.
PARTS_WITHIN_NS = 12 * 3600 * 10**9


class Host(Struct, frozen=True):
    """A host: a node runs the product; others only have its database, or a share. `address`: its node name."""

    name: str
    address: str
    role: Role = "node"


class Topology(Struct, frozen=True):
    """The hosts, in the order of the file; none where it names none. `os` is empty if not said. `parts_within_ns`: how
    long after its first part others join a level.
    """

    hosts: tuple[Host, ...] = ()
    os: str = ""
    parts_within_ns: int = PARTS_WITHIN_NS

    @property
    def nodes(self) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts if host.role == "node")

    def role_of(self, name: str) -> Role:
        """The role of a host; that of the only one where none is named."""
        return next((host.role for host in self.hosts if host.name == name), "node")


ONE_HOST = Topology()


class Part(NamedTuple):
    """What one host has of one file set, or of the database."""

    set_name: str
    host: str

    def __str__(self) -> str:
        return f"{self.set_name}@{self.host}"
