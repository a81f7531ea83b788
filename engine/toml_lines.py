"""Where the keys of a TOML text stand, since tomllib tells values but no lines.

Rule: the text has been read by tomllib already, so this scanner knows only as much TOML as is needed to find keys:
strings and comments are stepped over, brackets are counted. It checks nothing, and keys inside inline tables have no
line of their own (the key that holds the table answers for them).
"""

import re
import tomllib
from collections.abc import Mapping
from typing import NamedTuple

KeyPath = tuple[str | int, ...]  # ("file-sets", "vault", "paths", 2): a number is a place in a list, from 0

_TOKEN = re.compile(
    r"""
      (?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<skip>\#[^\n]* | [ \t\r]+)
    | (?P<newline>\n)
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table, key and list item of a TOML text that tomllib accepts."""
    return _Scanner(text).scan()


def nearest_line(lines: Mapping[KeyPath, int], key: KeyPath) -> int | None:
    """The line of `key`, or of the nearest thing around it that has one; None where nothing does."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key)


def _tokens(text: str) -> list[_Token]:
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            found.append(_Token(kind, match.group(), line))
        line += match.group().count("\n")
    return [*found, _Token("newline", "\n", line)]


class _Scanner:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._lines: dict[KeyPath, int] = {}
        self._table: KeyPath = ()

    def scan(self) -> dict[KeyPath, int]:
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.kind == "newline":
                self._next += 1
            elif token.text == "[":
                self._header()
            else:
                self._key_and_value()
        return self._lines

    def _header(self) -> None:
        line = self._tokens[self._next].line
        item = self._tokens[self._next + 1].text == "["
        self._next += 2 if item else 1
        path: KeyPath = self._key_until("]")
        self._next += 1 if item else 0
        self._mark(path, line)
        if item:
            path = (*path, sum(1 for key in self._lines if key[:-1] == path and isinstance(key[-1], int)))
            self._lines[path] = line
        self._table = path

    def _key_and_value(self) -> None:
        line = self._tokens[self._next].line
        path = self._table + self._key_until("=")
        self._mark(path, line)
        depth = item = 0
        fresh = False  # an item of the outermost list begins at the next token
        listing = self._tokens[self._next].text == "["
        while (token := self._tokens[self._next]).kind != "newline" or depth:
            if fresh and token.kind != "newline" and token.text not in ("]", ","):
                self._lines[(*path, item)] = token.line
                fresh = False
            if token.kind == "mark":
                depth += (token.text in "[{") - (token.text in "]}")
                if depth == 1 and token.text in "[,":
                    item += token.text == ","
                    fresh = listing
            self._next += 1

    def _key_until(self, end: str) -> tuple[str, ...]:
        parts = []
        while (token := self._tokens[self._next]).text != end:
            if token.kind == "string":
                parts.append(str(tomllib.loads(f"key = {token.text}")["key"]))
            elif token.kind == "bare":
                parts.append(token.text)
            self._next += 1
        self._next += 1
        return tuple(parts)

    def _mark(self, path: KeyPath, line: int) -> None:
        for end in range(1, len(path) + 1):
            self._lines.setdefault(path[:end], line)
