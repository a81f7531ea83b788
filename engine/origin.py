"""What a level's root says of where it came from, beyond its files: as much as a restore somewhere else has to know.

Rule: plain data, recorded when the level was made. A level that was imported from a tar file has none.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Origin(Struct, frozen=True, kw_only=True):
    """`configuration`: see topology.py; `hosts`: name -> role; `variables`: host -> name -> expanded value;
    `database_host`: empty where no host has a name, or there is no database.
    """

    configuration: str
    os: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    database_host: str = ""


def origin_to_root(origin: Origin) -> dict[str, Any]:
    """As it stands in a root, by the names of its fields."""
    return {
        "configuration": origin.configuration,
        "os": origin.os,
        "hosts": dict(origin.hosts),
        "variables": {host: dict(values) for host, values in origin.variables.items()},
        "database_host": origin.database_host,
    }


def origin_from_root(row: dict[str, Any]) -> Origin:
    """The inverse. Raises KeyError, TypeError, ValueError."""
    return Origin(
        configuration=row["configuration"],
        os=row["os"],
        hosts=dict(row["hosts"]),
        variables={host: dict(values) for host, values in row["variables"].items()},
        database_host=row["database_host"],
    )
