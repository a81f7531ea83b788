"""The cli's own error: a mistake on the command line or in the user's settings.

Rule: it names the word, or the file, line and key, and its hint says what to write instead. Everything else that can
go wrong is an error of the store or the engine. It is a `ClickException`, so that no command needs the store's
modules only to refuse its arguments.
"""

import click

from .exits import Exit


class Mistake(click.ClickException):
    """`message` says in one sentence what is wrong, `hint` what to do about it. Exit code 2."""

    exit_code = int(Exit.USAGE)

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
