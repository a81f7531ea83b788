"""The words of a dsn: the user's, the environment's, ours. And LSNs, the other text that comes from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import ConfigError
from siltstone.engine.postgres.dsn import complete, conninfo, without_host, words_of
from siltstone.engine.postgres.errors import Malformed, Place, PostgresError, ServerAway, connecting_error
from siltstone.engine.postgres.lsn import format_lsn, parse_lsn


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSERVICE", "PGDATABASE", "PGCONNECT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)


def test_ours_come_last() -> None:
    words = complete("host=h connect_timeout=3 keepalives_idle=7", replication=True)
    assert words["connect_timeout"] == "3"
    assert words["keepalives_idle"] == "7"
    assert words["keepalives_interval"] == "10"
    assert (words["replication"], words["dbname"]) == ("database", "postgres")
    assert complete("postgresql://u@h/db", replication=True)["dbname"] == "db"


def test_replication_is_ours_to_say() -> None:
    assert "replication" not in complete("host=h replication=true", replication=False)
    assert complete("host=h replication=true", replication=True)["replication"] == "database"


def test_what_the_environment_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "own")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "9")
    words = complete("host=h", replication=True)
    assert not words.keys() & {"dbname", "connect_timeout"}


@pytest.mark.parametrize("by", ["dsn", "environment"])
def test_a_service_has_its_own_say(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "environment":
        monkeypatch.setenv("PGSERVICE", "db")
    words = complete("service=db" if by == "dsn" else "", replication=True)
    assert not words.keys() & {"dbname", "connect_timeout", "keepalives"}
    assert words["replication"] == "database"


@given(
    st.dictionaries(
        st.sampled_from(["password", "user", "options"]), st.text(min_size=1).filter(lambda t: "\0" not in t)
    )
)
def test_any_value_survives_its_quotes(words: dict[str, str]) -> None:
    assert words_of(conninfo(words).decode("utf-8", "surrogateescape")) == words


def test_a_dsn_with_a_zero_byte() -> None:
    with pytest.raises(ConfigError):
        words_of("host=h password=a\0b")


def test_a_list_of_hosts_without_one() -> None:
    words = {"host": "a,b,c", "port": "1,2,3", "user": "u"}
    assert without_host(words, "b", "2") == {"host": "a,c", "port": "1,3", "user": "u"}
    assert without_host({"host": "a,a", "port": "1,2"}, "a", "2") == {"host": "a", "port": "1"}
    assert without_host({"host": "a,b", "port": "5"}, "a", "5") == {"host": "b", "port": "5"}
    assert without_host({"host": "a"}, "a", "5432") is None
    assert without_host({}, "", "5432") is None


@pytest.mark.parametrize(
    ("said", "sqlstate", "hint"),
    [
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption', "28000", "sslmode"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", SSL off', "28000", "host d u"),
        ("FATAL:  must be superuser or replication role to start walsender", "42501", 'ALTER ROLE "u" REPLICATION'),
        ("FATAL:  permission denied to start WAL sender", "42501", 'ALTER ROLE "u" REPLICATION'),
        (
            "FATAL:  number of requested standby connections exceeds max_wal_senders (currently 10)",
            "53300",
            "max_wal_senders",
        ),
        ("FATAL:  the database system is starting up", "57P03", "when it is up"),
        ("FATAL:  sorry, too many clients already", "53300", "max_connections"),
        ('root certificate file "/x/root.crt" does not exist', "08001", "sslrootcert"),
        ("SSL error: certificate verify failed", "08001", "sslrootcert"),
        ('could not translate host name "db" to address: Name or service not known', "", "known here"),
    ],
)
def test_the_usual_refusals_have_hints(said: str, sqlstate: str, hint: str) -> None:
    """Their words are those of the sources of PostgreSQL; most of them come from real servers in test_connection.py."""
    error = connecting_error(f'connection to server at "h", port 5432 failed: {said}\n', Place("u", "d"))
    assert error.sqlstate == sqlstate
    assert hint in error.hint
    assert isinstance(error, ServerAway if sqlstate in ("", "57P03", "53300") else PostgresError)


@given(st.integers(0, 2**64 - 1))
def test_any_lsn(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


def test_lsns_as_servers_write_them() -> None:
    assert format_lsn(0x16B374D848) == "16/B374D848"
    assert format_lsn(0x100000000) == "1/0"
    for text in ("", "1", "1/", "/1", "1/123456789", "G/1", " 1/1", "1/1\n", "0x1/1"):
        with pytest.raises(Malformed):
            parse_lsn(text)
