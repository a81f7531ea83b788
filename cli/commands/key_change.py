"""`silt key change`: another passphrase or key file in the place of the one that opened the store.

Rule: the new key is there before the old one goes.
"""

from ..answer import answer
from ..key_options import new_secret, new_secret_option
from ..opening import unlocked
from ..options import Options, make_command


@make_command(
    "change",
    examples="""
    silt key change                          # asks for the old passphrase, then for the new one, twice
    silt key change --key-file old.key --new-key-file new.key
    """,
)
@new_secret_option
def command(options: Options, new_key_file: str | None) -> int:
    """Exchange the passphrase or key file in use.

    The one that opens the store gives way to another. Who knows the old one and kept a copy of the store's key object
    opens the store as before; see 'silt key rotate'. With --json: {"keys"}.
    """
    from siltstone.store import KeyCopy, StoreError, exchange_key, need_to_manage

    store, old = unlocked(options)
    need_to_manage(store, "changing a key")
    if old is None or isinstance(old, KeyCopy):
        raise StoreError(
            "there is no key in the store to exchange",
            hint="open the store with a passphrase or key file of its own",
        )
    made = exchange_key(store, old, new_secret(new_key_file))
    answer(options, {"keys": made}, [f"exchanged; new key {', '.join(made)}" if made else "exchanged"])
    return 0
