"""What a remote store may use of this host: its cache, and the bandwidth.

    SILT_CACHE         cache           the folder; empty: none. ~/.cache/silt, and XDG_CACHE_HOME is respected
    SILT_CACHE_SIZE    cache_size      how much of it each store may fill; 2GiB
    --limit-upload     limit_upload    bytes a second, such as 5MiB
    --limit-download   limit_download

Rule: what is nearest wins, as everywhere: the command line, the environment, the settings file.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .mistake import Mistake
from .options import Options
from .settings import Settings

if TYPE_CHECKING:
    from siltstone.store import Bandwidth, CachePlace

# The index of 32 million chunks, or 4 TB, and the manifests of some million files beside it.
CACHE_SIZE = "2GiB"


def cache_place(environment: Mapping[str, str], settings: Settings) -> "CachePlace | None":
    """Where copies of a remote store's index and manifests are kept, or None."""
    from siltstone.store import CachePlace

    folder = environment.get("SILT_CACHE", settings.get("cache"))
    if folder is None:
        above = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = os.path.join(above, "silt")
    size = environment.get("SILT_CACHE_SIZE") or settings.get("cache_size") or CACHE_SIZE
    return (
        CachePlace(os.path.abspath(os.path.expanduser(folder)), _amount(size, "size of the cache")) if folder else None
    )


def bandwidth(options: Options, settings: Settings) -> "Bandwidth | None":
    """The limits that were given, or None."""
    upload = options.limit_upload or settings.get("limit_upload")
    download = options.limit_download or settings.get("limit_download")
    if not upload and not download:
        return None
    from siltstone.store import Bandwidth

    what = "bandwidth (bytes a second)"
    return Bandwidth(_amount(upload, what) if upload else None, _amount(download, what) if download else None)


def _amount(text: str, what: str) -> int:
    from siltstone.engine import parse_amount

    amount = parse_amount(text)
    if not amount:
        raise Mistake(f"{text!r} is no {what}", hint="write it as 500KiB, 5MiB or 2GiB")
    return amount
