"""`silt key remove`: a key that opens the store no more.

Rule: it says what whoever had the key can still do: a removed key object does not take back what was read from it.
"""

import click

from ..answer import answer
from ..opening import open_with
from ..options import Options, make_command
from ..paths import shown

_READ_ON = (
    "Whoever kept the keys that it opened, and can read the storage, reads what was written so far, and what will be "
    "written until 'silt key rotate'."
)
_KEPT = {
    "all": _READ_ON,
    "read": _READ_ON,
    "write": "Whoever kept what it opened can go on adding backups as long as the storage lets him; he reads nothing.",
}


@make_command(
    "remove",
    examples="""
    silt key list                            # shows the ids
    silt key remove 3f9a --dry-run
    silt key remove 3f9a                     # the beginning of an id is enough
    """,
)
@click.argument("key_id", metavar="ID")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and do nothing.")
def command(options: Options, key_id: str, dry_run: bool) -> int:
    """Remove a key of the store.

    Its passphrase or key file opens the store no more. The key with which the store is opened for this stays, and so
    does the last one that reads. With --json: {"key", "label", "dry_run"}.
    """
    from siltstone.store import need_to_manage, removable, remove_key, unlock

    store = open_with(options, unlock)
    need_to_manage(store, "removing a key")
    key = removable(store, key_id) if dry_run else remove_key(store, key_id)
    said = f"key {key.id} ({shown(key.label)}) {'would be' if dry_run else 'was'} removed"
    lines = [said, *([_KEPT[key.info.role]] if key.info else [])]
    answer(options, {"key": key.id, "label": key.label, "dry_run": dry_run}, lines)
    return 0
