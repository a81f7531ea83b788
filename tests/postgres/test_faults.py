"""Faults that other tools had, each with the test that keeps it away; and the tests of those that have no other place.

Rule: every row of the table names tests that exist. What the store alone promises (collection of garbage beside a
backup) stands with the store's own tests.
"""

import ast
import json
import os
from pathlib import Path

import pytest
import zstandard

from siltstone.engine.entry import EXTENT
from siltstone.engine.postgres.archive import archive_files
from siltstone.engine.postgres.archive_read import fetch_wal
from siltstone.engine.postgres.archive_record import read_object
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.incoming import incoming_bytes
from siltstone.store import Corrupt, Store
from siltstone.store.directory import DirectoryBackend
from tests.backed_up import new_store

from .servers import Server
from .streaming import Kept, end_of_wal, load, position_of, streaming

HERE = Path(__file__).parent
SEGMENT = 1 << 20

FAULTS = {
    "a truncated cluster promoted after an error of the infrastructure": ["wal_archive.test_exit_codes"],
    "a hole between the first backup and the slot": [
        "onward.test_a_slot_that_was_made_too_late",
        "onward.test_a_level_from_before_the_archive_is_taken_on",
    ],
    "a gap exactly at the border of a segment": ["wal_archive.test_a_gap_at_a_border_stops_it"],
    "a gap across a timeline's change": ["archive_catalog.test_across_a_switch"],
    "a fresh slot after failover": ["failover.test_stream_and_push_go_on_together"],
    "a backup that comes back after its WAL went": ["wal_retention.test_a_level_that_comes_back_after_its_wal_went"],
    "patterns that match inside of names": ["archive_catalog.test_what_is_no_name_is_refused"],
    "missing links of tablespaces": [
        "backup_restore.test_tablespaces_go_where_they_are_told",
        "restored_directory.test_verifybackup_amcheck_and_checksums_find_nothing",
    ],
    "a list of chunks with a hole": ["faults.test_a_list_of_chunks_with_a_hole_is_damage"],
    "another cluster's WAL accepted": ["wal_archive.test_wal_of_another_cluster_is_refused"],
    "a history lost in failover": [
        "archive_catalog.test_a_lost_history_is_a_gap",
        "failover.test_stream_and_push_go_on_together",
    ],
    "flush LSN told before fsync": ["receive.test_it_keeps_what_is_not_durable"],
    "apply LSN told": ["faults.test_nothing_is_told_to_be_applied"],
    "an fsync a chunk": ["faults.test_syncs_do_not_grow_with_chunks"],
    "one stuck task that starves the rest": [
        "faults.test_one_bad_file_does_not_hold_up_the_others",
        "receive.test_a_sink_without_room_is_not_written_to",
    ],
    "a target before the end of the backup": ["reach.test_what_cannot_be_reached_is_refused"],
    "archived in name only": [
        "wal_archive.test_notes_never_lie",
        "wal_archive.test_it_waits_for_a_store_that_is_away",
    ],
    "one name, other bytes": ["wal_archive.test_other_bytes_are_kept_aside"],
    "pages that a server's own incremental missed": ["server_incremental.test_a_full_read_finds_what_was_missed"],
    "a standby on another timeline at the end": ["quiet_standby.test_a_timeline_that_changes_meanwhile"],
    "a standby that hears nothing": ["quiet_standby.test_its_backups_end_and_restore"],
    "an archiver blocked by a .partial": ["partial.test_what_is_behind_the_switch_does_not_count"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_has_a_test(fault: str) -> None:
    for test in FAULTS[fault]:
        module, _, name = test.partition(".")
        tree = ast.parse((HERE / f"test_{module}.py").read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


def golden(version: int) -> tuple[int, str, bytes]:
    """The system identifier, the name and the bytes of a golden segment."""
    about = json.loads((HERE / "golden" / f"wal_{version}.json").read_text())
    used = zstandard.decompress((HERE / "golden" / f"wal_{version}.zst").read_bytes())
    return about["system_identifier"], about["name"], used.ljust(SEGMENT, b"\0")


def test_a_list_of_chunks_with_a_hole_is_damage() -> None:
    store = new_store()
    system, name, data = golden(18)
    (outcome,) = archive_files(store, system, [incoming_bytes(name, data)])
    assert fetch_wal(store, system, name)[1] == data
    root = store.read_root(outcome.object)
    store.backend.delete(outcome.object)
    with store.writer() as writer:
        writer.commit(outcome.object, {**root, "extents": root["extents"][: -EXTENT.size]})
    assert read_object(store, outcome.object).used == root["used"]
    with pytest.raises(Corrupt, match="do not make the file"):
        fetch_wal(store, system, name)


def test_one_bad_file_does_not_hold_up_the_others() -> None:
    store = new_store()
    system, name, data = golden(18)
    outcomes = archive_files(
        store, system, [incoming_bytes(name[:-1] + "0", data), incoming_bytes(name, data), incoming_bytes("x", b"y")]
    )
    assert isinstance(outcomes[0].error, Malformed)
    assert outcomes[1].error is None
    assert outcomes[2].error is not None
    assert fetch_wal(store, system, name)[1] == data


def test_syncs_do_not_grow_with_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for a pack, an index segment and a root, and for each folder that they are in."""
    store = Store.init(DirectoryBackend(tmp_path / "store", create=True), [])
    real, synced = os.fsync, []

    def count(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", count)
    counts = []
    for chunks in (4, 400):
        data, synced[:] = memoryview(os.urandom(chunks * 1000)), []
        with store.writer() as writer:
            writer.store_run(data, list(range(1000, len(data) + 1, 1000)))
            writer.flush()
        counts.append(len(synced))
    assert max(counts) < 20
    assert abs(counts[0] - counts[1]) < 4, "a pack's folder may be new"


@pytest.mark.parametrize("version", [15])
def test_nothing_is_told_to_be_applied(source: Server, version: int) -> None:
    kept = Kept()
    with streaming(source, kept, position_of(source), interval=0.05) as work:
        load(source, 3000)
        end = end_of_wal(source)
        kept.durable = end
        told = "SELECT write_lsn IS NOT NULL AND flush_lsn IS NOT NULL, replay_lsn FROM pg_stat_replication"
        work.wait(lambda: source.sql(told)[0][0] == "t")
        assert source.sql(told) == [("t", None)]
