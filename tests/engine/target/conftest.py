"""For tests of where a restore writes: a target, and beside it something that must never change.

Rule: after every test, what stands outside of the target is compared with a copy made before.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trees import difference, remove_tree


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Path]:
    """Holds `target`, empty, and `outside`, which must stay as it is."""
    ground = tmp_path / "ground"
    for name in ("target", "outside", "copy of outside"):
        (ground / name).mkdir(parents=True)
    for name in ("outside", "copy of outside"):
        (ground / name / "file").write_bytes(b"was here before")
        (ground / name / "folder").mkdir()
        os.utime(ground / name / "file", ns=(0, 1))
        os.utime(ground / name / "folder", ns=(0, 1))
        os.utime(ground / name, ns=(0, 1))
    yield ground
    found = difference(ground / "outside", ground / "copy of outside")
    remove_tree(ground)
    assert not found
