"""`silt cat`: the content of one file, to stdout.

Rule: nothing but the file's bytes goes to stdout. What cannot be read is an error, and then what was written is a
beginning of the file; the exit code says so.
"""

import sys

import click

from ..opening import Opening
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
@click.option("--host", metavar="NAME", help="As this host had it; needed where hosts had different files there.")
def command(options: Options, level: str, path: str, host: str | None) -> int:
    """Write one file of a level to stdout."""
    opening = Opening(options)
    from siltstone.engine import cat, of_host, resolve

    store = opening.store()
    found = resolve(store, level)
    cat(store, of_host(found, host) if host else found, absolute_path(path), sys.stdout.buffer)
    return 0
