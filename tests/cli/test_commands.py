"""All commands at once: each has help with examples, every example parses, and starting up stays quick."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from siltstone.cli.main import silt

HEAVY = ("siltstone.store", "siltstone.engine", "rich", "cryptography", "numpy", "msgpack", "blake3", "zstandard")
ROOT = Path(__file__).parent.parent.parent


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """(command line, command) of every command, groups too."""
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, click.Context(child, context, name))


COMMANDS = dict(walk(silt, click.Context(silt, info_name="silt")))


def examples(text: str) -> list[str]:
    """The command lines of `silt` in a text, without what a shell would do with them."""
    lines = [line.strip() for line in text.splitlines()]
    return [re.split(r" [|>&#]", line)[0].strip() for line in lines if line.startswith("silt ")]


def parse(line: str) -> None:
    """Parse a command line down to the command, and run nothing. click's errors."""
    arguments = shlex.split(line, comments=True)[1:]
    if {"--help", "-h", "--version"} & set(arguments):
        return
    context = silt.make_context("silt", arguments)
    command: click.Command = silt
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, child, rest = command.resolve_command(context, rest)
        assert child is not None
        command, context = child, child.make_context(name, rest, parent=context)


def example_lines() -> list[str]:
    return sorted({line for command in COMMANDS.values() for line in examples(command.epilog or "")})


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_and_examples(path: str) -> None:
    command = COMMANDS[path]
    assert command.help, "a docstring that is the help"
    assert command is silt or not command.get_short_help_str(60).endswith("..."), (
        "the first sentence is what 'silt --help' shows"
    )
    assert "Examples:" in (command.epilog or "")
    assert any(line.startswith(path) for line in examples(command.epilog or ""))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("line", example_lines())
def test_every_example_parses(line: str) -> None:
    parse(line)


def documented_lines() -> list[str]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    return sorted({line for page in pages for line in examples(page.read_text())})


def test_every_command_line_in_the_docs_parses() -> None:
    for line in documented_lines():
        try:
            parse(line)
        except click.ClickException as error:
            pytest.fail(f"{line}: {error.format_message()}", pytrace=False)


def test_a_wrong_example_would_be_found() -> None:
    with pytest.raises(click.ClickException):
        parse("silt backup --no-such-option")
    with pytest.raises(click.ClickException):
        parse("silt bakcup")
    assert examples("  silt tar 0/1 > x.tar\nsilt list --json | jq .\nno silt") == ["silt tar 0/1", "silt list --json"]


@pytest.mark.parametrize("path", COMMANDS)
def test_shared_options_are_everywhere(path: str) -> None:
    command = COMMANDS[path]
    names = {name for parameter in command.params for name in parameter.opts}
    assert isinstance(command, click.Group) or {"--json", "--quiet"} <= names


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
from siltstone.cli.main import run
assert run(["--help"]) == 0
assert run(["backup", "--help"]) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ))
    assert done.stderr.strip() == "[]"
    assert "Exit codes" in done.stdout
