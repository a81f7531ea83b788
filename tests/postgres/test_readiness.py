"""What is said of a condition, case by case, without a server: test_readiness_servers.py has those."""

from typing import Any

import pytest
from msgspec.structs import replace

from siltstone.engine import Finding
from siltstone.engine.postgres.condition import Archiver, Condition, Link, Refusal, Role, Slots
from siltstone.engine.postgres.facts import Tablespace
from siltstone.engine.postgres.readiness import _version, judge
from siltstone.engine.postgres.readiness_wal import PUSH
from siltstone.engine.postgres.slots import Slot
from siltstone.engine.postgres.standby import Supply
from siltstone.engine.postgres.unlogged import Unlogged

NAME = "siltstone"
SETTINGS = {
    "archive_command": "",
    "archive_library": "",
    "archive_mode": "off",
    "archive_timeout": "0",
    "config_file": "/srv/pg/postgresql.conf",
    "data_checksums": "on",
    "data_directory": "/srv/pg",
    "fsync": "on",
    "full_page_writes": "on",
    "hba_file": "/srv/pg/pg_hba.conf",
    "ident_file": "/srv/pg/pg_ident.conf",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "65536",
    "max_wal_senders": "10",
    "summarize_wal": "on",
    "wal_level": "replica",
    "wal_segment_size": str(16 << 20),
}
SLOT = Slot(NAME, 0x5000000, True, "reserved")
WELL = Condition(
    version_num=180004,
    link=Link(tls="TLSv1.3", verified=True, near=False),
    role=Role(name="backup", replication=True, sees_settings=True),
    settings=SETTINGS,
    waiting=frozenset(),
    in_recovery=False,
    position=0x5100000,
    supply=None,
    senders=1,
    slots=Slots(physical=(SLOT,), logical=()),
    archiver=Archiver(archived_wal=None, archived_at=None, failed_wal=None, failed_at=None, failures=0, failing=False),
    written_whole=True,
    tablespaces=(),
    unlogged=Unlogged(),
    clock=0.01,
    clock_doubt=0.001,
    refusal=None,
)


def but(settings: dict[str, str] | None = None, **changed: Any) -> Condition:
    """A cluster that is well but for this."""
    return replace(WELL, settings=SETTINGS | (settings or {}), **changed)


def slot(**changed: Any) -> Slots:
    return Slots(physical=(replace(SLOT, **changed),), logical=())


def archiver(**changed: Any) -> Archiver:
    assert WELL.archiver is not None
    return replace(WELL.archiver, **changed)


def not_ok(condition: Condition) -> list[Finding]:
    return [finding for finding in judge(condition, NAME) if finding.state != "ok"]


def only(condition: Condition) -> Finding:
    (finding,) = not_ok(condition)
    return finding


def test_a_cluster_that_is_well() -> None:
    findings = judge(WELL, NAME)
    assert not_ok(WELL) == []
    assert not any(finding.mend or finding.restart for finding in findings)
    assert len({finding.what for finding in findings}) == len(findings) >= 18
    assert "siltstone is in use: reserved, from 0/5000000, 1 MiB behind" in {each.sentence for each in findings}


SMALL_SLOTS = {"max_replication_slots": "1"}
OURS = {"archive_mode": "on", "archive_command": f"/usr/bin/{PUSH}", "archive_timeout": "60"}
OTHERS = {"archive_mode": "on", "archive_command": "pgbackrest archive-push %p"}
IN_PLACE = (Tablespace(16400, "odd", "pg_tblspc/16400"),)
ELSEWHERE = {"config_file": "/etc/postgresql/18/main/postgresql.conf"}
RELOAD = "SELECT pg_reload_conf();"


