"""Errors become a sentence, a hint and an exit code; every error class of the layers below has one."""

import errno
import inspect
import json

import click
import pytest

import siltstone.engine.errors
import siltstone.store.errors
from siltstone.cli.exits import MEANING, Exit, error_table, exit_for
from siltstone.cli.failure import answer_failure
from siltstone.cli.main import run
from siltstone.cli.mistake import Mistake
from siltstone.store import Corrupt, NoKey, ObjectMissing, SiltError, StoreFull


def error_classes() -> list[type[SiltError]]:
    modules = (siltstone.store.errors, siltstone.engine.errors)
    found = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)}
    return sorted((kind for kind in found if issubclass(kind, SiltError)), key=lambda kind: kind.__name__)


def test_every_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


@pytest.mark.parametrize("kind", error_classes())
def test_every_error_class_has_a_code(kind: type[SiltError]) -> None:
    nearest = next(parent for parent in kind.__mro__ if parent in error_table())
    assert issubclass(nearest, SiltError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SiltError("no"), 1),
        (Mistake("no"), 2),
        (click.UsageError("no"), 2),
        (Corrupt("packs/aa", "no"), 4),
        (ObjectMissing("packs/aa"), 4),
        (NoKey("no"), 5),
        (StoreFull("no"), 7),
        (OSError(errno.ENOSPC, "no"), 7),
        (OSError(errno.EACCES, "no"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(errno.EPIPE, "no"), 141),
        (ZeroDivisionError(), 1),
    ],
)
def test_codes(error: BaseException, code: int) -> None:
    assert exit_for(error) == code


def told(capsys: pytest.CaptureFixture[str], error: BaseException, command: str | None = None) -> str:
    answer_failure(error, command=command, as_json=False, debug=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_known_error_is_a_sentence_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, NoKey("it is locked", hint="find the key")) == "silt: it is locked\nhint: find the key\n"
    assert told(capsys, SiltError("it is so")) == "silt: it is so\n"
    assert told(capsys, Mistake("what?", hint="that")) == "silt: what?\nhint: that\n"
    assert told(capsys, OSError(errno.EACCES, "Permission denied", b"/a\xff")) == "silt: /a\\xff: Permission denied\n"
    assert told(capsys, MemoryError()) == "silt: there is not enough memory\n"


def test_an_interruption_says_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the next backup reuses it" in told(capsys, KeyboardInterrupt(), "backup")
    assert told(capsys, KeyboardInterrupt(), "list") == "silt: interrupted\n"


def test_a_broken_pipe_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, BrokenPipeError(errno.EPIPE, "no")) == ""


def test_an_unforeseen_error_is_one_line_unless_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("x")
    words = told(capsys, caught.value)
    assert words.startswith("silt: this should not happen, please report it: KeyError: 'x' (test_failure.py, line ")
    assert "Traceback" not in words
    monkeypatch.setenv("SILT_DEBUG", "1")
    assert "Traceback" in told(capsys, caught.value)


def test_errors_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "backup", "--no-such-option"]) == 2
    captured = capsys.readouterr()
    record = json.loads(captured.err)
    assert captured.out == ""
    assert record["type"] == "error"
    assert record["exit_code"] == 2
    assert "--no-such-option" in record["message"]
    assert record["hint"] == "see 'silt backup --help'"


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bakcup"]) == 2
    assert "Did you mean 'backup'?" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err
