"""Where this host keeps what its scheduled runs came to, and what one that reads nothing back keeps of its levels.

Rule: outside of the store, and of what a user may delete to save room: it is state and no cache. The folder need not be
there before something is kept.
"""

import os
from collections.abc import Mapping
from pathlib import Path


def state_folder(environment: Mapping[str, str]) -> Path:
    """SILT_STATE, else /var/lib/silt for root, else ~/.local/state/silt (XDG_STATE_HOME is respected)."""
    if folder := environment.get("SILT_STATE"):
        return Path(folder)
    if os.geteuid() == 0:
        return Path("/var/lib/silt")
    home = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "silt"