@pytest.mark.parametrize(
    ("condition", "what", "state", "said", "mend"),
    [
        (but(version_num=190000), "version", "warning", "19 is newer", "newer silt"),
        (but(link=Link(tls="", verified=False, near=False)), "connection", "warning", "not encrypted", "verify-full"),
        (but(link=Link(tls="TLSv1.3", verified=False, near=False)), "connection", "note", "compares", "verify-full"),
        (
            but(role=Role(name='o"dd', replication=False, sees_settings=True), refusal=Refusal("no", "")),
            "role",
            "fault",
            '"o""dd" has no REPLICATION',
            'ALTER ROLE "o""dd" REPLICATION;',
        ),
        (
            but(role=Role(name="backup", replication=True, sees_settings=False)),
            "may see",
            "note",
            "data directory",
            'GRANT pg_read_all_settings TO "backup";',
        ),
        (but(in_recovery=True), "primary", "note", "a standby", ""),
        (but(in_recovery=True, supply=Supply(False, False, None)), "primary", "warning", "no WAL reaches", "log"),
        (but(refusal=Refusal("no entry", "add a line")), "replication", "fault", "refused: no entry", "add a line"),
        (
            but({"max_wal_senders": "1"}, refusal=Refusal("full", "")),
            "WAL senders",
            "fault",
            "1, 1 in use: none is left",
            "ALTER SYSTEM SET max_wal_senders = 10;",
        ),
        (
            but(SMALL_SLOTS | OURS, slots=Slots(physical=(), logical=("other",))),
            "slots",
            "note",
            "none is left",
            "ALTER SYSTEM SET max_replication_slots = 10;",
        ),
        (but(OTHERS), "archiving", "note", "another's (pgbackrest archive-push %p); nothing yet", ""),
        (but({"archive_mode": "on"}), "archiving", "fault", "no archive_command", "'silt-wal push %p'"),
        (
            but(
                OURS, archiver=archiver(failed_wal="0" * 24, failed_at="2026-11-20 14:03:07Z", failures=3, failing=True)
            ),
            "archiving",
            "fault",
            f"silt's own, and it fails: {'0' * 24} at 2026-11-20 14:03:07Z, 3 failures",
            "the server's log",
        ),
        (but(OURS, archiver=archiver(failures=3, archived_wal="1" * 24)), "archiving", "note", "3 failures before", ""),
        (but(OURS, archiver=None), "archiving", "note", "cannot be seen", ""),
        (
            but(OURS | {"archive_timeout": "0"}, slots=Slots(physical=(), logical=())),
            "archive_timeout",
            "note",
            "last segment",
            f"ALTER SYSTEM SET archive_timeout = '60s'; {RELOAD}",
        ),
        (
            but(slots=Slots(physical=(), logical=())),
            "slot",
            "warning",
            "nothing archives WAL for silt",
            "SELECT pg_create_physical_replication_slot('siltstone', true);",
        ),
        (but(slots=Slots(physical=(), logical=(NAME,))), "slot", "fault", "a logical slot", "--slot"),
        (
            but(slots=slot(restart_lsn=None, active=False, wal_status="lost")),
            "slot",
            "fault",
            "siltstone is lost",
            "SELECT pg_drop_replication_slot('siltstone');",
        ),
        (but(slots=slot(restart_lsn=None, active=False, wal_status=None)), "slot", "warning", "keeps no WAL", "SELECT"),
        (but(slots=slot(wal_status="unreserved")), "slot", "warning", "about to be lost", "silt wal stream"),
        (
            but(slots=slot(active=False, wal_status="extended"), position=0x5000000 + (20 << 30)),
            "slot",
            "warning",
            "not in use, and the server keeps WAL for it: extended, from 0/5000000, 20 GiB behind",
            "silt wal stream",
        ),
        (
            but({"max_slot_wal_keep_size": "-1"}),
            "slot limit",
            "note",
            "until the server's disk is full",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; {RELOAD}",
        ),
        (
            but({"idle_replication_slot_timeout": "60"}),
            "slot limit",
            "note",
            "loses its slot",
            f"ALTER SYSTEM SET idle_replication_slot_timeout = 0; {RELOAD}",
        ),
        (
            but({"data_checksums": "off"}),
            "checksums",
            "note",
            "damaged is backed up unnoticed",
            "pg_checksums --enable -D /srv/pg",
        ),
        (but({"full_page_writes": "off"}), "full_page_writes", "warning", "half old", "full_page_writes = on"),
        (but({"fsync": "off"}), "fsync", "warning", "crash", f"ALTER SYSTEM SET fsync = on; {RELOAD}"),
        (but({"summarize_wal": "off"}), "summarize_wal", "note", "incremental", "summarize_wal = on"),
        (but(tablespaces=IN_PLACE), "tablespaces", "note", "developers: odd", ""),
        (but(version_num=150020, tablespaces=IN_PLACE), "tablespaces", "fault", "do not back up: odd", "LOCATION"),
        (
            but(unlogged=Unlogged((("shop", 'public."a.b"'),))),
            "unlogged tables",
            "note",
            'empty: public."a.b" in shop',
            'ALTER TABLE public."a.b" SET LOGGED;',
        ),
        (
            but(unlogged=Unlogged(closed=("a", "b", "c", "d", "e"))),
            "unlogged tables",
            "note",
            "a, b, c and 2 more",
            'GRANT CONNECT ON DATABASE "a" TO "backup";',
        ),
        (but(unlogged=Unlogged(unseen=("a",))), "unlogged tables", "note", "not looked for in some databases: a", ""),
        (but(ELSEWHERE), "configuration", "note", "into a file set", 'paths = ["/etc/postgresql/18/main"]'),
        (but({"hba_file": "/srv/pg2/hba"}), "configuration", "note", "/srv/pg2/hba", 'paths = ["/srv/pg2"]'),
        (but(clock=-70.0), "clock", "warning", "70 s behind ours", "timedatectl set-ntp true"),
    ],
)
def test_one_thing_that_is_not(condition: Condition, what: str, state: str, said: str, mend: str) -> None:
    finding = only(condition)
    assert (finding.what, finding.state) == (what, state)
    assert said in finding.sentence
    assert mend in finding.mend
    assert bool(mend) == bool(finding.mend)


