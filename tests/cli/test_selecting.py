"""Words that select: what is relative to where."""

import os
from pathlib import Path

import pytest

from siltstone.cli.mistake import Mistake
from siltstone.cli.selecting import absolute_path, pattern_of


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("/etc/ssl/", b"/etc/ssl"),
        ("//etc/./ssl/../x", b"/etc/x"),
        ("/", b"/"),
        ("*.pem", b"*.pem"),
        ("ssl//certs/", b"ssl/certs"),
        (".hidden", b".hidden"),
        ("/a/**/[!x]*", b"/a/**/[!x]*"),
        (os.fsdecode(b"/\xff"), b"/\xff"),
    ],
)
def test_patterns(text: str, pattern: bytes) -> None:
    assert pattern_of(text) == pattern


def test_dots_mean_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    assert pattern_of(".") == here
    assert pattern_of("./*.pem") == here + b"/*.pem"
    assert pattern_of("../x") == os.path.dirname(here) + b"/x"
    assert absolute_path("x") == here + b"/x"


def test_an_empty_pattern_is_a_mistake() -> None:
    with pytest.raises(Mistake):
        pattern_of("")
