"""From the paths and globs of a command line to what they select in a level.

Rule: a pattern that begins with '/' is a whole path, one that begins with '.' or '..' is relative to the current
folder, and any other may begin at any folder. `.` and `..` are resolved by the text alone, and `~` is the shell's.
What a pattern then matches is the engine's word (`Selection`).
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .mistake import Mistake

if TYPE_CHECKING:
    from siltstone.engine import Selection


def selection_of(patterns: Sequence[str], set_name: str | None, host: str | None = None) -> "Selection":
    """What patterns select, of one file set or of all, of one host if said. Mistake for an empty pattern."""
    from siltstone.engine import Selection

    return Selection(tuple(pattern_of(text) for text in patterns), set_name, host=host)


def pattern_of(text: str) -> bytes:
    """A pattern as the engine takes it."""
    if not text:
        raise Mistake("an empty path selects nothing", hint="name a path or a glob; without one everything is meant")
    pattern = os.fsencode(text)
    if pattern.split(b"/", 1)[0] in (b".", b".."):
        return absolute_path(text)
    # POSIX gives two leading slashes a meaning of their own, and normpath keeps them; Linux does not.
    normal = os.path.normpath(pattern)
    return b"/" + normal.lstrip(b"/") if pattern.startswith(b"/") else normal


def absolute_path(text: str) -> bytes:
    """A path made absolute from the current folder, by its text alone."""
    if not text:
        raise Mistake("the path is empty")
    return b"/" + os.path.abspath(os.fsencode(text)).lstrip(b"/")
