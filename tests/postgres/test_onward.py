"""Whether WAL leads on from a base backup: what is said, and that a level from before the archive can be taken on."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from siltstone.engine import Noted, Warned
from siltstone.engine.postgres.archive_catalog import Catalog
from siltstone.engine.postgres.brought import wal_brought
from siltstone.engine.postgres.onward import missing_wal, onward
from siltstone.engine.postgres.slots import Slot

from . import archiving
from .archiving import Archive, all_archived, content, load, prepare, promoted
from .catalogs import SIZE, catalog_of, segment, whole
from .installations import hand_over
from .servers import Server, Templates

GOLDEN = Path(__file__).parent / "golden"
STOP = 3 * SIZE + 500


def slot(lsn: int | None, status: str = "reserved") -> Slot:
    return Slot("silt", lsn, False, status)


def said(made: Catalog, *slots: Slot, archiving: bool = False) -> str:
    """What is said, in a word, and where."""
    found = list(onward(made, 1, STOP, slots, archiving=archiving))
    assert len(found) <= 1
    if not found:
        return ""
    return "note" if isinstance(found[0], Noted) else found[0].path if isinstance(found[0], Warned) else "?"


class TestDecision:
    def test_nothing_archives(self) -> None:
        assert said(catalog_of()) == "note"
        assert said(catalog_of(), slot(None)) == "note"
        assert said(catalog_of(), slot(3 * SIZE, "lost")) == "note"

    def test_something_will_bring_it(self) -> None:
        assert said(catalog_of(), archiving=True) == ""
        assert said(catalog_of(), slot(2 * SIZE + 77)) == ""
        assert said(catalog_of(), slot(4 * SIZE)) == ""
        assert said(catalog_of(*whole(1, 1, 2)), archiving=True) == ""
        assert said(catalog_of(*whole(1, 1, 2)), slot(3 * SIZE)) == ""

    def test_a_slot_that_was_made_too_late(self) -> None:
        assert said(catalog_of(), slot(4 * SIZE + 1)) == "silt"
        assert said(catalog_of(), slot(9 * SIZE), slot(4 * SIZE)) == ""
        assert said(catalog_of(*whole(1, 3, 4, 5)), slot(6 * SIZE)) == "", "what is before it is archived"
        assert said(catalog_of(*whole(1, 3, 4, 5)), slot(6 * SIZE + 1)) == "silt"

    def test_an_archive_that_ends(self) -> None:
        assert said(catalog_of(*whole(1, 1, 2, 3))) == "0/30001F4"
        assert said(catalog_of(*whole(1, 1, 2, 3)), slot(3 * SIZE, "lost")) == "0/30001F4"

    def test_a_gap(self) -> None:
        assert said(catalog_of(*whole(1, 2, 3, 5)), archiving=True) == segment(1, 4)
        assert said(catalog_of(*whole(1, 5)), slot(6 * SIZE)) == segment(1, 4)


def test_wal_that_a_backup_lacks() -> None:
    def missing(*numbers: int, stop: int = STOP) -> list[str]:
        return missing_wal({name.encode() for name in whole(1, *numbers)}, 1, 2 * SIZE + 40, stop, SIZE)

    assert missing(2, 3) == []
    assert missing(2) == whole(1, 3)
    assert missing(3, 4) == whole(1, 2)
    assert missing(2, stop=3 * SIZE) == [], "it ends where a segment begins"


class TestBrought:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        (tmp_path / "pg_wal").mkdir()
        return tmp_path

    def test_only_a_whole_segment_of_this_cluster(self, data: Path) -> None:
        about = json.loads((GOLDEN / "wal_18.json").read_text())
        name, system = about["name"], about["system_identifier"]
        whole_one = zstandard.decompress((GOLDEN / "wal_18.zst").read_bytes()).ljust(1 << 20, b"\0")
        path = data / "pg_wal" / name
        assert wal_brought(data, system, name) is None
        path.write_bytes(whole_one)
        assert wal_brought(data, system, name) == whole_one
        assert wal_brought(data, system + 1, name) is None
        other = name[:-1] + "F"
        shutil.copy(path, data / "pg_wal" / other)
        assert wal_brought(data, system, other) is None
        assert wal_brought(data, system, "00000002.history") is None
        used = len(whole_one.rstrip(b"\0"))
        for open_one in (whole_one[: used - 4000].ljust(1 << 20, b"\0"), whole_one[:-8192]):
            path.write_bytes(open_one)
            assert wal_brought(data, system, name) is None, "recovery would take its end for the end of all WAL"


@pytest.fixture
def archive() -> Iterator[Archive]:
    with archiving.archive() as made:
        yield made


@pytest.mark.parametrize("version", [15])
def test_a_level_from_before_the_archive_is_taken_on(
    servers: Templates, version: int, server: Server, archive: Archive
) -> None:
    """A fault that other tools had: a hole between the first backup and the beginning of the archive."""
    conf = archive.folder / "deployment.toml"
    conf.write_text(f'name = "x"\n[postgres]\ndsn = "{server.dsn()}"\nmode = "wire"\n')
    prepare(server)
    load(server, 0, 3)
    first = archive.run("backup", "-c", conf)
    assert "WAL is not archived: this level can be restored to" in first.stdout + first.stderr
    server.restart(**archive.settings)
    load(server, 3, 12)
    all_archived(server)
    server.restart()
    rows = content(server)
    target = archive.folder / "copy"
    archive.run("restore", "0/0", "--to", target, "--until", "latest")
    needed = (target / "backup_label").read_text().partition("(file ")[2][:24]
    assert needed not in archive.objects()
    with servers.empty(version) as other:
        shutil.move(target, other.data)
        hand_over(other.data)
        started = {"restore_command": archive.restore_command, "archive_mode": "off"}
        other.start(**started)
        assert content(promoted(other)) == rows
        assert f'restored log file "{needed}"' in other.log()
    lost = min(name for name in archive.objects() if len(name) == 24)
    archive.objects()[lost].unlink()
    refused = archive.run("restore", "0/0", "--to", target, "--until", "latest", code=1)
    assert f"{lost} is missing" in refused.stderr
    second = archive.run("backup", "-c", conf, code=3)
    assert "no moment after this backup can be reached: nothing adds to the archive" in second.stdout + second.stderr
