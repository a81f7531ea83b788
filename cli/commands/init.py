"""`silt init`: make a store.

Rule: a store is encrypted unless --no-encryption says otherwise. Its keys are those that are given: each --key-file,
and a passphrase where there is no key file or --passphrase asks for both.
"""

import os
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..compression import IN_WORDS, check_compression
from ..key_options import label_of
from ..mistake import Mistake
from ..opening import store_place
from ..options import Options, make_command
from ..paths import path_record, shown
from ..secret import ask_new_passphrase, given_passphrase, given_secret, read_key_file
from ..settings import Settings, load_settings

if TYPE_CHECKING:
    from siltstone.store import Secret, Store


@make_command(
    "init",
    with_store=False,
    examples="""
    silt init /mnt/backup/store                                # asks for a passphrase, twice
    silt init /mnt/backup/store --key-file /root/silt.key      # made by 'silt key new'
    silt init /mnt/backup/store --key-file k1 --key-file k2 --passphrase
    silt init /mnt/backup/store --no-encryption --compression lz4
    silt init /mnt/backup/store --pad                          # lengths tell less: docs/security.md
    silt init s3://bucket/prefix                               # AWS_ENDPOINT_URL and the like as for 'aws'
    """,
)
@click.argument("place", metavar="[STORE]", required=False)
@click.option("--key-file", "key_files", multiple=True, metavar="FILE", help="A key file that opens the store; repeat.")
@click.option("--passphrase", is_flag=True, help="A passphrase opens it too, beside the key files.")
@click.option("--no-encryption", is_flag=True, help="Seal nothing: whoever reads the store reads the data.")
@click.option("--compression", metavar="NAME", help=f"{IN_WORDS}; zstd unless it is given.")
@click.option("--pad", is_flag=True, help="Hide how long things are: packs get some 1 % longer. For good.")
def command(
    options: Options,
    place: str | None,
    key_files: tuple[str, ...],
    passphrase: bool,
    no_encryption: bool,
    compression: str | None,
    pad: bool,
) -> int:
    """Make a store: a folder, or a prefix of a bucket.

    The folder is new or empty. A bucket is named as s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.

    Everything in it is encrypted. The passphrase comes from SILT_PASSPHRASE, SILT_PASSPHRASE_COMMAND or the terminal.
    Losing every key is losing the data: nobody can help. With --json: {"store", "encrypted",
    "keys", "conditional", "padded"}; "conditional" is false where the storage does not keep conditional writes.
    """
    settings = load_settings(os.environ)
    location = place or store_place(options, settings)
    files = [*filter(None, [options.key_file]), *key_files]
    if no_encryption and (files or passphrase):
        raise Mistake("--no-encryption goes with no key", hint="leave one of them out")
    if no_encryption and pad:
        raise Mistake("--pad hides nothing in a store that is not encrypted", hint="leave one of them out")
    chosen = check_compression(compression) or check_compression(
        settings.get("compression"), source=f"'compression' in {settings.source}"
    )

    from siltstone.store import Store, open_backend

    # An empty list is how the store layer is told not to encrypt: it is reached by --no-encryption alone.
    secrets = [] if no_encryption else _secrets(files, passphrase, settings)
    store = Store.init(open_backend(location, create=True), secrets, compression=chosen or "zstd", padded=pad)
    _say(options, store, keys=len(secrets))
    return 0


def _secrets(files: list[str], passphrase: bool, settings: Settings) -> "list[tuple[Secret, str]]":
    """The secrets of a new store with their labels, at least one."""
    secrets: list[tuple[Secret, str]] = [(read_key_file(file), label_of(file)) for file in files]
    if secrets and not passphrase:
        return secrets
    given = given_passphrase(os.environ, settings) if passphrase else given_secret(None, os.environ, settings)
    return [*secrets, (given or ask_new_passphrase(), label_of(None))]


def _say(options: Options, store: "Store", *, keys: int) -> None:
    location, conditional, padded = store.backend.location, store.config.conditional, store.config.padded
    kind = f"encrypted, {keys} {'key opens' if keys == 1 else 'keys open'} it" if keys else "not encrypted"
    lines = [f"{shown(location)}: new store, {kind}" + (", its packs are padded" if padded else "")]
    if keys:
        lines.append("Keep each key in another place too: without one, nothing can be restored.")
    if not conditional:
        lines.append(
            "This storage keeps no conditional writes: nothing can be removed from the store while others write."
        )
    record = {**path_record(location, "store"), "encrypted": keys > 0, "keys": keys, "conditional": conditional}
    answer(options, {**record, "padded": padded}, lines)
