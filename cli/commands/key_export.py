"""`silt key export`: a key of the store as a file, to be kept apart from it or given to a host.

Rule: the store is not changed, and does not list what was exported. The file is text, short enough to be printed; with
a passphrase it is worth nothing without it.
"""

import os

import click

from ..answer import answer
from ..key_options import as_label, chosen_role, new_passphrase, read_only_option, write_only_option
from ..key_text import MAY, write_key
from ..opening import open_with
from ..options import Options, make_command
from ..paths import path_record, shown


@make_command(
    "export",
    examples="""
    silt key export recovery.txt --passphrase    # for the safe: opens the store even if config and keys/ are lost
    silt key export --write-only db1.key         # for a host that backs up and reads nothing
    silt repair --key-file recovery.txt
    """,
)
@click.argument("file")
@click.option("--passphrase", is_flag=True, help="A new passphrase opens it (SILT_NEW_PASSPHRASE, or asked for).")
@write_only_option
@read_only_option
def command(options: Options, file: str, passphrase: bool, write_only: bool, read_only: bool) -> int:
    """Write a key of the store into a new FILE.

    Given as --key-file, it opens the store by itself, without what lies in keys/, and 'silt repair' can bring back
    config and keys from it. Without --passphrase whoever has the file has the keys. It cannot be removed from afar, and
    is outdated after 'silt key rotate'. With --json: {"key_file", "role"}.
    """
    from siltstone.store import Secret, export_key, key_copy_text, make_key_file, need_to_manage, parse_key_file, unlock

    role = chosen_role(write_only=write_only, read_only=read_only)
    store = open_with(options, unlock)
    need_to_manage(store, "exporting a key")
    secret: Secret = new_passphrase() if passphrase else parse_key_file(make_key_file())
    copy = export_key(store, secret, label=as_label(os.path.basename(file)), role=role)
    remarks = (
        f"A key of the Siltstone store {store.config.store_id.hex()}; it may {MAY[role]}.",
        f"Use it as: silt --store STORE --key-file FILE ...{' (its passphrase is asked for)' if passphrase else ''}",
    )
    write_key(file, key_copy_text(copy, remarks))
    how = "with its passphrase " if passphrase else ""
    lines = [f"{shown(file)}: {how}it may {MAY[role]}; keep it apart from the store"]
    answer(options, {**path_record(file, "key_file"), "role": role}, lines)
    return 0
