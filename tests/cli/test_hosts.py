"""Deployments of several hosts on the command line: what is told while parts are missing, and moving somewhere else."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.store import Store, open_backend
from tests.hosts import cluster_text

from .conftest import Ran


@pytest.fixture
def silt(quick: Callable[..., Ran]) -> Callable[..., Ran]:
    return quick


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster of two nodes, in a file; each has its folder."""
    monkeypatch.setenv("SILT_STORE", str(tmp_path / "store"))
    Store.init(open_backend(str(tmp_path / "store"), create=True), [])
    for host, text in (("node1", "one\n"), ("node2", "two\n")):
        for folder in ("etc", "vault", "apps")[: 3 if host == "node1" else 1]:
            (tmp_path / host / folder).mkdir(parents=True)
            (tmp_path / host / folder / "file").write_text(text)
    path = tmp_path / "cluster.toml"
    path.write_text(cluster_text(("node1", "node2"), top='version = "2"\n'))
    return path


def on(tmp_path: Path, host: str) -> list[str]:
    return ["--host", host, "-D", f"ROOT={tmp_path / host}"]


def test_hosts_send_their_parts_and_all_move(silt: Callable[..., Ran], file: Path, tmp_path: Path) -> None:
    ran = silt("backup", "-c", file, *on(tmp_path, "node1"))
    assert "missing conf@node2: the level is there when they are" in ran.out
    assert "app:0/0 is incomplete: missing conf@node2; there: apps@node1, conf@node1, vault@node1" in silt("list").out
    (record,) = json.loads(silt("list", "--json").out)
    assert record["missing"] == ["conf@node2"]
    status = silt("status").out
    assert "app:0/0 waits for conf@node2" in status
    assert "all is well" in status
    assert "level 0/0 is incomplete: not all hosts have sent their parts" in silt("show", "0/0", code=1).err
    assert "app:0/0 (full)" in silt("backup", "-c", file, *on(tmp_path, "node2"), "--part", "conf@node2").out
    assert "conf@node2" in silt("show", "0/0").out
    assert "name" not in silt("restore", "0/0", "--to", tmp_path / "all", code=1).out
    silt("restore", "0/0", "--to", tmp_path / "second", "--host", "node2")
    assert (tmp_path / "second" / (tmp_path / "node2/etc/file").relative_to("/")).read_text() == "two\n"

    alone = tmp_path / "alone.toml"
    alone.write_text(
        f'name = "app"\nversion = "3"\n[variables]\nROOT = "{tmp_path}/new"\n'
        + "".join(f'[file-sets.{name}]\npaths = ["$ROOT/{folder}"]\n' for name, folder in (
            ("conf", "etc"), ("vault", "vault"), ("apps", "apps"))))  # fmt: skip
    refused = silt("restore", "0/0", "--onto", alone, code=1)
    assert "version-mismatch: the version of the level is 2, and that of the destination 3" in refused.err
    assert "hint: to do it all the same: --allow version-mismatch" in refused.err
    told = silt("restore", "0/0", "--onto", alone, "--allow", "version-mismatch", "--dry-run", code=3)
    assert f"{tmp_path / 'node1'} -> {tmp_path / 'new'}" in told.out
    assert "about 1 s, if it goes as usual; nothing was measured yet" in told.out
    assert not (tmp_path / "new").exists()
    assert silt("show", "0/0", "--json").result["restores"] == []
    result = silt("restore", "0/0", "--onto", alone, "--allow", "version-mismatch", "--json", code=3).result
    assert (result["allowed"], result["files"]) == (["version-mismatch"], 3)
    assert [(each["host"], each["basis"], each["files"]) for each in result["expected"]] == [("", "assumed", 3)]
    assert (tmp_path / "new/etc/file").read_text() == "one\n"
    for said in (silt("show", "0/0").out, silt("status").out):
        assert "restored onto a standalone by" in said
        assert "although version-mismatch: the version of the level is 2, and that of the destination 3" in said
    (remembered,) = silt("show", "0/0", "--json").result["restores"]
    assert ([each["rule"] for each in remembered["allowed"]], remembered["files"]) == (["version-mismatch"], 3)
    assert silt("status", "--json").result["restores"][0]["deployment"] == "app"
    silt("verify")


