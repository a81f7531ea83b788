"""`silt key new`: a key file.

Rule: making one opens no store and changes none: a key file counts from the moment a store is told of it.
"""

import click

from ..answer import answer
from ..key_text import write_key
from ..options import Options, make_command
from ..paths import path_record, shown


@make_command(
    "new",
    with_store=False,
    examples="""
    silt key new /root/silt.key
    silt init /mnt/backup/store --key-file /root/silt.key
    """,
)
@click.argument("file")
def command(options: Options, file: str) -> int:
    """Make a new key file.

    It opens nothing until a store knows it: give it to 'silt init --key-file' or 'silt key add --new-key-file'. Keep a
    copy of it away from the store and from this machine: without it, or another key of the store, nothing can be
    restored. With --json: {"key_file"}.
    """
    from siltstone.store import make_key_file

    write_key(file, make_key_file())
    said = f"{shown(file)}: new key file; keep a copy of it in another place"
    answer(options, path_record(file, "key_file"), [said])
    return 0
