"""`silt key`: key files.

Rule: a key file is created, never overwritten, and only its owner may read it. Making one opens no store and changes
none: a key file counts from the moment a store is told of it.
"""

import os

import click

from ..answer import answer
from ..mistake import Mistake
from ..options import Options, examples_text, make_command
from ..paths import path_record, shown


@click.group("key", epilog=examples_text("silt key new /root/silt.key"))
def command() -> None:
    """Make key files."""


@make_command(
    "new",
    with_store=False,
    examples="""
    silt key new /root/silt.key
    silt init /mnt/backup/store --key-file /root/silt.key
    """,
)
@click.argument("file")
def new_key(options: Options, file: str) -> int:
    """Make a new key file.

    It opens nothing until a store knows it: give it to 'silt init --key-file'. Keep a copy of it away from the store
    and from this machine: without it, or another key of the store, nothing can be restored. With --json: {"key_file"}.
    """
    from siltstone.store import make_key_file

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Mistake(f"{file}: the file exists already", hint="a key file is never overwritten") from None
    with os.fdopen(descriptor, "w") as out:
        out.write(make_key_file())
        out.flush()
        os.fsync(descriptor)
    said = f"{shown(file)}: new key file; keep a copy of it in another place"
    answer(options, path_record(file, "key_file"), [said])
    return 0


command.add_command(new_key)
