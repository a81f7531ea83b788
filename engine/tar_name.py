"""The names of exported tar archives: which deployment, group and level a file holds, and when it was made.

    <deployment>_backup_group_<group>_level_<level>[-mm_dd_YYYY-HHh_MMm_SSs].tar

Both forms are ibackup's; the second is the one found in the field, in the time zone of the host that wrote it. Rule:
pure text; whether the file holds what its name says is the importer's business.
"""

import re
import time
from pathlib import Path

from msgspec import Struct

from .deployment import name_mistake
from .errors import ConfigError
from .levels import LevelRef

_NAME = re.compile(r"(?P<deployment>.+)_backup_group_(?P<group>\d{1,9})_level_(?P<level>\d{1,9})(?:-(?P<at>.+))?\.tar")
_TIME = "%m_%d_%Y-%Hh_%Mm_%Ss"


class TarName(Struct, frozen=True):
    """What a file's name says. `at_ns`: nanoseconds since 1970, None where the name has no time."""

    ref: LevelRef
    at_ns: int | None


def parse_tar_name(path: Path, *, deployment: str | None = None) -> TarName:
    """What the name of this file says; `deployment` stands in for the one in it. Raises ConfigError."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ConfigError(
            f"{path}: the name does not say which level it is",
            hint="a name is like phantom_backup_group_0_level_1.tar: rename the file",
        )
    name = deployment or found["deployment"]
    if mistake := name_mistake(name):
        raise ConfigError(f"{path}: '{name}' cannot name a deployment: {mistake}", hint="choose one with --name")
    return TarName(LevelRef(name, int(found["group"]), int(found["level"])), _time_of(path, found["at"]))


def _time_of(path: Path, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(time.mktime(time.strptime(text, _TIME))) * 10**9
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{path}: '{text}' is no time as in 11_20_2026-03h_00m_12s", hint="rename the file, or leave the time out"
        ) from None
