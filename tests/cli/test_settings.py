"""The settings file: found where it should be, its values resolved, its mistakes named by file, line and key."""

from pathlib import Path

import pytest

from siltstone.cli.mistake import Mistake
from siltstone.cli.settings import Settings, load_settings, parse_settings


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    settings = load_settings({"XDG_CONFIG_HOME": str(tmp_path)})
    assert settings == Settings()
    assert settings.get("store") is None


def test_it_is_found_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "silt").mkdir()
    (tmp_path / "silt" / "config.toml").write_text('store = "/mnt/store"\n')
    assert load_settings({"XDG_CONFIG_HOME": str(tmp_path)}).get("store") == "/mnt/store"


def test_silt_config_names_it(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('compression = "lz4"')
    assert load_settings({"SILT_CONFIG": str(file)}).get("compression") == "lz4"
    assert load_settings({"SILT_CONFIG": "", "XDG_CONFIG_HOME": str(tmp_path)}) == Settings()
    with pytest.raises(Mistake, match="no such file"):
        load_settings({"SILT_CONFIG": str(tmp_path / "absent.toml")})


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    values = {"store": "store", "key_file": "~/key", "deployment": "/etc/d.toml", "passphrase_command": "./ask"}
    settings = Settings(str(tmp_path / "config.toml"), values)
    assert settings.get("store") == str(tmp_path / "store")
    assert settings.get("key_file") == "/home/ana/key"
    assert settings.get("deployment") == "/etc/d.toml"
    assert settings.get("passphrase_command") == "./ask"
    assert Settings(str(tmp_path / "c"), {"store": "s3://bucket/a"}).get("store") == "s3://bucket/a"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('\n# store\nstroe = "/a"', "my.toml, line 3: unknown key 'stroe'", "did you mean 'store'?"),
        ('store = "/a"\n"wild key" = 1', "my.toml, line 2: unknown key 'wild key'", "the keys are store, "),
        ("[retention]\nkeep = 3", "my.toml, line 1: unknown key 'retention'", "the keys are"),
        ("a.b = 3", "my.toml, line 1: unknown key 'a'", ""),
        ("\nstore = 3", "my.toml, line 2: 'store' must be a text", ""),
        ('key_file = ""', "my.toml, line 1: 'key_file' must be a text that is not empty", ""),
        ('store = "/a"\nstore', "my.toml, line 2: ", "TOML"),
        ('store = "/a', "my.toml, line 1: ", "TOML"),
        ('store = "/a"\nstore = "/b"', "my.toml, line 2: ", "TOML"),
    ],
)
def test_mistakes_are_named(text: str, message: str, hint: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse_settings(text, "my.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Mistake, match="cannot be read"):
        load_settings({"SILT_CONFIG": str(file)})
