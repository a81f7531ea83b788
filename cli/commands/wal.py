"""`silt wal`: the WAL of a PostgreSQL cluster, into the store and out of it. The commands have modules of their own.

Rule: `push` and `fetch` are what a server calls, `stream` is a service beside it, `status` only looks. Each says in its
own module what it promises; nothing is done here.
"""

import click

from ..options import examples_text
from .wal_fetch import fetch
from .wal_push import push
from .wal_status import status
from .wal_stream import stream

_EXAMPLES = """
silt wal stream --create-slot -c deployment.toml
silt wal push pg_wal/000000010000000000000001
silt wal status
"""


@click.group("wal", epilog=examples_text(_EXAMPLES))
def command() -> None:
    """Archive the WAL of PostgreSQL, and give it back."""


for each in (stream, push, fetch, status):
    command.add_command(each)
