"""What of a file set is left out: by gitignore rules, or by its nature (sockets, files that are still being written).

Rule: an entry is judged alone, by the last rule that matches it, as git does. The scan does not descend into what is
excluded, so a `!` cannot bring back what lies below an excluded directory. Rules and names are bytes: `?` is one byte.
pathspec translates the rules; which rule wins is decided here, because pathspec judges a path together with its
parents and takes no account of a directory that is to be entered (`*` with `!*/` would enter none).

Rules that git and pathspec read differently, and rules that can match nothing, are refused: a backup must not guess.
It reads no `.gitignore` files and does not look at the disk.
"""

import re
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby

from msgspec import Struct

from .errors import ConfigError

# Cache folders say so in a file of this name that begins with this signature (bford.info/cachedir).
CACHE_TAG_NAME = b"CACHEDIR.TAG"
CACHE_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"

SKIP_SOCKET = "socket"
SKIP_CHANGED = "changed too recently"
SKIP_STREAMING = "still streaming in"

_Match = Callable[[bytes, int], re.Match[bytes] | None]
_Run = tuple[bool, _Match | None, _Match | None]  # excludes (or brings back); on the last name; on the whole path

_DIR_MARK = b"(?P<ps_d>/)"  # pathspec's mark for "is a directory": a name group that may stand only once in a regex
_BRACKET = re.compile(rb"(\\.)|\[(?!\^/\])", re.DOTALL)  # brackets of a rule, not the [^/] that `*` and `?` turn into
_ODD_BRACKET = re.compile(r"\\.|(\[[!^]?\]?[^\]]*(?:\[|\\|--|&&|\|\||~~))", re.DOTALL)


class SkipRules(Struct, frozen=True):
    """What is skipped by its nature. `patterns` are name rules (gitignore, without '/') of files still streaming in."""

    one_file_system: bool = False
    sockets: bool = True
    caches: bool = False
    changed_within_ns: int = 0
    patterns: tuple[str, ...] = ()


def skip_reason(name: bytes, mode: int, mtime_ns: int, now_ns: int, rules: SkipRules) -> str | None:
    """Why the entry of this last name, st_mode and times (ns since 1970) is to be skipped, or None: take it.

    A time in the far future counts as old: a file dated 2099 would never be backed up otherwise.
    """
    if not stat.S_ISREG(mode):
        return SKIP_SOCKET if rules.sockets and stat.S_ISSOCK(mode) else None
    if rules.changed_within_ns and abs(now_ns - mtime_ns) < rules.changed_within_ns:
        return SKIP_CHANGED
    if rules.patterns and _names_excluder(rules.patterns).excludes(name, is_dir=False):
        return SKIP_STREAMING
    return None


def is_cache_tag(head: bytes) -> bool:
    """Whether a file named CACHEDIR.TAG that begins with `head` (43 bytes suffice) really marks a cache folder."""
    return head.startswith(CACHE_TAG_SIGNATURE)


class Excluder:
    """The rules of one file set, rooted at one of its paths. The root itself is never excluded: it was named.

    ConfigError for a rule that cannot be followed. `idle` says that nothing is ever excluded, so that a scan may
    leave out the calls. Safe to share between threads.
    """

    __slots__ = ("_for_directories", "_for_files", "_skip", "idle", "root")

    def __init__(self, patterns: Sequence[str], root: bytes) -> None:
        rules = _parse(patterns)
        self.root = root
        self.idle = not any(rule.excludes for rule in rules)
        self._skip = len(root) + (not root.endswith(b"/"))
        self._for_files = _runs([rule for rule in rules if not rule.directories_only])
        self._for_directories = _runs(rules)

    def excludes(self, path: bytes, is_dir: bool) -> bool:
        """Whether to leave out this path (absolute, below the root), given that none of its parents is left out."""
        skip = self._skip
        if len(path) <= skip:
            return False
        for excludes, on_name, on_path in self._for_directories if is_dir else self._for_files:
            if (on_name is not None and on_name(path, path.rfind(b"/") + 1)) or (
                on_path is not None and on_path(path, skip)
            ):
                return excludes
        return False

    def excluded_with_parents(self, path: bytes, is_dir: bool) -> bool:
        """The same for any path below the root: left out by itself, or because a directory above it is."""
        end = path.find(b"/", self._skip)
        while end != -1:
            if self.excludes(path[:end], is_dir=True):
                return True
            end = path.find(b"/", end + 1)
        return self.excludes(path, is_dir)


