"""Where the paths of a level go on a destination whose variables, and perhaps file sets, have other values.

Rule: pure. A path that begins with the value of a variable gets the destination's value of it; the longest value wins,
as a variable may lie within another. Then it has to lie in what the destination's file set names. Where it does not,
and both have one path, or one path of that name, the file set was moved as a whole (onto a share, say): there it goes.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .selection import Matcher, is_within


class Move(Struct, frozen=True):
    """What lies at and below `old` in the level goes to `new`. `roots` are the paths of the level that it is about."""

    old: bytes
    new: bytes
    roots: tuple[bytes, ...]


def mapped(path: bytes, old: Mapping[str, str], new: Mapping[str, str]) -> tuple[bytes, bytes]:
    """(the folder that is replaced, what replaces it) for a path: both b"/" where no variable's value leads to it."""
    values = [(value.encode("utf-8", "surrogateescape").rstrip(b"/"), name) for name, value in old.items()]
    for value, name in sorted(values, key=lambda each: (-len(each[0]), each[1])):
        if value.startswith(b"/") and name in new and is_within(path, value):
            return value, new[name].encode("utf-8", "surrogateescape").rstrip(b"/") or b"/"
    return b"/", b"/"


def moved(path: bytes, old: bytes, new: bytes) -> bytes:
    """The path, once what leads to it is replaced."""
    return new.rstrip(b"/") + path[len(old.rstrip(b"/")) :] or b"/"


def moves_of(
    roots: Sequence[bytes], named: Sequence[bytes], old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[list[Move], list[bytes]]:
    """How the roots of a file set come to the paths that the destination's one names; those that have no place there
    are listed, too, and go where their variables lead.
    """
    found: dict[tuple[bytes, bytes], list[bytes]] = {}
    lost = []
    for root in roots:
        pair = mapped(root, old, new)
        goal = moved(root, *pair)
        if not Matcher(named).selects(goal):
            other = _place_of(root, roots, named)
            if other is None:
                lost.append(root)
            else:
                pair, goal = (root, other), other
        found.setdefault(_apart(root, goal, pair), []).append(root)
    return [Move(*pair, tuple(these)) for pair, these in found.items()], lost


def _apart(root: bytes, goal: bytes, pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """The folders between which a root is moved. One level up where the root itself is what is replaced and keeps its
    name: it may be a single file.
    """
    (above, name), (there, other) = (path.rpartition(b"/")[::2] for path in (root, goal))
    if root == pair[0] and name == other:
        return above or b"/", there or b"/"
    return pair


def _place_of(root: bytes, roots: Sequence[bytes], named: Sequence[bytes]) -> bytes | None:
    if len(roots) == len(named) == 1:
        return named[0]
    same = [path for path in named if path.rpartition(b"/")[2] == root.rpartition(b"/")[2]]
    return same[0] if len(same) == 1 else None
