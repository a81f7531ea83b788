"""A process of test_collecting.py: a backup of one tree, or garbage collection again and again until it is killed.

    collecting.py backup STORE TREE NAME        prints group/level once it is committed
    collecting.py collect STORE

Rule: the program as it is, but for small packs, so that there is something to collect, and no patience with silent
sessions, so that those of killed backups on this host and of others are given up at once.
"""

import sys

from siltstone.engine import EngineError, Limits, back_up, collect, quick_deployment
from siltstone.store import KeyFile, Store, StoreError, open_backend, packer, verdict

KEY = KeyFile(b"grains laid down in layers......")


def main(verb: str, store: str, *words: str) -> None:
    """Do it."""
    packer.PACK_SIZE = 7 << 19  # a frame has up to 3 MiB
    verdict.SMALL = 64 << 10
    if verb == "backup":
        opened = Store.open(open_backend(store), KEY)
        level = back_up(opened, quick_deployment([words[0]], words[1]), report=lambda event: None).level
        assert level is not None
        sys.stdout.write(f"{level.ref}\n")
        return
    while True:
        limits = Limits(share=1.0, waste=0.3, patience=0.0)
        try:
            result = collect(Store.open(open_backend(store), KEY), limits=limits, report=lambda event: None)
        except (StoreError, EngineError) as error:
            sys.stdout.write(f"refused {error}\n")
        else:
            sys.stdout.write(f"removed {result.removed.packs}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
