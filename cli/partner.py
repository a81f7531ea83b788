"""A second store beside the one of --store: where a sync goes to, or what a repair takes from.

Its secret is the first that is there: --partner-key-file; SILT_PARTNER_PASSPHRASE, SILT_PARTNER_PASSPHRASE_COMMAND,
SILT_PARTNER_KEY_FILE; else whatever opens the other store, which is right for copies of it; else it is asked for. A
store that is not encrypted takes none.
"""

import os
from functools import partial
from typing import TYPE_CHECKING

import click

from .opening import ask_and_open, opened_store
from .options import Options
from .secret import given_opener
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from siltstone.store import Backend, Opener, Store

# What is looked at in the place of what.
_VARIABLES = {
    "SILT_PASSPHRASE": "SILT_PARTNER_PASSPHRASE",
    "SILT_PASSPHRASE_COMMAND": "SILT_PARTNER_PASSPHRASE_COMMAND",
    "SILT_KEY_FILE": "SILT_PARTNER_KEY_FILE",
}

partner_key_file = click.option(
    "--partner-key-file", metavar="FILE", help="The key file that opens the other store, if it is another one."
)


def open_partner(options: Options, backend: "Backend", key_file: str | None) -> "Store":
    """The open store at that place. NotAStore, NewerFormat, NoKey, WrongKey."""
    from siltstone.store import Store, read_config

    secret = _secret(options, key_file)
    if not read_config(backend).encrypted:
        return Store.open(backend, None)
    return ask_and_open(backend, partial(opened_store, cached=False)) if secret is None else Store.open(backend, secret)


def _secret(options: Options, key_file: str | None) -> "Opener | None":
    own = {name: os.environ[theirs] for name, theirs in _VARIABLES.items() if theirs in os.environ}
    if secret := given_opener(key_file, own, Settings()):
        return secret
    return given_opener(options.key_file, os.environ, load_settings(os.environ))
