"""The errors of the engine, grown from the one root that the store defines.

Rule: an error carries its data, says one sentence that names the thing, and gives a hint on what to do.
It does not print and knows no exit codes; what was done but not perfectly is an event, not an error.
"""

from pathlib import Path

from siltstone.store import SiltError


class EngineError(SiltError):
    """Something about deployments, levels, or the files they hold."""


class ConfigError(EngineError):
    """The description of a deployment holds a mistake.

    `file`, `line` (counted from 1) and `key` (such as `file-sets.vault.paths`) say where, as far as that is known.
    The text of the error opens with them; `what` is the mistake alone.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str = "",
    ) -> None:
        spot = None if file is None and line is None else f"{file or 'line'}:{line}" if line else str(file)
        super().__init__(": ".join(part for part in (spot, key, message) if part), hint=hint)
        self.what = message
        self.file = file
        self.line = line
        self.key = key


class LevelNotFound(EngineError):
    """No level of the store answers to what was asked for. `spec` is what was asked for, if it was one name."""

    def __init__(self, message: str, *, spec: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.spec = spec


class SourceError(EngineError):
    """What is to be backed up cannot be read at all (one unreadable file is a warning, not this)."""


class TargetError(EngineError):
    """The place that a restore writes to refused or failed."""


class TargetFull(EngineError):
    """The place that a restore writes to has no room left. What is there already is whole."""


class NothingSelected(EngineError):
    """Nothing in the level answers to the paths, globs or file set that were asked for."""
