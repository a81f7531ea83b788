"""Selections: what paths and globs mean, held against a plain matcher that takes a path apart name by name."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siltstone.engine import Selection

NAMES = st.text("ab*?[]!-.", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
PLAIN = st.lists(st.text("ab*[]!-.", min_size=1, max_size=3), min_size=1, max_size=4)
GLOBS = st.lists(NAMES | st.just("**"), min_size=1, max_size=4)


def selects(pattern: str, path: str) -> bool:
    return Selection((pattern.encode(),)).matcher().selects(path.encode())


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
    [
        ("/a", "/a", True), ("/a", "/a/b/c", True), ("/a", "/ab", False), ("/a/b", "/a", False),
        ("/a/", "/a", True), ("//a///b", "/a/b", True), ("/", "/", True), ("/", "/a", True),
        ("/a/*", "/a/b", True), ("/a/*", "/a/b/c", True), ("/a/*", "/a", False), ("/*/c", "/a/b/c", False),
        ("/a/*", "/a/.hidden", True), ("/a?c", "/abc", True), ("/a?c", "/a/c", False), ("/a/?", "/a/\u00fc", True),
        ("/[ab]", "/b", True), ("/[!ab]", "/b", False), ("/[!ab]", "/c", True), ("/[^ab]", "/c", True),
        ("/x[a-c]", "/xb", True), ("/x[c-a]", "/xb", False), ("/x[]a]", "/x]", True), ("/[a", "/[a", True),
        ("/x[!-]", "/x-", False), ("/x[!a]y", "/x/y", False),
        ("/**/b", "/b", True), ("/**/b", "/a/a/b", True), ("/a/**", "/a", False), ("/a/**", "/a/b", True),
        ("/a/**/c", "/a/c", True), ("/a/**/c", "/a/b/b/c/d", True), ("/a/**/c", "/b/c", False),
        ("/a**b", "/axxb", True), ("/a**b", "/ax/xb", False),
        ("*.pem", "/x/y/z.pem", True), ("*.pem", "/z.pem", True), ("b/c", "/a/b/c", True), ("b/c", "/ab/c", False),
        ("/a[1]", "/a[1]", True), ("/a[1]", "/a1", True), ("/new\nline", "/new\nline", True), ("/a*", "/a\n", True),
    ],
)  # fmt: skip
def test_examples(pattern: str, path: str, wanted: bool) -> None:
    assert selects(pattern, path) == wanted


def test_bytes_that_are_no_characters() -> None:
    matcher = Selection((b"/a/?\xff", b"/\xe9")).matcher()
    assert matcher.selects(b"/a/\xfe\xff")
    assert matcher.selects(b"/\xe9/x")
    assert not matcher.selects(b"/a/\xff")


def name_matches(glob: str, name: str) -> bool:
    """One name, one glob without slashes: by trying every length for every star."""
    if not glob:
        return not name
    if glob[0] == "*":
        return any(name_matches(glob[1:], name[at:]) for at in range(len(name) + 1))
    if not name:
        return False
    if glob[0] == "[":
        start = 2 if glob[1:2] in ("!", "^") else 1
        end = glob.find("]", start + 1)
        if end > 0:
            return in_set(glob[start:end], name[0]) != (start == 2) and name_matches(glob[end + 1 :], name[1:])
    return (glob[0] == "?" or glob[0] == name[0]) and name_matches(glob[1:], name[1:])


def in_set(inside: str, character: str) -> bool:
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            if inside[at] <= character <= inside[at + 2]:
                return True
            at += 3
        else:
            if inside[at] == character:
                return True
            at += 1
    return False


def names_match(globs: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the names begin with ones that match: what is below a match is selected, too."""
    if not globs:
        return True
    if globs[0] == "**":
        if len(globs) == 1:
            return bool(names)
        return any(names_match(globs[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and name_matches(globs[0], names[0]) and names_match(globs[1:], names[1:])


@given(GLOBS, PLAIN, st.booleans())
@example(["a", "**", "b"], ["a", "b"], True)
@example(["[!]]"], ["]"], True)
@example(["[]-b]"], ["a"], True)
def test_any_pattern(globs: list[str], names: list[str], rooted: bool) -> None:
    literal = (
        globs == names[: len(globs)] if rooted else any(globs == names[at:][: len(globs)] for at in range(len(names)))
    )
    wanted = literal or names_match(globs if rooted else ["**", *globs], names)
    assert selects(("/" if rooted else "") + "/".join(globs), "/" + "/".join(names)) == wanted


@given(st.lists(st.tuples(GLOBS, st.booleans()), max_size=3), PLAIN)
def test_prefixes_leave_nothing_out(patterns: list[tuple[list[str], bool]], names: list[str]) -> None:
    written = tuple((("/" if rooted else "") + "/".join(globs)).encode() for globs, rooted in patterns)
    matcher = Selection(written).matcher()
    path = ("/" + "/".join(names)).encode()
    if matcher.selects(path):
        assert any(prefix in (b"/", path) or path.startswith(prefix + b"/") for prefix in matcher.prefixes)
        assert len(matcher.unmatched()) < max(1, len(set(written))) or not written


def test_roots_are_the_topmost_that_can_be_selected() -> None:
    walked = (b"/opt/app", b"/srv")
    assert Selection().matcher().roots(walked) == walked
    assert Selection((b"/opt",)).matcher().roots(walked) == (b"/opt/app",)
    assert Selection((b"/opt/app/x", b"/opt/app/x/y", b"/elsewhere")).matcher().roots(walked) == (b"/opt/app/x",)
    assert Selection((b"/srv/*/x",)).matcher().roots(walked) == (b"/srv",)
    assert Selection((b"*.pem",)).matcher().roots(walked) == walked
