"""Which entries of a level are meant: all, or those that paths and globs name, of every file set or of one.

A pattern is held against whole absolute paths:

    *               any characters of one name, also none; a leading dot is no exception
    ?               one character of a name
    [abc] [!a-z]    one character that is, or is not, one of these
    **              as a whole name: any number of folders, also none
    anything else   itself; and a pattern that is, letter by letter, the path of an entry means that entry

Rule: what matches is selected with everything below it. A pattern without a slash at its beginning may begin at any
folder (`*.pem`, `ssl/certs`). Characters are those of the file system's encoding; a byte that is part of none counts as
one. It does not resolve `.` and `..` or the caller's working folder: whoever takes patterns from a user does that.
"""

import os
import re
from collections.abc import Iterable

from msgspec import Struct

_MAGIC = re.compile(rb"[*?[]")


class Selection(Struct, frozen=True):
    """What is selected: `patterns` (none: everything) of the file set `set_name` (None: of all, but for
    `without_sets`) of `host` (None: of the only one), without the paths `but`, word for word.
    """

    patterns: tuple[bytes, ...] = ()
    set_name: str | None = None
    but: frozenset[bytes] = frozenset()
    without_sets: frozenset[str] = frozenset()
    host: str | None = None

    @property
    def everything(self) -> bool:
        """Whether all entries of the level are meant."""
        return not (self.patterns or self.but or self.set_name is not None or self.without_sets or self.host)

    def matcher(self) -> "Matcher":
        """The patterns, ready to be asked."""
        return Matcher(self.patterns)


class Matcher:
    """Patterns held against paths. It remembers which of them matched anything."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self.patterns = tuple(_tidied(pattern) for pattern in patterns)
        self._waiting = {pattern: _expression([pattern]) for pattern in self.patterns}
        self._any = _expression(self.patterns)
        self.prefixes = _topmost(_literal_prefix(pattern) for pattern in self.patterns) or (b"/",)

    def selects(self, path: bytes) -> bool:
        """Whether the path is selected: it or a folder above it matches. Everything is, where there are no patterns."""
        if not self.patterns:
            return True
        text = os.fsdecode(path)
        if self._any.fullmatch(text) is None:
            return False
        for pattern in [pattern for pattern, alone in self._waiting.items() if alone.fullmatch(text)]:
            del self._waiting[pattern]
        return True

    def unmatched(self) -> tuple[bytes, ...]:
        """The patterns that no path asked for so far has matched."""
        return tuple(self._waiting)

    def roots(self, walked: Iterable[bytes]) -> tuple[bytes, ...]:
        """The topmost paths that can be selected of a level whose file sets were walked from `walked`."""
        found = []
        for root in walked:
            for prefix in self.prefixes:
                if is_within(prefix, root):
                    found.append(prefix)
                elif is_within(root, prefix):
                    found.append(root)
        return _topmost(found)


def _tidied(pattern: bytes) -> bytes:
    """Without doubled and trailing slashes."""
    pattern = re.sub(rb"/+", b"/", pattern)
    return pattern if pattern == b"/" else pattern.removesuffix(b"/")


def _literal_prefix(pattern: bytes) -> bytes:
    """The folder, or the path itself, below which everything lies that a pattern can match."""
    if not pattern.startswith(b"/"):
        return b"/"
    names = pattern.split(b"/")
    plain = next((at for at, name in enumerate(names) if _MAGIC.search(name)), len(names))
    return b"/".join(names[:plain]) or b"/"


def _topmost(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """The paths that do not lie below others of them, sorted."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=lambda path: path.replace(b"/", b"\0")):
        if not kept or not is_within(path, kept[-1]):
            kept.append(path)
    return tuple(kept)


def is_within(path: bytes, folder: bytes) -> bool:
    """Whether a path is the folder or lies below it."""
    return path == folder or path.startswith(folder if folder == b"/" else folder + b"/")


def _expression(patterns: Iterable[bytes]) -> re.Pattern[str]:
    """Matches the paths that one of the patterns selects."""
    forms: list[str] = []
    for pattern in patterns:
        text = os.fsdecode(pattern)
        forms.append("" if text == "/" else ("" if text.startswith("/") else "(?:/.*)?/") + re.escape(text))
        if _MAGIC.search(pattern):
            forms.append(_translated(text))
    return re.compile(f"(?:{'|'.join(forms)})(?:/.*)?", re.DOTALL)


def _translated(glob: str) -> str:
    """The expression of a glob: each name with the slash before it."""
    names = glob.removeprefix("/").split("/")
    if not glob.startswith("/"):
        names.insert(0, "**")
    parts = []
    for at, name in enumerate(names):
        if name != "**":
            parts.append("/" + _translated_name(name))
        elif at == len(names) - 1:
            parts.append("/.+")  # everything below, and not the folder itself
        else:
            parts.append("(?:/[^/]+)*")
    return "".join(parts)


def _translated_name(name: str) -> str:
    parts, at = [], 0
    while at < len(name):
        character = name[at]
        at += 1
        if character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[" and (end := name.find("]", at + (2 if name[at : at + 1] in ("!", "^") else 1))) > 0:
            parts.append(_translated_set(name[at:end]))
            at = end + 1
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def _translated_set(inside: str) -> str:
    """`abc`, `!abc`, `a-z` as they stand between brackets. A range whose end comes before its start holds nothing."""
    negated = inside[:1] in ("!", "^")
    items, at = [], int(negated)
    while at < len(inside):
        first, last = inside[at], inside[at]
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            last = inside[at + 2]
            at += 2
        at += 1
        if first <= last:
            items.append(f"{re.escape(first)}-{re.escape(last)}")
    if not items:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(items)}]"
