"""`silt key add`: another secret that opens the store.

Rule: the secrets that are there stay as they are; removing one is another command.
"""

import click

from ..answer import answer
from ..key_options import (
    as_label,
    chosen_role,
    label_of,
    new_secret,
    new_secret_option,
    read_only_option,
    write_only_option,
)
from ..key_text import MAY
from ..opening import open_with
from ..options import Options, make_command


@make_command(
    "add",
    examples="""
    silt key add --label "printed, in the safe"                  # asks for a passphrase, twice
    silt key add --new-key-file /root/silt.key                   # made by 'silt key new'
    silt key add --new-key-file db1.key --write-only             # for a host that backs up and reads nothing
    """,
)
@new_secret_option
@click.option("--label", metavar="TEXT", help="What the key is called; everybody who sees the store can read it.")
@write_only_option
@read_only_option
def command(options: Options, new_key_file: str | None, label: str | None, write_only: bool, read_only: bool) -> int:
    """Have another passphrase or key file open the store.

    The store is opened with a key that it has, as by every command. With --json: {"key", "role"}.
    """
    from siltstone.store import add_key, need_to_manage, unlock

    role = chosen_role(write_only=write_only, read_only=read_only)
    store = open_with(options, unlock)
    need_to_manage(store, "adding a key")
    name = as_label(label) if label else label_of(new_key_file)
    made = add_key(store, new_secret(new_key_file), label=name, role=role)
    answer(options, {"key": made, "role": role}, [f"key {made} ({name}) may {MAY[role]}"])
    return 0
