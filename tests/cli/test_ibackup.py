"""`ibackup`: the old words do what they did, on a deployment as the old program knew it.

Rule: it is run as cron runs it, with nothing but a home folder; what it makes is looked at with `silt`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.cli.ibackup import with_limit
from siltstone.engine import parse_deployment

from .conftest import Silt

Ibackup = Callable[..., str]
PROGRAM = [sys.executable, "-c", "from siltstone.cli.ibackup import main; main()"]


@pytest.fixture
def ibackup(tmp_path: Path, silt: Silt) -> Ibackup:
    """A host with a phantom home, and `ibackup` on it; `silt` sees the same settings."""
    home = tmp_path / "phantom"
    for name in ("apps/one/app.py", "vault/attachment", "scm/playbook.py", "etc/ssl/cert.pem"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    old = 0  # nothing in the vault is still streaming in
    os.utime(home / "vault" / "attachment", (old, old))
    silt.environment |= {"HOME": str(tmp_path / "user"), "SILT_STATE": str(tmp_path / "state")}

    def run(*words: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            [*PROGRAM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=silt.whole_environment()
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def set_up(ibackup: Ibackup, place: Path) -> str:
    words = ("--setup", "--store", place / "store", "--home", place / "phantom", "--folder", place / "etc-silt")
    return ibackup(*words)


def test_from_nothing_to_a_restore(ibackup: Ibackup, silt: Silt, tmp_path: Path) -> None:
    said = set_up(ibackup, tmp_path)
    assert "+ silt init" in said
    assert "schedule run full" in said or "installed" in said
    home = tmp_path / "phantom"
    ibackup("--backup", "--backup-type", "full", code=3)  # not all nine file sets are there, and that is told
    (home / "apps" / "one" / "app.py").write_text("changed")
    ibackup("--backup", "--backup-type", "incr", code=3)
    assert "0/1" in ibackup("--list-backups")
    ibackup("--restore", "0/0", "--to", tmp_path / "out")
    assert (tmp_path / "out" / str(home)[1:] / "apps/one/app.py").read_text() == "apps/one/app.py"
    ibackup("--restore", "0/0")
    assert (home / "apps/one/app.py").read_text() == "apps/one/app.py"


def test_setting_up_again_changes_nothing(ibackup: Ibackup, tmp_path: Path) -> None:
    set_up(ibackup, tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "etc-silt").iterdir()}
    said = set_up(ibackup, tmp_path)
    assert "+ silt init" not in said
    assert "+ silt key" not in said
    assert said.count("is there, and stays as it is") == 2
    assert {path: path.read_bytes() for path in (tmp_path / "etc-silt").iterdir()} == files


def test_the_limit_takes_effect_with_the_next_backup(ibackup: Ibackup, silt: Silt, tmp_path: Path) -> None:
    set_up(ibackup, tmp_path)
    for _ in range(3):
        ibackup("--backup", "--backup-type", "full", code=3)
    ibackup("--set-full-backup-limit", "2")
    assert levels(silt) == ["0/0", "1/0", "2/0"]
    ibackup("--backup", "--backup-type", "incr", code=3)
    assert levels(silt) == ["1/0", "2/0", "2/1"]


def levels(silt: Silt) -> list[str]:
    return [f"{row['group']}/{row['level']}" for row in json.loads(silt("list", "--json").out)]


def test_a_tar_file_of_the_old_tool(ibackup: Ibackup, tmp_path: Path) -> None:
    set_up(ibackup, tmp_path)
    file = tmp_path / "phantom_backup_group_7_level_0-11_20_2026-03h_00m_12s.tar"
    subprocess.run(["tar", "-cf", file, "-C", tmp_path, "phantom/apps"], check=True)
    ibackup("--restore", file, "--to", tmp_path / "out")
    assert (tmp_path / "out/phantom/apps/one/app.py").exists()
    assert "7/0" in ibackup("--list-backups")


def test_mistakes(ibackup: Ibackup, tmp_path: Path) -> None:
    assert "say one thing" in ibackup(code=2)
    assert "say one thing" in ibackup("--backup", "--list-backups", code=2)
    assert "no deployment file" in ibackup("--backup", code=2)
    assert "where the store is" in ibackup("--setup", "--folder", tmp_path / "f", code=2)
    assert "No such option" in ibackup("--backup-typ", code=2)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", "\n[retention]\nkeep-groups = 5\n"),
        (
            "[retention]\n# why\nkeep-groups = 2\nkeep-daily = 7\n",
            "[retention]\n# why\nkeep-groups = 5\nkeep-daily = 7\n",
        ),
        ("[retention]\n\n[notify]\n", "[retention]\nkeep-groups = 5\n\n[notify]\n"),
    ],
)
def test_the_limit_in_a_file(more: str, expected: str) -> None:
    head = 'name = "app"\n[file-sets.a]\npaths = ["/a"]\n'
    text = with_limit(head + more, 5)
    assert text == head + expected
    assert parse_deployment(text).name == "app"
