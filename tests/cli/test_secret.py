"""Where the secret comes from: which source wins, and what is said when one does not give it."""

from pathlib import Path

import pytest

from siltstone.cli.mistake import Mistake
from siltstone.cli.secret import ask_new_passphrase, given_passphrase, given_secret, read_key_file
from siltstone.cli.settings import Settings
from siltstone.store import KeyFile, NoKey, Passphrase, WrongKey, make_key_file, parse_key_file

NONE = Settings()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "silt.key"
    path.write_text(make_key_file())
    return path


def key_in(path: Path) -> KeyFile:
    return parse_key_file(path.read_text())


def test_the_nearest_source_wins(key_file: Path, tmp_path: Path) -> None:
    environment = {
        "SILT_PASSPHRASE": "one",
        "SILT_PASSPHRASE_COMMAND": "echo two",
        "SILT_KEY_FILE": str(key_file),
    }
    settings = Settings(str(tmp_path / "c.toml"), {"passphrase_command": "echo four", "key_file": str(key_file)})
    assert given_secret(str(key_file), environment, settings) == key_in(key_file)
    assert given_secret(None, environment, settings) == Passphrase("one")
    del environment["SILT_PASSPHRASE"]
    assert given_secret(None, environment, settings) == Passphrase("two")
    del environment["SILT_PASSPHRASE_COMMAND"]
    assert given_secret(None, environment, settings) == key_in(key_file)
    assert given_passphrase(environment, settings) == Passphrase("four")
    assert given_secret(None, {}, settings) == Passphrase("four")
    assert given_secret(None, {}, Settings(str(tmp_path / "c.toml"), {"key_file": str(key_file)})) == key_in(key_file)
    assert given_secret(None, {}, NONE) is None
    assert given_passphrase({}, NONE) is None


def test_a_command_gives_its_first_line() -> None:
    environment = {"SILT_PASSPHRASE_COMMAND": r"printf ' with \xe9 blanks \r\nsecond\n'"}
    assert given_secret(None, environment, NONE) == Passphrase(" with \udce9 blanks ")


def test_a_command_has_no_shell(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    assert given_secret(None, {"SILT_PASSPHRASE_COMMAND": f"echo a; touch {witness}"}, NONE) is not None
    assert not witness.exists()


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        ("false", NoKey, "exit code 1"),
        ("true", NoKey, "wrote no passphrase"),
        ("/no/such/program", Mistake, "cannot be run"),
        ("echo 'unclosed", Mistake, "cannot be run"),
        ("  ", Mistake, "cannot be run"),
    ],
)
def test_a_command_that_fails(command: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        given_secret(None, {"SILT_PASSPHRASE_COMMAND": command}, NONE)
    assert "SILT_PASSPHRASE_COMMAND" in str(caught.value)


def test_key_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match=r"absent: the key file cannot be read: No such file"):
        read_key_file(str(tmp_path / "absent"))
    (tmp_path / "other").write_bytes(b"\xffhello")
    with pytest.raises(WrongKey, match="other: this is not"):
        read_key_file(str(tmp_path / "other"))


def answers(*given: str) -> list[str]:
    return list(reversed(given))


def test_a_new_passphrase_is_asked_twice() -> None:
    said = answers("one", "two", "three", "three")
    assert ask_new_passphrase(lambda _prompt: said.pop()) == Passphrase("three")


def test_a_new_passphrase_that_never_agrees() -> None:
    said = answers(*"abcdef")
    with pytest.raises(Mistake, match="differ"):
        ask_new_passphrase(lambda _prompt: said.pop())


def test_an_empty_new_passphrase() -> None:
    with pytest.raises(Mistake, match="empty"):
        ask_new_passphrase(lambda _prompt: "")
