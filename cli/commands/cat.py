"""`silt cat`: the content of one file, to stdout.

Rule: nothing but the file's bytes goes to stdout. What cannot be read is an error, and then what was written is a
beginning of the file; the exit code says so.
"""

import sys

import click

from ..opening import open_store
from ..options import Options, make_command
from ..selecting import absolute_path


@make_command(
    "cat",
    examples="""
    silt cat 0/1 /etc/hosts
    silt cat latest /opt/phantom/etc/cacerts.pem > cacerts.pem
    """,
)
@click.argument("level")
@click.argument("path")
def command(options: Options, level: str, path: str) -> int:
    """Write one file of a level to stdout."""
    from siltstone.engine import cat, resolve

    store = open_store(options)
    cat(store, resolve(store, level), absolute_path(path), sys.stdout.buffer)
    return 0
