"""Which PostgreSQL cluster a command speaks to: --dsn, or the deployment file's [postgres].

Rule: the option wins; without it the deployment file that the command line or the settings name. A dsn may hold a
password and is never repeated. Nothing is connected to here.
"""

import os

import click

from .deploying import deployment_from_file
from .mistake import Mistake
from .settings import load_settings

# One name everywhere: what `pg check` asks for is what `wal stream` makes.
DEFAULT_SLOT = "siltstone"

dsn_option = click.option(
    "--dsn", metavar="DSN", help="The server, in libpq's words; instead of the deployment file's."
)
file_option = click.option(
    "-c", "--config", "file", metavar="FILE", help="The deployment file, whose [postgres] has the dsn."
)
slot_option = click.option(
    "--slot", default=DEFAULT_SLOT, show_default=True, metavar="NAME", help="The slot that keeps WAL for us."
)


def given_dsn(dsn: str | None, file: str | None) -> str | None:
    """The dsn of the option, or of a deployment file; None where neither is there."""
    settings = load_settings(os.environ)
    if dsn or not (file or settings.get("deployment")):
        return dsn
    database = deployment_from_file(file, (), settings).database
    return None if database is None else database.dsn


def needed_dsn(dsn: str | None, file: str | None) -> str:
    """The same. Mistake where there is none."""
    found = given_dsn(dsn, file)
    if found is None:
        raise Mistake("nothing says which server", hint="give --dsn, or -c FILE with [postgres] and dsn in it")
    return found
