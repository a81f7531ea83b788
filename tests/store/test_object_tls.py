"""What is said of an object store that does not prove who it is, or speaks no TLS: real servers on loopback."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from siltstone.store import BackendError, open_backend
from tests.postgres.test_tls import certificate


class Quiet(BaseHTTPRequestHandler):
    """Answers nothing that a store could want, and writes no log."""

    def log_message(self, *args: object) -> None:
        pass


class Server(HTTPServer):
    """One to which handshakes that fail are none of its business."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def listening(proof: Path | None) -> Iterator[int]:
    """The port of a server, which speaks TLS where it has a certificate."""
    server = Server(("127.0.0.1", 0), Quiet)
    if proof is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(proof, proof.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refused(port: int, monkeypatch: pytest.MonkeyPatch) -> BackendError:
    """What asking it ends with."""
    variables = {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "SILT_RETRY_SECONDS": "0.1",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError) as caught:
        open_backend("s3://trial/x").get("config")
    return caught.value


def test_a_certificate_that_nobody_vouches_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(certificate(tmp_path, "own")) as port:
        error = refused(port, monkeypatch)
    assert "certificate is not trusted" in str(error)
    assert "AWS_CA_BUNDLE" in error.hint


def test_a_server_without_tls_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(None) as port:
        error = refused(port, monkeypatch)
    assert "does not speak TLS" in str(error)
    assert "http://" in error.hint
