"""A TOML text read with care: tables that know where they stand, and say so when an entry is not what it must be.

Rule: every mistake is a ConfigError with file, line and key, whoever finds it; readers of a table
make theirs with `error` too.
It knows nothing of deployments.
"""

import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from .errors import ConfigError
from .span import parse_span
from .toml_lines import KeyPath, key_lines, nearest_line
from .variables import did_you_mean

_WORDS = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}


class Table(Struct, frozen=True):
    """One table of a text. A typed reading of an absent key gives the empty value of its type."""

    entries: Mapping[str, object]
    path: KeyPath
    source: Path | None
    lines: Mapping[KeyPath, int]

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def error(self, message: str, *key: str | int, hint: str = "") -> ConfigError:
        """What to raise for a mistake in this table, or in the key (and place in its list) given."""
        path = (*self.path, *key)
        shown = ".".join(part for part in path if isinstance(part, str))
        return ConfigError(message, file=self.source, line=nearest_line(self.lines, path), key=shown, hint=hint)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raise for the first key that is none of the known ones."""
        for key in self.entries:
            if key not in known:
                raise self.error("not known here", key, hint=did_you_mean(key, known))

    def string(self, key: str) -> str:
        """The text of a key."""
        value = self.entries.get(key, "")
        if isinstance(value, str):
            return value
        hint = f'write {key} = "{value}"' if isinstance(value, int | float) else ""
        raise self.error(f"must be a string, not {_word(value)}", key, hint=hint)

    def strings(self, key: str) -> list[str]:
        """The texts of a list."""
        values = self.entries.get(key, [])
        if not isinstance(values, list):
            hint = f'write {key} = ["{values}"]' if isinstance(values, str) else ""
            raise self.error(f"must be a list of strings, not {_word(values)}", key, hint=hint)
        texts = []
        for place, value in enumerate(values):
            if not isinstance(value, str):
                raise self.error(f"must be a list of strings, and holds {_word(value)}", key, place)
            texts.append(value)
        return texts

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false, or the default if absent."""
        value = self.entries.get(key, default)
        if isinstance(value, bool):
            return value
        raise self.error(f"must be true or false, not {_word(value)}", key)

    def nanoseconds(self, key: str) -> int:
        """A number of seconds, in nanoseconds."""
        value = self.entries.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"must be a number of seconds, not {_word(value)}", key)
        if not 0 <= value < math.inf:
            raise self.error("must be a number of seconds, 0 or more", key)
        return int(value * 1_000_000_000)

    def number(self, key: str) -> int | None:
        """A whole number, or None if absent."""
        value = self.entries.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self.error(f"must be a whole number, not {_word(value)}", key)

    def span(self, key: str) -> int:
        """A stretch of time such as "30d", in nanoseconds."""
        text = self.string(key)
        try:
            return parse_span(text) if key in self else 0
        except ConfigError as error:
            raise self.error(error.what, key, hint=error.hint) from None

    def table(self, key: str) -> "Table":
        """The table below a key."""
        value = self.entries.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"must be a table, not {_word(value)}", key)
        return Table(value, (*self.path, key), self.source, self.lines)


def read_toml(text: str, source: Path | None) -> Table:
    """The topmost table of a text; `source` is only named in errors."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        words = place.split()  # "line 3, column 5)" or "end of document)"
        line = int(words[1].rstrip(",")) if words[:1] == ["line"] else text.count("\n") + 1
        raise ConfigError(f"not TOML: {what}", file=source, line=line) from None
    return Table(entries, (), source, key_lines(text))


def first_with(key: str, tables: Sequence[Table]) -> Table:
    """The first of the tables that has the key, or the first of all."""
    return next((table for table in tables if key in table), tables[0])


def _word(value: object) -> str:
    return _WORDS.get(type(value), "a date or time")
