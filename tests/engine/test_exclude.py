"""Excludes against git itself, and the decisions to skip.

Rule: git is the oracle; where rules are refused, the reason is in the message. Without git the comparison is skipped.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from siltstone.engine.errors import ConfigError
from siltstone.engine.exclude import (
    CACHE_TAG_SIGNATURE,
    SKIP_CHANGED,
    SKIP_SOCKET,
    SKIP_STREAMING,
    Excluder,
    SkipRules,
    is_cache_tag,
    rule_mistake,
    skip_reason,
)

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
NAMES = ["b", "ab", "o.o", ".hid", "!b", "#x", "a b", "b ", "é", "a\nb", "b\n", "[x]", "\\", "a-o", "\udcff"]
FOLDERS = ["a", "foo", "b.d"]
PIECES = st.sampled_from(
    [
        *NAMES[:8],
        *FOLDERS,
        "*",
        "**",
        "?",
        "??",
        "*.o",
        "a*",
        "*b*",
        "[ab]",
        "[!a]*",
        "[^b]",
        "[a-o]*",
        "b?",
        "\\#x",
        "é*",
    ]
)


@pytest.fixture(scope="module")
def work_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git work tree: three levels of the folders above, each with all names above. It is read and never changed."""
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    top = tmp_path_factory.mktemp("work")
    subprocess.run(["git", "init", "-q", str(top)], check=True, env=git_environment())
    folders = [top]
    for _ in range(3):
        for folder in folders:
            for name in NAMES:
                (folder / name).touch()
        folders = [folder / name for folder in folders for name in FOLDERS]
        for folder in folders:
            folder.mkdir()
    return top


