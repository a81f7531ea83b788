"""Servers as fixtures: `quiet`, one a version, runs through all tests and is only read; `servers` makes own ones."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .clusters import Backups
from .installations import forget
from .quiet import QuietServer
from .servers import EACH_VERSION, Server, Templates
from .wal_making import MadeWal, make_wal


@pytest.fixture(scope="session")
def servers() -> Iterator[Templates]:
    """Makes clusters of every version."""
    with ExitStack() as stack:
        stack.callback(forget)
        yield Templates(stack)


@pytest.fixture(params=EACH_VERSION)
def version(request: pytest.FixtureRequest) -> int:
    """Each version of PostgreSQL; those that are not in every run are slow."""
    number: int = request.param
    return number


@pytest.fixture(scope="session")
def _quiet_servers(servers: Templates) -> Iterator[dict[int, QuietServer]]:
    running: dict[int, QuietServer] = {}
    yield running
    for server in running.values():
        server.close()


@pytest.fixture
def quiet(version: int, servers: Templates, _quiet_servers: dict[int, QuietServer]) -> QuietServer:
    """A running server with something of everything in it (quiet.py). Tests may read it and nothing else."""
    if version not in _quiet_servers:
        _quiet_servers[version] = QuietServer(servers, version)
    return _quiet_servers[version]


@pytest.fixture
def server(version: int, servers: Templates) -> Iterator[Server]:
    """A fresh running server of one's own."""
    with servers.server(version) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def _made_wal() -> dict[int, MadeWal]:
    return {}


@pytest.fixture
def made(version: int, servers: Templates, _made_wal: dict[int, MadeWal]) -> MadeWal:
    """WAL that a server of this version wrote (wal_making.py), made once."""
    if version not in _made_wal:
        _made_wal[version] = make_wal(servers, version)
    return _made_wal[version]


@pytest.fixture
def source(version: int, servers: Templates) -> Iterator[Server]:
    """A server that keeps its WAL."""
    with servers.server(version) as server:
        server.configure("wal_keep_size = 100MB")
        server.start()
        server.sql("CREATE TABLE rows (n int, text text)")
        yield server


@pytest.fixture
def any_source(servers: Templates) -> Iterator[Server]:
    """A server whose version does not matter."""
    with servers.server(15) as server:
        server.start()
        server.sql("CREATE TABLE rows (n int, text text)")
        yield server


@pytest.fixture
def backups(server: Server, version: int) -> Backups:
    """Of every other version over the wire, of the others on the host: both ways in every run."""
    server.sql(
        "CREATE TABLE changing AS SELECT n, repeat(md5(n::text), 10) AS text FROM generate_series(1, 30000) n",
        "VACUUM changing",  # hint bits and all: from here on only updates change pages
        "CHECKPOINT",
    )
    return Backups(server, "local" if version % 2 else "wire")


@pytest.fixture
def other(version: int, servers: Templates) -> Iterator[Server]:
    with servers.empty(version) as server:
        yield server
