"""The settings file: the defaults of a user or machine, in TOML.

    store = "/mnt/backup/store"                  # what --store and SILT_STORE override
    key_file = "~/.config/silt/key"              # or SILT_KEY_FILE, --key-file
    passphrase_command = "pass show backup"      # or SILT_PASSPHRASE_COMMAND
    compression = "zstd"                         # what `silt init` gives a new store
    deployment = "/etc/silt/deployment.toml"     # what `silt backup` takes where neither -c nor a path is given
    cache = "~/.cache/silt"                      # what is kept here of remote stores, see `remote`; or SILT_CACHE
    cache_size = "2GiB"                          # or SILT_CACHE_SIZE
    limit_upload = "5MiB"                        # bytes a second to an object store; or --limit-upload
    limit_download = "20MiB"                     # or --limit-download

It lies at ~/.config/silt/config.toml (XDG_CONFIG_HOME is respected), or where SILT_CONFIG says; a file that SILT_CONFIG
names must exist, and an empty SILT_CONFIG means none.

Rule: a relative path is relative to the file, `~` is the user's home; a key that is not known is refused by file, line
and key. It holds no passphrase: a file that is copied into every backup is no place for one.
"""

import os
import re
from collections.abc import Mapping

from msgspec import Struct, field

from .mistake import Mistake

KEYS = (
    "store", "key_file", "passphrase_command", "compression", "deployment", "cache", "cache_size", "limit_upload",
    "limit_download", "undelete_window",
)  # fmt: skip
_PATHS = ("key_file", "deployment", "cache")
_AT_LINE = re.compile(r"line (\d+), column")


class Settings(Struct, frozen=True):
    """What the settings file says; None where it says nothing. `source` is the file, None if there is none."""

    source: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        """The value of one of KEYS, with paths made absolute."""
        value = self.values.get(key)
        if value is None or self.source is None:
            return None
        if key in _PATHS or (key == "store" and "://" not in value):
            return os.path.join(os.path.dirname(os.path.abspath(self.source)), os.path.expanduser(value))
        return value


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings file that the environment points to. Mistake if it cannot be read or says what it may not."""
    path = _place(environment)
    if path is None:
        return Settings()
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        if "SILT_CONFIG" in environment:
            raise Mistake(f"{path}: no such file", hint="SILT_CONFIG names it; write it or unset SILT_CONFIG") from None
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path}: the settings file cannot be read: {error}") from error
    return Settings(path, parse_settings(text, path))


def parse_settings(text: str, where: str) -> dict[str, str]:
    """The checked content of a settings file; `where` names it in mistakes."""
    import tomllib
    from difflib import get_close_matches

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at ")
        found = _AT_LINE.match(place)
        line = found[1] if found else len(text.splitlines())  # "at end of document"
        raise Mistake(f"{where}, line {line}: {what}", hint='the settings file is TOML: key = "value"') from None
    for key, value in table.items():
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(KEYS)}"
            raise Mistake(f"{where}, line {_line_of(key, text)}: unknown key {key!r}", hint=hint)
        if not isinstance(value, str) or not value:
            raise Mistake(f"{where}, line {_line_of(key, text)}: {key!r} must be a text that is not empty")
    return table


def _place(environment: Mapping[str, str]) -> str | None:
    if "SILT_CONFIG" in environment:
        return os.path.expanduser(environment["SILT_CONFIG"]) or None
    home = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(home, "silt", "config.toml")


def _line_of(key: str, text: str) -> int:
    # The file is flat and each value is one line, so the first line that begins with the key (or its table) is it.
    begins = re.compile(rf"\s*\[*\s*([\"']?){re.escape(key)}\1\s*[\].=]")
    return next((number for number, line in enumerate(text.splitlines(), 1) if begins.match(line)), 1)