def git_environment() -> dict[str, str]:
    return {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def everything(top: Path) -> Iterator[tuple[bytes, bool]]:
    """Every path below, with whether it is a directory."""
    for folder, folders, files in os.walk(os.fsencode(top)):
        if folder == os.fsencode(top):
            folders.remove(b".git")
        yield from ((os.path.join(folder, name), True) for name in folders)
        yield from ((os.path.join(folder, name), False) for name in files)


def left_out_by_git(top: Path, rules: list[str]) -> set[bytes]:
    (top / ".git/info/exclude").write_bytes(b"".join(os.fsencode(rule) + b"\n" for rule in rules))
    asked = b"".join(os.path.relpath(path, os.fsencode(top)) + b"\0" for path, _ in everything(top))
    command = ["git", "-C", str(top), "check-ignore", "--no-index", "-z", "--stdin"]
    answer = subprocess.run(command, input=asked, stdout=subprocess.PIPE, env=git_environment())
    assert answer.returncode in (0, 1)
    return {os.path.join(os.fsencode(top), path) for path in answer.stdout.split(b"\0") if path}


def reached_by_walk(folder: bytes, excluder: Excluder) -> Iterator[bytes]:
    """What a scan takes: it asks about each entry, and does not descend into what is excluded."""
    for entry in os.scandir(folder):
        if entry.name != b".git" and not excluder.excludes(entry.path, is_dir=entry.is_dir()):
            yield entry.path
            if entry.is_dir():
                yield from reached_by_walk(entry.path, excluder)


@st.composite
def built_rules(draw: st.DrawFn) -> str:
    """A rule made of likely pieces."""
    body = "/".join(draw(st.lists(PIECES, min_size=1, max_size=3)))
    return (
        draw(st.sampled_from(["", "", "!"]))
        + draw(st.sampled_from(["", "/"]))
        + body
        + draw(st.sampled_from(["", "/", " ", "\\ "]))
    )


RULES = st.lists(
    st.one_of(built_rules(), st.text("abo*?[]!^-/\\ #.", max_size=8)).filter(lambda rule: rule_mistake(rule) is None),
    min_size=1,
    max_size=6,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(RULES)
@example(["*", "!*/", "!*.o"])
@example(["foo/", "!foo/b"])
@example(["/a/*", "!/a/foo/", "/a/foo/*", "!/a/foo/b"])
@example(["a/**/", "!a/**/foo"])
@example(["foo/**", "!/foo/a/"])
@example(["a[!b]b", "a[+-9]b", "/foo[!x]*"])
@example(["**/a/b", "a/**/o.o", "**/"])
@example(["# no rule", "", "\\#x", "\\!b", "b\\ ", "o.o  "])
@example(["/**", "!/**/foo/"])
@example(["b", "!b", "b"])
@example(["\udcff", "\\\\", "?"])
def test_git_leaves_out_the_same(work_tree: Path, rules: list[str]) -> None:
    top = os.fsencode(work_tree)
    excluder = Excluder(rules, top)
    expected = left_out_by_git(work_tree, rules)
    paths = dict(everything(work_tree))
    assert {path for path, is_dir in paths.items() if excluder.excluded_with_parents(path, is_dir)} == expected
    assert set(reached_by_walk(top, excluder)) == paths.keys() - expected
    assert not (excluder.idle and expected)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("[ab", "left open"),
        ("foo\\", "left open"),
        ("[b-a]", "backwards"),
        ("[[:alpha:]]", "brackets"),
        ("[\\]]", "brackets"),
        ("[[]x", "brackets"),
        ("a[a&&b]", "brackets"),
        ("!", "names nothing"),
        ("/", "names nothing"),
        ("!/", "names nothing"),
        ("a//b", "//"),
        ("foo//", "//"),
        ("./foo", "begin with /"),
        ("foo/../bar", "begin with /"),
        ("a***", "three stars"),
        ("foo\t", "tab"),
        ("foo\r", "line end"),
        ("fo\0o", "zero byte"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rule: str, reason: str) -> None:
    assert reason in (rule_mistake(rule) or "")
    with pytest.raises(ConfigError, match="exclude rule"):
        Excluder([rule], b"/srv")


def test_the_root_itself_is_never_excluded() -> None:
    assert not Excluder(["*"], b"/srv/data").excludes(b"/srv/data", is_dir=True)
    assert Excluder(["*"], b"/srv/data").excludes(b"/srv/data/x", is_dir=True)
    assert not Excluder(["*"], b"/").excludes(b"/", is_dir=True)
    assert Excluder(["/srv"], b"/").excludes(b"/srv", is_dir=True)


def test_names_above_the_root_play_no_part() -> None:
    excluder = Excluder(["tmp", "/data"], b"/tmp/data")
    assert not excluder.excludes(b"/tmp/data/x", is_dir=False)
    assert not excluder.excluded_with_parents(b"/tmp/data/x/y", is_dir=False)
    assert excluder.excluded_with_parents(b"/tmp/data/x/tmp/y", is_dir=False)


@pytest.mark.parametrize(("rules", "idle"), [([], True), (["", "# x", "!y"], True), (["*.o"], False)])
def test_idle_says_that_nothing_is_ever_excluded(rules: list[str], idle: bool) -> None:
    assert Excluder(rules, b"/srv").idle is idle


@pytest.mark.parametrize(
    ("name", "kind", "age", "rules", "reason"),
    [
        (b"x", stat.S_IFREG, 5, SkipRules(), None),
        (b"x", stat.S_IFSOCK, 5, SkipRules(), SKIP_SOCKET),
        (b"x", stat.S_IFSOCK, 5, SkipRules(sockets=False), None),
        (b"x", stat.S_IFREG, 59, SkipRules(changed_within_ns=60 * SECOND), SKIP_CHANGED),
        (b"x", stat.S_IFREG, 60, SkipRules(changed_within_ns=60 * SECOND), None),
        (b"x", stat.S_IFREG, -5, SkipRules(changed_within_ns=60 * SECOND), SKIP_CHANGED),  # a clock that is ahead
        (b"x", stat.S_IFREG, -(10**9), SkipRules(changed_within_ns=60 * SECOND), None),
        (b"x", stat.S_IFDIR, 0, SkipRules(changed_within_ns=60 * SECOND), None),
        (b"x.part", stat.S_IFREG, 10**6, SkipRules(patterns=("*.part", "*.tmp")), SKIP_STREAMING),
        (b"x.parts", stat.S_IFREG, 10**6, SkipRules(patterns=("*.part", "*.tmp")), None),
        (b"\xff.tmp", stat.S_IFREG, 10**6, SkipRules(patterns=("*.part", "*.tmp")), SKIP_STREAMING),
        (b"x.part", stat.S_IFDIR, 10**6, SkipRules(patterns=("*.part",)), None),
        (b"x.part", stat.S_IFLNK, 10**6, SkipRules(patterns=("*.part",)), None),
    ],
)
def test_skip_reason(name: bytes, kind: int, age: int, rules: SkipRules, reason: str | None) -> None:
    assert skip_reason(name, kind | 0o644, NOW - age * SECOND, NOW, rules) == reason


def test_a_cache_tag_needs_its_signature() -> None:
    assert is_cache_tag(CACHE_TAG_SIGNATURE + b"\n# made by a test\n")
    assert not is_cache_tag(CACHE_TAG_SIGNATURE[:-1])
    assert not is_cache_tag(b"")
