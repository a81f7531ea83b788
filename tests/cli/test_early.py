"""A store that is unlocked from the start of the program on: when that is begun, and whom it serves."""

from pathlib import Path

import pytest

from siltstone import store
from siltstone.cli import early
from siltstone.cli.main import COMMANDS, run
from siltstone.store import Corrupt, KeyFile, Passphrase, Store, WrongKey, open_backend


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store whose passphrase is in the environment."""
    folder = tmp_path / "store"
    Store.init(open_backend(str(folder), create=True), [(Passphrase("right"), "")])
    monkeypatch.setenv("SILT_PASSPHRASE", "right")
    monkeypatch.delenv("SILT_STORE", raising=False)
    monkeypatch.setattr(early, "_early", None)
    return str(folder)


def begun(*arguments: str) -> str:
    """Which store is being unlocked for a command line, or ''."""
    early.begin(arguments)
    return early._early.place if early._early else ""


@pytest.mark.parametrize(
    "words",
    [
        ("--store", "PLACE", "list"),
        ("list", "--store=PLACE"),
        ("-q", "--limit-upload", "list", "--store", "PLACE", "restore", "latest", "--to", "."),
        ("backup", "--name", "-x", "/etc", "--store", "PLACE", "--json"),
    ],
)
def test_it_is_begun_where_the_command_line_says_the_store(place: str, words: tuple[str, ...]) -> None:
    assert begun(*(word.replace("PLACE", place) for word in words)) == place
    unlocked = early.unlocked(place, Passphrase("right"))
    assert unlocked is not None
    assert unlocked.config.encrypted


def test_or_the_environment(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILT_STORE", place)
    assert begun("list") == place


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--store", "PLACE"),
        ("--store", "PLACE", "config", "check"),
        ("--store", "PLACE", "wal", "push", "list"),
        ("--store", "PLACE", "list", "--help"),
        ("--store", "PLACE", "list", "--key-file", "list"),
        ("--store", "PLACE", "list", "--key-file=file"),
        ("list", "--store"),
        ("--store", "PLACE/none", "list"),
        ("--store", "s3://host/bucket", "list"),
    ],
)
def test_and_nowhere_else(place: str, words: tuple[str, ...]) -> None:
    assert not begun(*(word.replace("PLACE", place) for word in words))
    assert early.unlocked(place, Passphrase("right")) is None


def test_nor_without_a_passphrase(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", None):
        monkeypatch.setenv("SILT_PASSPHRASE", text) if text is not None else monkeypatch.delenv("SILT_PASSPHRASE")
        assert not begun("--store", place, "list")


def test_it_serves_this_store_with_this_secret_alone(place: str) -> None:
    assert begun("--store", place, "list")
    assert early.unlocked(place + "/", Passphrase("right")) is None
    assert early.unlocked(place, Passphrase("wrong")) is None
    assert early.unlocked(place, KeyFile(bytes(32))) is None
    assert early.unlocked(place, None) is None


def test_what_unlocking_raised_is_raised_where_it_is_asked_for(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILT_PASSPHRASE", "wrong")
    assert begun("--store", place, "list")
    with pytest.raises(WrongKey):
        early.unlocked(place, Passphrase("wrong"))
    (tmp_path / "no store").mkdir()
    (tmp_path / "no store/config").write_bytes(b"something else")
    assert begun("--store", str(tmp_path / "no store"), "list")
    with pytest.raises(Corrupt):
        early.unlocked(str(tmp_path / "no store"), Passphrase("wrong"))


def test_a_command_unlocks_no_second_time(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begun("--store", place, "list")
    assert early.unlocked(place, Passphrase("right"))
    monkeypatch.setattr(store, "unlock", None)
    assert run(["--store", place, "list"]) == 0
    assert "no backups yet" in capsys.readouterr().out


def test_the_commands_are_some_of_all() -> None:
    assert set(early.COMMANDS) < set(COMMANDS)