def test_what_makes_a_slot_limits_what_is_kept_unless_others_have_slots() -> None:
    others = Slots(physical=(replace(SLOT, name="standby"),), logical=())
    make = "SELECT pg_create_physical_replication_slot('siltstone', true);"
    limit = f"ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; {RELOAD} "
    for slots, mend in ((others, make), (Slots(physical=(), logical=()), limit + make)):
        assert only(but({"max_slot_wal_keep_size": "-1"}, slots=slots)).mend == mend


def test_an_old_server_is_told_from_its_number_alone() -> None:
    assert _version(120022).state == "fault"
    assert _version(130000) == Finding("version", "ok", "PostgreSQL 13.0")


def test_restarts_are_said_once() -> None:
    minimal = but({"wal_level": "minimal"})
    assert only(minimal) == Finding(
        "wal_level",
        "fault",
        "minimal: too little is in the WAL for a backup",
        "ALTER SYSTEM SET wal_level = replica;",
        restart=True,
    )
    waiting = only(replace(minimal, waiting=frozenset({"wal_level"})))
    assert "it was changed, and waits for a restart" in waiting.sentence
    assert (waiting.mend, waiting.restart) == ("", True)


def test_one_sender_is_enough_beside_a_stream() -> None:
    assert not_ok(but({"max_wal_senders": "2"})) == []
    found = {each.what: each.state for each in not_ok(but({"max_wal_senders": "2"}, slots=slot(active=False)))}
    assert found["WAL senders"] == "warning"


def test_on_a_standby() -> None:
    """Its own full_page_writes says nothing, and archive_mode `on` archives nothing there."""
    standby = but({"full_page_writes": "off"} | OURS, in_recovery=True)
    assert only(standby).what == "primary"
    assert [each.what for each in not_ok(replace(standby, written_whole=False))] == ["primary", "full_page_writes"]
    for mode, wrong in (("on", ["primary", "slot"]), ("always", ["primary"])):
        lone = but(OURS | {"archive_mode": mode}, in_recovery=True, slots=Slots(physical=(), logical=()))
        assert [each.what for each in not_ok(lone)] == wrong


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("silt wal push %p", True),
        ("/opt/silt/bin/silt --store /mnt/store wal push %p", True),
        ("silt-wal push %p --store /mnt/store", True),
        ("'/opt/my silt/silt-wal' push %p", True),
        ("silt-wal fetch %f %p", False),
        ('SILT_STORE=/mnt/store "/opt/my silt/silt" wal  push "%p"', True),
        ("test ! -f /mnt/%f && cp %p /mnt/%f", False),
        ("basilt wal push %p", False),
        ("silt wal status", False),
    ],
)
def test_whose_archive_command_it_is(command: str, ours: bool) -> None:
    condition = but({"archive_mode": "on", "archive_command": command})
    assert next(each for each in judge(condition, NAME) if each.what == "archiving").state == ("ok" if ours else "note")


def test_what_the_role_cannot_see_is_said_and_no_error() -> None:
    hidden = {name: value for name, value in SETTINGS.items() if "file" not in name and name != "data_directory"}
    blind = Role(name="backup", replication=True, sees_settings=False)
    condition = replace(WELL, settings=hidden, role=blind, slots=None, senders=None, archiver=None, written_whole=None)
    found = {each.what: each.state for each in not_ok(condition)}
    assert found == {"may see": "warning", "slots": "note", "slot": "note"}