def test_each_host_is_looked_at_by_itself(silt: Callable[..., Ran], file: Path, tmp_path: Path) -> None:
    """Both nodes have their files under the same paths, as on machines of their own."""
    link, path = tmp_path / "here", tmp_path / "here/etc/file"
    file.write_text(cluster_text(("node1", "node2")).replace("/nowhere", str(link)))
    for kind, changed in (("full", ""), ("incr", "changed")):
        for host in ("node1", "node2"):
            (tmp_path / host).rename(link)
            if changed and host == "node2":
                path.write_text(changed)
            silt("backup", "-c", file, "--host", host, "--type", kind)
            link.rename(tmp_path / host)

    listed = silt("ls", "0/0", link / "etc").out.splitlines()
    assert (listed[0], listed[2]) == ("node1:", "node2:")
    assert silt("ls", "0/0", link / "vault").out.startswith("node1:\n")
    assert silt("ls", "0/0", path, "--host", "node2").out.count("\n") == 1
    listed = silt("ls", "0/0", path, "--json").out.splitlines()
    assert [json.loads(line)["host"] for line in listed[:-1]] == ["node1", "node2"]
    assert "has nothing of host 'node3'" in silt("ls", "0/0", "--host", "node3", code=1).err
    assert silt("diff", "0/0", "0/1").out == f"M node2:{path} (content, mtime)\n"
    assert silt("diff", "0/0", "0/1", "--host", "node1").out == ""
    found = [line.split()[0] for line in silt("find", path).out.splitlines()]
    assert found == ["0/0..0/1@node1", "0/0@node2", "0/1@node2"]
    assert "node1" not in silt("find", path, "--host", "node2").out
    assert f"{path} is not the same on node1, node2" in silt("cat", "0/0", path, code=1).err
    assert "say whose are meant with --host" in silt("tar", "0/0", code=1).err

    silt("export", "0/0", "0/1", "--incremental", "--to", tmp_path)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for n in (0, 1):
        archive = tmp_path / f"app.node2_backup_group_0_level_{n}.tar"
        subprocess.run(["tar", "--incremental", "-xpf", archive, "-C", unpacked], check=True)
    assert (unpacked / path.relative_to("/")).read_text() == "changed"
    assert not (unpacked / link.relative_to("/") / "vault").exists()
    assert (tmp_path / "app.node1_backup_group_0_level_1.tar").exists()


def test_an_incomplete_level_is_forgotten_by_name(silt: Callable[..., Ran], file: Path, tmp_path: Path) -> None:
    silt("backup", "-c", file, *on(tmp_path, "node1"))
    assert "app:0/0, which was incomplete, was forgotten" in silt("forget", "0/0").out
    assert silt("list").out == "no backups yet\n"
    assert "app:1/0" in silt("backup", "-c", file, *on(tmp_path, "node1")).out
    silt("verify")


def test_this_host_is_none_of_them(silt: Callable[..., Ran], file: Path) -> None:
    ran = silt("backup", "-c", file, code=1)
    assert "is none of its hosts" in ran.err
    assert "its hosts: node1 (node1), node2 (node2)" in ran.err


def test_check_tries_what_this_host_has(silt: Callable[..., Ran], file: Path, tmp_path: Path) -> None:
    ran = silt("config", "check", file, *on(tmp_path, "node2"))
    assert "ok: topology: cluster" in ran.out
    assert "ok: file set conf: what is there can be read" in ran.out
    assert "vault" not in ran.out.split("\n", 1)[1]
    shared = tmp_path / "shared.toml"
    (tmp_path / "mnt").mkdir()
    shared.write_text(f'name = "app"\n[file-sets.v]\npaths = ["{tmp_path}/mnt/v"]\nshare = "{tmp_path}/mnt"\n')
    ran = silt("config", "check", shared, code=8)
    assert f"fault: file set v: nothing is mounted at {tmp_path}/mnt" in ran.out
    assert "ok" not in silt("config", "check", shared, "--offline").out
    assert f"nothing is mounted at {tmp_path}/mnt" in silt("backup", "-c", shared, code=1).err
    record = silt("config", "show", file, "--json").result
    assert record["configuration"] == "cluster"
    assert record["parts"] == ["conf@node1", "conf@node2", "vault@node1", "apps@node1"]
