"""Connections under TLS: a server with a certificate of its own, and what is said when it does not fit."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import PostgresError
from siltstone.engine.postgres.inquiry import condition_of

from .installations import hand_over
from .servers import Server, Templates


def certificate(folder: Path, name: str) -> Path:
    """A certificate for localhost that vouches for itself: <name>.crt, and <name>.key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for suffix, data in ((".crt", made.public_bytes(pem)), (".key", private)):
        path = folder / (name + suffix)
        path.write_bytes(data)
        path.chmod(0o600)
        hand_over(path)
    return folder / f"{name}.crt"


@pytest.fixture
def server(version: int, servers: Templates) -> Iterator[Server]:
    """One that takes the role `backup` under TLS alone."""
    with servers.server(version) as server:
        own = certificate(server.folder, "own")
        hba = server.data / "pg_hba.conf"
        hba.write_text(
            f"hostssl all backup 127.0.0.1/32 trust\n{hba.read_text().replace('host all,replication all', '#')}"
        )
        try:
            server.start(ssl="on", ssl_cert_file=str(own), ssl_key_file=str(own.with_suffix(".key")))
        except AssertionError as error:
            if "SSL is not supported" in str(error):
                pytest.skip(f"this PostgreSQL {version} was built without TLS")
            raise
        server.sql("CREATE ROLE backup LOGIN REPLICATION")
        yield server


def test_certificates_are_compared(server: Server) -> None:
    dsn = server.dsn("backup", host="localhost", hostaddr="127.0.0.1", sslmode="verify-full")
    with connect(f"{dsn} sslrootcert={server.folder}/own.crt", replication=True) as connection:
        assert connection.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [("t",)]
    other = certificate(server.folder, "other")
    for root in (other, server.folder / "missing.crt"):
        with pytest.raises(PostgresError, match="certificate") as caught:
            connect(f"{dsn} sslrootcert={root}", replication=True)
        assert "sslrootcert" in caught.value.hint


def test_it_is_known_how_safe_a_connection_is(server: Server) -> None:
    for mode, verified in (("require", False), ("verify-full", True)):
        dsn = server.dsn("backup", host="localhost", hostaddr="127.0.0.1", sslmode=mode)
        if verified:
            dsn += f" sslrootcert={server.folder}/own.crt"
        with connect(dsn, replication=False) as connection:
            link = condition_of(connection, dsn).link
        assert (link.tls, link.verified, link.near) == ("TLSv1.3", verified, True)
    with connect(f"host={server.folder} port={server.port} user=postgres", replication=False) as connection:
        link = condition_of(connection, server.dsn()).link
    assert (link.tls, link.near) == ("", True)


def test_a_server_that_insists_on_it(server: Server) -> None:
    with pytest.raises(PostgresError, match=r"no encryption|SSL off") as caught:
        connect(server.dsn("backup", sslmode="disable"), replication=True)
    assert caught.value.sqlstate == "28000"
    assert "sslmode=require" in caught.value.hint
