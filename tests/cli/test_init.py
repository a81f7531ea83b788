"""`silt init` and `silt key`: which keys a new store gets, and that each of them opens it."""

import os
import pty
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.cli.compression import NAMES
from siltstone.store import Passphrase, Store, open_backend, parse_key_file
from siltstone.store.frame import Compressor

from .conftest import PROGRAM, Silt


def opens(place: Path, *secrets: object) -> None:
    for secret in secrets:
        Store.open(open_backend(str(place)), secret)  # type: ignore[arg-type]  # the tests name secrets as they come


def test_a_passphrase(silt: Silt, tmp_path: Path) -> None:
    silt.environment["SILT_PASSPHRASE"] = "one"
    ran = silt("init", tmp_path / "store")
    assert "new store, encrypted, 1 key opens it" in ran.out
    opens(tmp_path / "store", Passphrase("one"))


def test_key_files_and_a_passphrase(silt: Silt, tmp_path: Path) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    assert silt("key", "new", first, "--json").result == {"type": "result", "key_file": str(first)}
    silt("key", "new", second)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    silt.environment["SILT_PASSPHRASE"] = "one"
    place = tmp_path / "store"
    ran = silt("init", place, "--key-file", first, "--key-file", second, "--passphrase", "--json")
    assert ran.result == {
        "type": "result",
        "store": str(place),
        "encrypted": True,
        "keys": 3,
        "conditional": True,
        "padded": False,
    }
    opens(place, Passphrase("one"), parse_key_file(first.read_text()), parse_key_file(second.read_text()))


def test_a_key_file_alone_leaves_the_passphrase_aside(silt: Silt, tmp_path: Path) -> None:
    silt("key", "new", tmp_path / "a.key")
    silt.environment["SILT_PASSPHRASE"] = "one"
    assert silt("init", tmp_path / "store", "--key-file", tmp_path / "a.key", "--json").result["keys"] == 1
    del silt.environment["SILT_PASSPHRASE"]
    silt("--store", tmp_path / "store", "list", "--key-file", tmp_path / "a.key")


def test_a_key_file_is_never_overwritten(silt: Silt, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("mine")
    assert "exists already" in silt("key", "new", tmp_path / "a.key", code=2).err
    assert (tmp_path / "a.key").read_text() == "mine"


def test_no_encryption(silt: Silt, make_store: Callable[..., Path], tmp_path: Path) -> None:
    place = make_store("--no-encryption")
    opens(place, None)
    silt("list", code=5)  # a passphrase was given, so the store was meant to be encrypted
    del silt.environment["SILT_PASSPHRASE"]
    assert "no backups yet" in silt("list").out
    assert "no key" in silt("init", tmp_path / "b", "--no-encryption", "--passphrase", code=2).err
    assert not (tmp_path / "b").exists()


def test_no_secret_and_no_terminal_is_an_error(silt: Silt, tmp_path: Path) -> None:
    ran = silt("init", tmp_path / "store", code=5)
    assert "no terminal to ask" in ran.err
    assert "hint: set SILT_PASSPHRASE, SILT_PASSPHRASE_COMMAND" in ran.err
    assert not (tmp_path / "store").exists()


def test_a_place_in_use_is_refused(silt: Silt, make_store: Callable[..., Path]) -> None:
    assert "there is a store already" in silt("init", make_store(), code=1).err


def test_the_store_of_the_settings(silt: Silt, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('store = "mine"\npassphrase_command = "echo two"\ncompression = "lz4"\n')
    silt.environment["SILT_CONFIG"] = str(settings)
    silt("init")
    store = Store.open(open_backend(str(tmp_path / "mine")), Passphrase("two"))
    assert store.config.compression == "lz4"


def test_a_padded_store(silt: Silt, tmp_path: Path) -> None:
    silt.environment["SILT_PASSPHRASE"] = "one"
    assert "its packs are padded" in silt("init", tmp_path / "store", "--pad").out
    assert Store.open(open_backend(str(tmp_path / "store")), Passphrase("one")).config.padded
    del silt.environment["SILT_PASSPHRASE"]
    assert "hides nothing" in silt("init", tmp_path / "other", "--pad", "--no-encryption", code=2).err


def on_a_terminal(typed: list[bytes], *arguments: str) -> tuple[int, bytes]:
    """Run `silt` on a terminal of its own; each line is typed when a prompt (`...: `) has come. (exit code, output)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(PROGRAM[0], [*PROGRAM, *arguments])
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the terminal is gone with its last process
            break
        shown += piece
        if shown.endswith(b": ") and typed:
            os.write(terminal, typed.pop(0) + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_terminal_is_asked_twice(tmp_path: Path) -> None:
    code, shown = on_a_terminal([b"secret", b"secret"], "init", str(tmp_path / "store"))
    assert code == 0
    assert b"secret" not in shown
    opens(tmp_path / "store", Passphrase("secret"))


def test_a_wrong_passphrase_may_be_typed_again(silt: Silt, tmp_path: Path) -> None:
    silt.environment["SILT_PASSPHRASE"] = "right"
    silt("init", tmp_path / "store")
    code, shown = on_a_terminal([b"wrong", b"right"], "--store", str(tmp_path / "store"), "list")
    assert (code, shown.count(b"Passphrase of")) == (0, 2)
    code, shown = on_a_terminal([b"wrong"] * 3, "--store", str(tmp_path / "store"), "list")
    assert (code, shown.count(b"Passphrase of")) == (5, 3)


@pytest.mark.parametrize("name", ["zstd-99", "brotli"])
def test_an_unknown_compression_is_refused(silt: Silt, tmp_path: Path, name: str) -> None:
    silt.environment["SILT_PASSPHRASE"] = "one"
    assert name in silt("init", tmp_path / "store", "--compression", name, code=2).err
    (tmp_path / "settings.toml").write_text(f'compression = "{name}"')
    silt.environment["SILT_CONFIG"] = str(tmp_path / "settings.toml")
    assert f"settings.toml: there is no compression '{name}'" in silt("init", tmp_path / "store", code=2).err
    assert not (tmp_path / "store").exists()


def test_the_store_knows_every_compression() -> None:
    for name in NAMES:
        Compressor(name)
