"""Variables of a deployment: `$NAME` and `${NAME}` in paths and rules, `$$` for a plain dollar sign.

Rule: pure text in, text out. A variable may use other variables in any order, and begins with `~` where it means a home
directory; whatever cannot be expanded is an error, never an empty string.
It does not read the environment (except for what `~` needs) and knows no files and lines.
"""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Linux takes no longer path. It also stops a few lines that double each other from filling the memory.
LONGEST_VALUE = 4096

_USE = re.compile(r"\$(?:\$|(\w+)|\{([^}]*)\})?", re.ASCII)


class ExpansionError(ValueError):
    """A text cannot be expanded. `variable` is the variable whose own value is wrong, or empty for another text."""

    def __init__(self, message: str, *, hint: str = "", variable: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.variable = variable


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint that names the known word nearest to `word`, else all known words; empty where nothing is known."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known here: {', '.join(sorted(known))}" if known else ""


def used_names(text: str) -> set[str]:
    """The names of the variables that a text uses."""
    return {name for match in _USE.finditer(text) if (name := _name(match)) is not None}


def resolve_variables(raw: Mapping[str, str]) -> dict[str, str]:
    """Every variable with its value expanded, in the order given. ExpansionError names a cycle in full."""
    graph = {}
    for name, text in raw.items():
        try:
            graph[name] = used_names(text) & raw.keys()
        except ExpansionError as error:
            error.variable = name
            raise
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        # graphlib lists each name before the one that uses it.
        cycle = list(reversed(error.args[1]))
        raise ExpansionError(f"variables use each other in a circle: {' -> '.join(cycle)}", variable=cycle[0]) from None
    values: dict[str, str] = {}
    for name in order:
        try:
            values[name] = expand_home(raw[name], values)
        except ExpansionError as error:
            error.variable = name
            raise
    return {name: values[name] for name in raw}


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced. ExpansionError for unknown names, stray `$`, too long a result."""

    def value(match: re.Match[str]) -> str:
        name = _name(match)
        if name is None:
            return "$"
        if name not in values:
            raise ExpansionError(f"unknown variable '{name}'", hint=_unknown_hint(name, values))
        return values[name]

    expanded = _USE.sub(value, text)
    if len(expanded) > LONGEST_VALUE:
        raise ExpansionError(f"expands to more than {LONGEST_VALUE} characters")
    return expanded


def expand_home(text: str, values: Mapping[str, str]) -> str:
    """Like `expand`, and a leading `~` or `~user` becomes that home directory."""
    if not text.startswith("~"):
        return expand(text, values)
    user, slash, rest = text.partition("/")
    home = os.path.expanduser(user)
    if home == user:
        raise ExpansionError(f"no home directory is known for '{user}'", hint="write ./~... for a name that begins so")
    return home + expand(slash + rest, values)


def _name(match: re.Match[str]) -> str | None:
    """The variable that a `$...` names; None for `$$`."""
    if match.group() == "$$":
        return None
    name: str | None = match[1] or match[2]
    if name is None or not NAME.fullmatch(name):
        raise ExpansionError(f"'{match.group()}' names no variable", hint="write $$ for a plain dollar sign")
    return name


def _unknown_hint(name: str, values: Mapping[str, str]) -> str:
    return "; ".join(part for part in (did_you_mean(name, values), "write $$ for a plain dollar sign") if part)
