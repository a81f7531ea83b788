"""Keys, region and endpoint out of the files that `aws configure` writes.

    ~/.aws/credentials   or AWS_SHARED_CREDENTIALS_FILE    [name]
    ~/.aws/config        or AWS_CONFIG_FILE                [profile name], but [default]

The format is that of https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html. Rule: the environment
wins over the files, and keys are taken from one place, never half from each. A profile that only `aws` itself can turn
into keys (single sign-on, assumed roles, credential_process) is refused with the way to go; where AWS_PROFILE is not
set, such a [default] is passed over, since the machine may have a role.
"""

import configparser
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import S3Config

_INDIRECT = ("sso_session", "sso_start_url", "role_arn", "credential_process", "login_session")


def profile_config(environment: Mapping[str, str]) -> "S3Config":
    """What the chosen profile adds to the environment. Raises ValueError where AWS_PROFILE names none or one that
    needs `aws`, OSError where a file cannot be read.
    """
    name = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    row = _profile(name or "default", environment)
    if name and not row:
        raise ValueError(f"AWS_PROFILE names {name!r}, and neither of the profile files has it")
    config: S3Config = {}
    if not environment.get("AWS_ACCESS_KEY_ID"):
        if "aws_access_key_id" in row:
            config["access_key_id"] = row["aws_access_key_id"]
            config["secret_access_key"] = row.get("aws_secret_access_key", "")
            if "aws_session_token" in row:
                config["session_token"] = row["aws_session_token"]
        elif name and any(key in row for key in _INDIRECT):
            how = f'eval "$(aws configure export-credentials --profile {name} --format env)"'
            raise ValueError(f"the profile {name!r} holds no keys; let aws make some: {how}")
    if "region" in row and not (environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")):
        config["region"] = row["region"]
    if "endpoint_url" in row and not any(name.startswith("AWS_ENDPOINT") for name in environment):
        config["endpoint"] = row["endpoint_url"]
    return config


def _profile(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The rows of a profile from both files; what stands with the credentials wins."""
    home = environment.get("HOME") or os.path.expanduser("~")
    config = environment.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws", "config")
    credentials = environment.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, ".aws", "credentials")
    section = name if name == "default" else f"profile {name}"
    return {**_section(config, section), **_section(credentials, name)}


def _section(path: str, section: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {str(error).partition(chr(10))[0]}") from error
    return dict(parser[section]) if parser.has_section(section) else {}
