"""What the commands that make keys share: the secret that a new key is to have, what it may do, what it is called.

Rule: a new secret is a key file that was made before, or a passphrase: from SILT_NEW_PASSPHRASE, else asked for twice
on the terminal. The variables and settings that open a store are not looked at: what opens it is no new secret.
"""

import os
from typing import TYPE_CHECKING

import click

from .mistake import Mistake
from .paths import shown
from .secret import ask_new_passphrase, has_terminal, read_key_file

if TYPE_CHECKING:
    from siltstone.store import Passphrase, Role, Secret

LABEL_LIMIT = 100  # as the store keeps them

new_secret_option = click.option(
    "--new-key-file",
    metavar="FILE",
    help="A key file, made by 'silt key new'; else a passphrase (SILT_NEW_PASSPHRASE, or asked for).",
)
write_only_option = click.option("--write-only", is_flag=True, help="It adds backups, and can read nothing back.")
read_only_option = click.option(
    "--read-only", is_flag=True, help="It lists and restores; silt refuses it everything else."
)


def new_secret(key_file: str | None) -> "Secret":
    """The secret that was chosen. NoKey, WrongKey, Mistake."""
    return read_key_file(key_file) if key_file else new_passphrase()


def new_passphrase() -> "Passphrase":
    """A new passphrase. NoKey, Mistake."""
    from siltstone.store import NoKey, Passphrase

    given = os.environ.get("SILT_NEW_PASSPHRASE")
    if not given and not has_terminal():
        hint = "set SILT_NEW_PASSPHRASE, or give --new-key-file where that is meant"
        raise NoKey("a new passphrase is needed, and there is no terminal to ask for it", hint=hint)
    return Passphrase(given) if given else ask_new_passphrase()


def chosen_role(*, write_only: bool, read_only: bool) -> "Role":
    """What a new key may do. Mistake."""
    if write_only and read_only:
        raise Mistake("a key is --write-only or --read-only", hint="leave one of them out")
    return "write" if write_only else "read" if read_only else "all"


def label_of(key_file: str | None) -> str:
    """What a key is called where nobody says: the key file's name, or the host."""
    return as_label(os.path.basename(key_file) if key_file else f"made on {os.uname().nodename}")


def as_label(text: str) -> str:
    """A key's label is short and printable; only a person reads it."""
    return shown(text)[:LABEL_LIMIT]