def rule_mistake(pattern: str) -> str | None:
    """Why a rule cannot be followed, or None. Comments and empty lines are rules that do nothing, as in git."""
    try:
        _compile(pattern)
    except _RefusedRule as refused:
        return str(refused)
    return None


class _RefusedRule(Exception):
    pass


class _Rule(Struct, frozen=True):
    excludes: bool
    directories_only: bool
    by_name: bool  # without a slash: judges the last name, at any depth
    regex: bytes  # matches the whole of the last name or of the path below the root


def _parse(patterns: Iterable[str]) -> list[_Rule]:
    rules = []
    for pattern in patterns:
        try:
            rule = _compile(pattern)
        except _RefusedRule as refused:
            raise ConfigError(f"exclude rule '{pattern}': {refused}") from None
        if rule is not None:
            rules.append(rule)
    return rules


@lru_cache(maxsize=64)
def _names_excluder(patterns: tuple[str, ...]) -> Excluder:
    return Excluder(patterns, b"/")


def _runs(rules: list[_Rule]) -> tuple[_Run, ...]:
    """The rules, last first; neighbours that decide alike are joined, so plain excludes cost one or two matches."""
    runs = []
    for excludes, group in groupby(reversed(rules), key=lambda rule: rule.excludes):
        members = list(group)
        runs.append(
            (
                excludes,
                _any_of(rule.regex for rule in members if rule.by_name),
                _any_of(rule.regex for rule in members if not rule.by_name),
            )
        )
    if runs and not runs[-1][0]:
        del runs[-1]  # bringing back what nothing has excluded
    return tuple(runs)


def _any_of(regexes: Iterable[bytes]) -> _Match | None:
    joined = b"|".join(regexes)
    return re.compile(b"(?:" + joined + rb")\Z", re.DOTALL).match if joined else None


def _compile(pattern: str) -> _Rule | None:
    text = _without_trailing_spaces(pattern)
    if not text or text.startswith("#"):
        return None
    excludes = not text.startswith("!")
    body = text if excludes else text[1:]
    directories_only = body.endswith("/")
    if "//" in body:
        raise _RefusedRule("'//' matches nothing")
    body = body.removesuffix("/")
    _refuse_oddities(body)
    by_name = "/" not in body
    if body.endswith("/**"):
        body += "/*"  # the same to git, and it ends in a name like every other rule
    if body == "**":
        body = "*"
    # Imported here: it costs 50 ms, and most starts of silt compile no rule.
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    rooted = body if body.startswith("/") else f"/{body}"
    try:
        source, _ = GitIgnoreSpecPattern.pattern_to_regex(rooted.encode("utf-8", "surrogateescape"))
        if source is not None:
            re.compile(source)
            return _Rule(excludes, directories_only, by_name, _tidy(source))
    except (GitIgnorePatternError, re.error):
        pass
    raise _RefusedRule("a bracket or a backslash is left open, or a range runs backwards; no name would match")


def _without_trailing_spaces(pattern: str) -> str:
    text = pattern.rstrip(" ")
    escaped = (len(text) - len(text.rstrip("\\"))) % 2 and len(text) < len(pattern)
    return text + " " if escaped else text


def _refuse_oddities(body: str) -> None:
    if not body.strip("/"):
        raise _RefusedRule("it names nothing")
    if {".", ".."} & set(body.split("/")):
        raise _RefusedRule("'./' and '../' match nothing; begin with / for a place below the path of the file set")
    if body.endswith(("\t", "\n", "\r", "\v", "\f")) or "\0" in body:
        raise _RefusedRule("it ends in a tab or a line end, or holds a zero byte")
    if "***" in body:
        raise _RefusedRule("three stars in a row; ** stands for any number of folders")
    if any(match[1] for match in _ODD_BRACKET.finditer(body)):
        raise _RefusedRule("brackets hold plain characters and ranges only; write \\[ for a plain bracket")


def _tidy(source: bytes) -> bytes:
    """A regex of pathspec that can be joined with others, starts anywhere, and whose brackets never match a slash."""
    anywhere = b"" if source.startswith(b"^") else b".*"  # "/**" is translated to a dot alone
    regex = anywhere + source.replace(_DIR_MARK, b"/").removeprefix(b"^")
    return _BRACKET.sub(lambda match: match[1] or b"(?!/)[", regex)
