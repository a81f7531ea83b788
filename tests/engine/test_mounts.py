"""Shares: a mount point where nothing is mounted is refused, by backups and by restores."""

import os
from pathlib import Path

import pytest

from siltstone.engine import SourceError, TargetError, back_up, parse_deployment, plan_onto, restore_onto
from siltstone.engine.mounts import file_system, mount_fault
from tests.backed_up import ignore, new_store
from tests.restoring import mounted


def test_what_is_no_mounted_share(tmp_path: Path) -> None:
    assert mount_fault(b"/proc") is None
    assert "is not there" in str(mount_fault(bytes(tmp_path / "gone")))
    (tmp_path / "file").write_text("x")
    assert "nothing is mounted" in str(mount_fault(bytes(tmp_path)))


def test_the_kind_of_a_file_system(tmp_path: Path) -> None:
    assert file_system(os.stat("/proc").st_dev) == "proc"
    assert file_system(os.makedev(4095, 1)) == ""
    with mounted(tmp_path / "mounted here", "1m"):
        assert file_system(os.stat(tmp_path / "mounted here").st_dev) == "tmpfs"


def test_a_share_is_backed_up_and_restored_while_it_is_mounted(tmp_path: Path) -> None:
    share = tmp_path / "a share"  # the kernel's table has such a space as \040
    text = f'name = "app"\n[file-sets.vault]\npaths = ["{share}/vault"]\nshare = "{share}"\n'
    deployment, store = parse_deployment(text), new_store()
    with mounted(share, "1m"):
        with pytest.raises(SourceError, match=r"file set vault: what is mounted at .* is empty"):
            back_up(store, deployment, report=ignore)
        (share / "vault").mkdir()
        (share / "vault" / "a").write_text("kept")
        level = back_up(store, deployment, report=ignore).level
    assert level is not None
    plan = plan_onto(level, deployment)
    assert (plan.origin.configuration, plan.refusals) == ("external-shares", ())
    with pytest.raises(SourceError, match="nothing is mounted at"):
        back_up(store, deployment, report=ignore)
    with pytest.raises(TargetError, match="nothing is mounted at"):
        restore_onto(store, level, plan, "", report=ignore)
    assert not list(share.iterdir())
    share.rmdir()
    with mounted(share, "1m"):
        assert restore_onto(store, level, plan, "", report=ignore) is not None
        assert (share / "vault" / "a").read_text() == "kept"
