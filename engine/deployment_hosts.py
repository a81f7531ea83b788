"""The tables `[hosts.NAME]` of a deployment file, and what file sets and `[postgres]` say of hosts.

    os, parts-within                    at the top: the operating system, such as "rhel 8"; how long after its first
                                        part others join a level, such as "12h"
    [hosts.NAME]      address, role     what 'uname -n' says there (else NAME); "node", "database" or "share"
    [file-sets.NAME]  host or hosts     whose it is; several: each has a copy of its own
                      share             the mount point of the share on which it lies

Rule: this module only reads them; what they come to is in topology.py.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from .deployment import absolute_path, name_mistake
from .errors import ConfigError
from .hosts import PARTS_WITHIN_NS, ROLES, Host, Role, Topology
from .toml_table import Table, first_with
from .variables import ExpansionError, did_you_mean, expand_home

PLACE_KEYS = ("host", "hosts", "share")
_ROLES: Mapping[str, Role] = {role: role for role in ROLES}


class Placed(Struct, frozen=True):
    """Where a file set is."""

    hosts: tuple[str, ...]
    share: bytes | None


def topology_of(top: Table) -> Topology:
    """What a deployment file says of its hosts. Raises ConfigError."""
    hosts = top.table("hosts")
    within = top.span("parts-within") if "parts-within" in top else PARTS_WITHIN_NS
    return Topology(tuple(_host(hosts, name) for name in hosts.entries), top.string("os"), within)


def _host(hosts: Table, name: str) -> Host:
    table = hosts.table(name)
    table.refuse_unknown(("address", "role"))
    if mistake := name_mistake(name):
        raise table.error(mistake)
    word = table.string("role") or "node"
    if word not in _ROLES:
        raise table.error(f"'{word}' is no role", "role", hint=did_you_mean(word, ROLES))
    return Host(name, table.string("address") or name, _ROLES[word])


def place_of_set(tables: Sequence[Table], values: Mapping[str, str], folder: bytes) -> Placed:
    """Where the tables of a file set say that it is. Raises ConfigError."""
    for table in tables:
        if "host" in table and "hosts" in table:
            raise table.error("says what 'host' says, too", "hosts", hint="give one of the two")
    table = next((table for table in tables if "host" in table or "hosts" in table), tables[0])
    hosts = [table.string("host")] if "host" in table else table.strings("hosts")
    if len(set(hosts)) < len(hosts):
        raise table.error("names a host twice", "hosts")
    return Placed(tuple(hosts), path_in(first_with("share", tables), "share", values, folder))


def path_in(table: Table, key: str, values: Mapping[str, str], folder: bytes) -> bytes | None:
    """The path that a key holds, expanded and absolute; None where it is not given. Raises ConfigError."""
    if key not in table:
        return None
    try:
        return absolute_path(os.fsencode(expand_home(table.string(key), values)), folder)
    except ExpansionError as error:
        raise table.error(str(error), key, hint=error.hint) from None
    except ConfigError as error:
        raise table.error(error.what, key) from None
