"""Where a deployment lives: its hosts, what each has of it, and which of the documented configurations that is.

Rule: pure. A deployment whose file names no host lives on one, which needs no name. A file set that names no host is
the first node's; one that names several has a copy of its own on each of them. What one host has of one file set, or
of the database, is a *part*: `set@host`. A level holds all parts, whoever sent them.
It knows nothing of addresses that answer, of mounts and of stores.
"""

from collections.abc import Sequence

from .database_info import CONFIG_SET_NAME, SET_NAME
from .deployment import Database, Deployment, FileSet
from .errors import ConfigError, EngineError
from .hosts import Configuration, Part, Topology
from .origin import Origin


def hosts_of_set(topology: Topology, file_set: FileSet) -> tuple[str, ...]:
    """The hosts that have a file set; the nameless one where no host is named."""
    return file_set.hosts or (_first_node(topology),)


def host_of_database(topology: Topology, database: Database) -> str:
    """The host from which the database is backed up. An external one without a host is read by the first node."""
    return database.host or _first_node(topology)


def parts_of(deployment: Deployment) -> tuple[Part, ...]:
    """Every part that a level of the deployment has, in the order of the file, the database last."""
    topology = deployment.topology
    parts = [Part(each.name, host) for each in deployment.file_sets for host in hosts_of_set(topology, each)]
    if deployment.database is not None:
        parts.append(Part(SET_NAME, host_of_database(topology, deployment.database)))
    if deployment.tables is not None:
        parts.append(Part(CONFIG_SET_NAME, deployment.tables.host))
    return tuple(parts)


def names_of(deployment: Deployment) -> frozenset[str]:
    """The names of all file sets of a level, the database's among them."""
    return frozenset(part.set_name for part in parts_of(deployment))


def configuration_name(deployment: Deployment) -> Configuration:
    """Which of the documented configurations a deployment is."""
    topology, database = deployment.topology, deployment.database
    if len(topology.nodes) > 1:
        return "cluster"
    apart = database is not None and (database.external or topology.role_of(database.host) != "node")
    shared = any(
        each.share is not None or any(topology.role_of(host) == "share" for host in each.hosts)
        for each in deployment.file_sets
    )
    if apart:
        return "external-database-and-shares" if shared else "external-database"
    return "external-shares" if shared else "standalone"


def origin_of(deployment: Deployment, here: str) -> Origin:
    """What there is to record of a deployment on this host."""
    topology, database = deployment.topology, deployment.database
    return Origin(
        configuration=configuration_name(deployment),
        os=topology.os,
        hosts={host.name: host.role for host in topology.hosts},
        variables={here: dict(deployment.variables)},
        database_host=host_of_database(topology, database) if database else "",
    )


def host_here(deployment: Deployment, address: str, named: str = "") -> str:
    """The name of the host with this address (or that is `named`) in the deployment; empty where no host is named.

    Raises EngineError where the deployment has no such host.
    """
    hosts = deployment.topology.hosts
    if not hosts and not named:
        return ""
    for host in hosts:
        if host.name == named if named else address in (host.address, host.name):
            return host.name
    there = ", ".join(f"{host.name} ({host.address})" for host in hosts) or "none"
    who = f"there is no host '{named}'" if named else f"this host, {address}, is none of its hosts"
    hint = f"its hosts: {there}; an address is what 'uname -n' says there, or name this host with --host"
    raise EngineError(f"deployment {deployment.name}: {who}", hint=hint)


def chosen_parts(deployment: Deployment, here: str, words: Sequence[str]) -> tuple[Part, ...]:
    """The parts that words name, or all that this host has. Raises EngineError for what it does not have."""
    every = parts_of(deployment)
    mine = tuple(part for part in every if part.host == here)
    for word in words:
        if word not in map(str, every):
            raise EngineError(
                f"deployment {deployment.name} has no part '{word}'", hint=f"it has: {', '.join(map(str, every))}"
            )
        if word not in map(str, mine):
            hint = f"run it there; here are: {', '.join(map(str, mine)) or 'none'}"
            raise EngineError(f"part '{word}' is not of this host, {here}", hint=hint)
    if not mine:
        raise EngineError(
            f"host {here} has no part of deployment {deployment.name}",
            hint=f"there are: {', '.join(map(str, every))}",
        )
    return tuple(part for part in mine if not words or str(part) in words)


def check_topology(deployment: Deployment) -> None:
    """Raises ConfigError where file sets or the database name hosts that there are not."""
    names = [host.name for host in deployment.topology.hosts]
    for each in deployment.file_sets:
        for host in each.hosts:
            _check_host(host, names, f"file-sets.{each.name}", deployment)
    if deployment.database is not None and deployment.database.host:
        _check_host(deployment.database.host, names, "postgres", deployment)


def _check_host(name: str, names: Sequence[str], key: str, deployment: Deployment) -> None:
    if name not in names:
        hint = f"the hosts are: {', '.join(names)}" if names else f"write [hosts.{name}]"
        raise ConfigError(f"there is no host '{name}'", file=deployment.source, key=key, hint=hint)


def _first_node(topology: Topology) -> str:
    return next((host.name for host in (*topology.nodes, *topology.hosts)), "")
