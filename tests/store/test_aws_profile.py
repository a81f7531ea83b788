"""What is taken from the files of `aws`: real files, in the places and forms that its documentation names."""

from pathlib import Path

import pytest

from siltstone.store.aws_profile import profile_config


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a%b/c+d=\n\n"
        "[backup]\naws_access_key_id = AKIA2\naws_secret_access_key = two\naws_session_token = token\n"
    )
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-central-1\n\n[profile backup]\nregion = eu-west-1\n"
        "endpoint_url = https://s3.example.com\n\n[profile sso]\nsso_session = work\nregion = eu-west-3\n"
    )
    return tmp_path


def test_the_default_profile(home: Path) -> None:
    assert profile_config({"HOME": str(home)}) == {
        "access_key_id": "AKIA1",
        "secret_access_key": "a%b/c+d=",
        "region": "eu-central-1",
    }


def test_a_named_profile(home: Path) -> None:
    assert profile_config({"HOME": str(home), "AWS_PROFILE": "backup"}) == {
        "access_key_id": "AKIA2",
        "secret_access_key": "two",
        "session_token": "token",
        "region": "eu-west-1",
        "endpoint": "https://s3.example.com",
    }


def test_the_environment_wins(home: Path) -> None:
    environment = {"HOME": str(home), "AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "y", "AWS_ENDPOINT_URL": "https://z"}
    assert profile_config({**environment, "AWS_PROFILE": "backup"}) == {}


def test_files_in_other_places(home: Path) -> None:
    moved = home / "credentials"
    (home / ".aws" / "credentials").rename(moved)
    assert "access_key_id" not in profile_config({"HOME": str(home)})
    found = profile_config({"HOME": str(home), "AWS_SHARED_CREDENTIALS_FILE": str(moved)})
    assert found["access_key_id"] == "AKIA1"


def test_no_files_are_no_profile(tmp_path: Path) -> None:
    assert profile_config({"HOME": str(tmp_path)}) == {}


def test_a_profile_that_is_not_there(home: Path) -> None:
    with pytest.raises(ValueError, match="'absent'"):
        profile_config({"HOME": str(home), "AWS_PROFILE": "absent"})


def test_a_profile_that_only_aws_can_open(home: Path) -> None:
    with pytest.raises(ValueError, match="aws configure export-credentials --profile sso"):
        profile_config({"HOME": str(home), "AWS_PROFILE": "sso"})


def test_a_file_that_does_not_parse(home: Path) -> None:
    (home / ".aws" / "config").write_text("region = eu-west-1\n")
    with pytest.raises(ValueError, match="config"):
        profile_config({"HOME": str(home)})
