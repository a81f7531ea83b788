"""`silt restore`: where files land, what is said, and what the exit codes mean."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def tree(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A small tree, backed up as level 0/0 of 'app'; a test may change it."""
    make_store()
    root = tmp_path / "tree"
    (root / "ssl" / "certs").mkdir(parents=True)
    (root / "a.txt").write_text("one\n")
    (root / "ssl" / "certs" / "ca.pem").write_text("certificate\n")
    (root / os.fsdecode(b"caf\xe9")).write_text("coffee\n")
    silt("backup", root, "--name", "app")
    return root


def below(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of each file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_level_lands_under_its_original_path(silt: Silt, tree: Path, tmp_path: Path) -> None:
    ran = silt("restore", "latest", "--to", tmp_path / "out")
    assert f"app:0/0 was restored to {tmp_path / 'out'}\n" in ran.out
    assert "files    3, 23 B\n" in ran.out
    assert below(tmp_path / "out" / tree.relative_to("/")) == below(tree)


def test_paths_and_globs_select(silt: Silt, tree: Path, tmp_path: Path) -> None:
    result = silt("restore", "0/0", "*.pem", tree / "a.txt", "--to", tmp_path / "out", "--json").result
    assert (result["files"], result["deployment"], result["level"]) == (2, "app", 0)
    assert set(below(tmp_path / "out" / tree.relative_to("/"))) == {"a.txt", "ssl/certs/ca.pem"}


def test_a_path_relative_to_the_current_folder(
    silt: Silt, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    silt("restore", "0/0", "./ssl", "--to", "../out")
    assert set(below(tmp_path / "out" / tree.relative_to("/"))) == {"ssl/certs/ca.pem"}


def test_a_base_is_left_out_of_the_path(silt: Silt, tree: Path, tmp_path: Path) -> None:
    silt("restore", "0/0", "--base", tree, "--to", tmp_path / "out")
    assert below(tmp_path / "out") == below(tree)


def test_what_it_took_foretells_a_restore_onto_another_deployment(silt: Silt, tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes(bytes(range(256)) * (1 << 16))
    silt("backup", tree, "--name", "app")
    silt("restore", "latest", "--to", tmp_path / "out")
    (tmp_path / "other.toml").write_text(f'name = "app"\n[file-sets.files]\npaths = ["{tmp_path}/other"]\n')
    (expected,) = silt("restore", "latest", "--onto", tmp_path / "other.toml", "--dry-run", "--json").result["expected"]
    assert expected["basis"] == "restore"


@pytest.mark.parametrize("where", ["--to", "--onto"])
def test_a_dry_run_leaves_the_store_untouched(silt: Silt, tree: Path, tmp_path: Path, where: str) -> None:
    """Not even a lease that is gone again afterwards: a folder's time would tell."""
    store = Path(silt.environment["SILT_STORE"])
    onto = tmp_path / "onto.toml"
    onto.write_text(f'name = "other"\n[file-sets.files]\npaths = ["{tmp_path}/out"]\n')
    before = {path: path.stat().st_mtime_ns for path in [store, *store.rglob("*")]}
    silt("restore", "latest", where, onto if where == "--onto" else tmp_path / "out", "--dry-run")
    assert {path: path.stat().st_mtime_ns for path in [store, *store.rglob("*")]} == before
    assert not (tmp_path / "out").exists()


def test_one_file_set(silt: Silt, tree: Path, tmp_path: Path) -> None:
    silt("restore", "0/0", "--set", "files", "--to", tmp_path / "out")
    assert below(tmp_path / "out" / tree.relative_to("/")) == below(tree)


def test_in_place_only_what_differs_is_written(silt: Silt, tree: Path) -> None:
    (tree / "a.txt").write_text("three\n")
    (tree / "new.txt").write_text("mine\n")
    result = silt("restore", "0/0", "--in-place", "--dry-run", "--json").result
    assert (result["dry_run"], result["written_bytes"]) == (True, 4)
    assert (tree / "a.txt").read_text() == "three\n"
    result = silt("restore", "0/0", "--in-place", "--verify", "--json").result
    assert (result["unchanged_files"], result["written_bytes"], result["failures"]) == (2, 4, [])
    assert (tree / "a.txt").read_text() == "one\n"
    assert (tree / "new.txt").read_text() == "mine\n"


def test_what_matches_nothing(silt: Silt, tree: Path, tmp_path: Path) -> None:
    assert "nothing of *.absent" in silt("restore", "0/0", "*.absent", "--to", tmp_path / "out", code=1).err
    ran = silt("restore", "0/0", "*.absent", "*.txt", "--to", tmp_path / "out", code=3)
    assert "warning: *.absent: nothing in level 0/0 matches" in ran.err
    assert "warnings  1" in ran.out


def test_a_damaged_pack_costs_only_its_files(silt: Silt, tree: Path, tmp_path: Path) -> None:
    packs = {path for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file()}
    (tree / "large").write_bytes(os.urandom(3 << 20))
    silt("backup", tree, "--name", "app")
    new = {path for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file()} - packs
    pack = max(new, key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"damage")
    result = silt("restore", "0/1", "--to", tmp_path / "out", "--json", code=4).result
    assert result["damaged"]
    assert [failure["path"] for failure in result["failures"]] == [str(tree / "large")]
    restored = below(tmp_path / "out" / tree.relative_to("/"))
    assert restored == {name: data for name, data in below(tree).items() if name != "large"}


def test_a_preview_refuses_what_a_restore_refuses(silt: Silt, tmp_path: Path, tree: Path) -> None:
    (tree / "ssl" / "certs").rename(tree / "elsewhere")
    (tree / "ssl" / "certs").symlink_to(tree / "elsewhere")
    result = silt("restore", "0/0", "--in-place", "--dry-run", "--json").result
    assert (result["written_bytes"], result["failures"]) == (12, [])  # a link below what is restored gives way
    moved = tree.rename(tmp_path / "moved")
    tmp_path.joinpath("tree").symlink_to(moved)
    paths = [tree / "a.txt", tree / "ssl" / "certs"]
    ran = silt("restore", "0/0", *paths, "--in-place", "--dry-run", "--json", code=3)
    reason = f"{tree}: a symlink stands where a directory must be"
    said = [{"path": str(path), "reason": reason} for path in (tree / "a.txt", tree / "ssl" / "certs" / "ca.pem")]
    assert (ran.result["failures"], ran.result["damaged"], ran.result["files"]) == (said, False, 0)
    failures = silt("restore", "0/0", *paths, "--in-place", "--json", code=3).result["failures"]
    assert all(each in failures for each in said)  # which names the folders, too


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say where to restore to"),
        (["--to", "out", "--in-place"], "say where to restore to"),
        (["--base", "/srv", "--in-place"], "--base has no meaning with --in-place"),
        (["--onto", "x.toml", "--set", "a", "--until", "latest"], "--until has no meaning with --set"),
        (["--onto", "x.toml", "--tablespace", "/a=/b"], "--tablespace has no meaning with --onto"),
        (["", "--to", "out"], "an empty path selects nothing"),
    ],
)
def test_mistakes(silt: Silt, arguments: list[str], words: str) -> None:
    assert words in silt("restore", "0/0", *arguments, code=2).err
