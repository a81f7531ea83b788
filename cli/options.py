"""What every command takes: the options for store, key and answer, and the decorator that makes a command.

Rule: a shared option may stand before the command or after it (`silt --json list`, `silt list --json`) and means the
same; the value that is read last wins. The environment and the settings file are not looked at here, see `settings`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import click
from msgspec import Struct


class Options(Struct):
    """The shared options as they were given; None or False where they were not."""

    store: str | None = None
    key_file: str | None = None
    limit_upload: str | None = None
    limit_download: str | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.find_root().ensure_object(Options), str(param.name), value)


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


def store_options() -> list[click.Parameter]:
    """--store and --key-file, and the limits for a store that is away."""
    return [
        _option("--store", metavar="STORE", help="The store (or SILT_STORE, or 'store' in the settings file)."),
        _option("--key-file", metavar="FILE", help="The key file that opens it (or SILT_KEY_FILE, or the settings)."),
        _option("--limit-upload", metavar="RATE", help="Bytes a second to an object store, such as 5MiB."),
        _option("--limit-download", metavar="RATE", help="Bytes a second from an object store."),
    ]


def answer_options() -> list[click.Parameter]:
    """--json, --quiet and --debug."""
    return [
        _option("--json", is_flag=True, help="Answer in JSON: events as lines, then the result."),
        _option("-q", "--quiet", is_flag=True, help="No progress and no summary; warnings and errors still show."),
        _option("--debug", is_flag=True, help="Show the traceback of an unexpected error (or SILT_DEBUG=1)."),
    ]


Runner = Callable[..., int | None]


def make_command(name: str, *, examples: str, with_store: bool = True) -> Callable[[Runner], click.Command]:
    """Make a command of a function `(options, **own parameters) -> exit code`; its docstring is the help.

    `examples` are command lines, one a line, shown under the help; a `#` begins a remark.
    """

    def decorate(run: Runner) -> click.Command:
        made = click.command(name, epilog=examples_text(examples))(click.make_pass_decorator(Options, ensure=True)(run))
        made.params += (store_options() if with_store else []) + answer_options()
        return made

    return decorate


def examples_text(examples: str) -> str:
    """Command lines as the epilog of a help page."""
    # \b keeps click from filling the lines into a paragraph.
    lines = inspect.cleandoc(examples).splitlines()
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
