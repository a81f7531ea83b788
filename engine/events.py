"""Events: what the engine reports while it works. It prints nothing; the caller shows these as it likes.

Rule: events are small, frozen and complete in themselves. `Progress` comes at most some ten times a second; a `Warned`
means that the result is not all that was asked for.
"""

from collections.abc import Callable

from msgspec import Struct


class Progress(Struct, frozen=True):
    """How far a phase is. Totals are None while unknown. `current` is a path, as text, of what is at work."""

    phase: str
    files: int
    bytes: int
    new_bytes: int = 0
    current: str = ""
    total_files: int | None = None
    total_bytes: int | None = None


class Warned(Struct, frozen=True):
    """Something that was not done as asked. `kind` is one word for counting: changed, vanished, unreadable, ..."""

    kind: str
    path: str
    message: str


class Noted(Struct, frozen=True):
    """Something worth a line that is no fault."""

    message: str


Event = Progress | Warned | Noted
Report = Callable[[Event], None]


def show_path(path: bytes) -> str:
    """A path for messages: what is not UTF-8 is shown as escapes."""
    return path.decode("utf-8", "backslashreplace")
