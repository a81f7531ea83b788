"""What killed backups leave half written does not stay for ever."""

import os
import time
from pathlib import Path

from tests.backing_up import Place


def test_a_full_backup_drops_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make_store()
    (place.tree / "file").write_bytes(b"content")
    place.level()
    old, young = (
        place.folder / "store" / "packs" / name for name in (".tmp-0123456789abcdef", ".tmp-fedcba9876543210")
    )
    for piece in (old, young):
        piece.write_bytes(b"half of a pack")
    os.utime(old, (time.time() - 90_000,) * 2)
    place.level(kind="incr")
    assert old.exists()
    place.level(kind="full")
    assert (old.exists(), young.exists()) == (False, True)
