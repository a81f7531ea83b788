"""What the scheduled runs on this host came to: a small file a deployment, outside of the store.

    <state folder>/<deployment>.json := {task: {"begun": seconds, "ended": seconds, "exit_code": n, "said": text}}

The store cannot tell of a run that failed, so the host that ran it does. Rule: the file is replaced as a whole; one
that cannot be read is as none, since the next run writes it anew. Which folder it is, is the caller's business.
"""

import json
import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict


class Run(Struct, frozen=True):
    """A run of a task: when (seconds since 1970), its exit code, and the last lines that it said."""

    begun: float
    ended: float
    exit_code: int
    said: str = ""

    @property
    def failed(self) -> bool:
        """Whether nothing came of it: done (0) and done with warnings (3) are no failures."""
        return self.exit_code not in (0, 3)


def read_runs(folder: Path, deployment: str) -> dict[str, Run]:
    """The last run of each task."""
    try:
        rows = json.loads((folder / f"{deployment}.json").read_text(encoding="utf-8"))
        return {task: Run(**row) for task, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(folder: Path, deployment: str, task: str, run: Run) -> None:
    """Keep what a run came to. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {**read_runs(folder, deployment), task: run}
    replace_text(folder / f"{deployment}.json", json.dumps({name: asdict(each) for name, each in runs.items()}))


def replace_text(path: Path, text: str) -> None:
    """Write a file that others read at any moment: whole, readable for all. Raises OSError."""
    import tempfile

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(descriptor, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
