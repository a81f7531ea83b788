"""Whether a deployment can be backed up from this host: what can be reached is tried.

Rule: nothing is read but names, and nothing is written. What lies on other hosts is not looked at: that is for the same
check there. A fault means that a backup would fail or lack something that matters; a warning that it may.
"""

import os
from collections.abc import Iterator

from .deployment import Deployment, ResolvedSet, resolve_deployment
from .events import show_path
from .mounts import mount_fault
from .postgres.finding import Finding
from .scan import same_device
from .topology import configuration_name, host_of_database, hosts_of_set


def check_deployment(deployment: Deployment, here: str, store: str | None) -> list[Finding]:
    """What there is to find on the host `here` (topology.host_here); `store`: where the store is, if that is known."""
    privilege = deployment.privilege or "no privilege class is said"
    found = [Finding("topology", "ok", f"{configuration_name(deployment)}, {privilege}")]
    mine = [each for each in resolve_deployment(deployment) if here in hosts_of_set(deployment.topology, each.file_set)]
    for each in mine:
        found += _check_set(each)
    if store is not None:
        found += _check_store(store, [root for each in mine for root in each.roots.found])
    database = deployment.database
    if database is not None and host_of_database(deployment.topology, database) == here:
        found.append(_check_database(database.dsn))
    return found


def _check_set(each: ResolvedSet) -> Iterator[Finding]:
    what = f"file set {each.file_set.name}"
    share = each.file_set.share
    if share is not None and (fault := mount_fault(share)):
        yield Finding(what, "fault", fault, f"mount {show_path(share)}")
        return
    unreadable = [root for root in each.roots.found if not _readable(root)]
    for root in unreadable:
        yield Finding(what, "fault", f"{show_path(root)} cannot be read by this user")
    absent = [*each.roots.missing, *each.roots.unmatched]
    if not each.roots.found:
        yield Finding(what, "warning", f"nothing of it is there: {', '.join(map(show_path, absent))}")
    elif not unreadable:
        also = f"; {len(absent)} of its paths not there: see 'silt config show'" if absent else ""
        yield Finding(what, "ok", f"what is there can be read{also}")


def _readable(path: bytes) -> bool:
    if os.path.islink(path):
        return True  # the link is what is backed up
    return os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK)


def _check_store(store: str, roots: list[bytes]) -> Iterator[Finding]:
    if same_device(store, roots):
        yield Finding("store", "warning", f"{store} is on the same device as data: both would be lost together")
    elif roots:
        yield Finding("store", "ok", f"{store} is not on a device of the data")


def _check_database(dsn: str) -> Finding:
    from .postgres.connection import connect
    from .postgres.errors import PostgresError

    try:
        with connect(dsn, replication=True):
            return Finding("database", "ok", "it answers, and lets this role replicate; 'silt pg check' looks closer")
    except PostgresError as error:
        return Finding("database", "fault", str(error), "silt pg check")
