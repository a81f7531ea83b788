"""What a directory has beyond its stat: the C module and its plain twin say the same, and it is true."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine.flags import SETTABLE, read_flags
from tests.files_twins import each_twin, make


class TestDirectories:
    @each_twin
    def test_what_there_is_beyond_the_stat(self, files: Any, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path)
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            expected = (len(b"".join(os.fsencode(name) + b"\0" for name in os.listxattr(fd))), read_flags(fd) or 0)
        finally:
            os.close(fd)
        assert files.probe_directory(path) == (expected[0], expected[1] & SETTABLE)
        try:
            os.setxattr(path, "user.some", b"thing")
        except OSError:
            pytest.skip("no attributes here")
        assert files.probe_directory(path) == (expected[0] + len("user.some\0"), expected[1] & SETTABLE)

    @each_twin
    @pytest.mark.parametrize(
        ("kind", "code"), [("none", errno.ENOENT), ("file", errno.ENOTDIR), ("fifo", errno.ENOTDIR)]
    )
    def test_what_is_none(self, files: Any, tmp_path: Path, kind: str, code: int) -> None:
        path = tmp_path / "x"
        if kind == "file":
            path.touch()
        elif kind != "none":
            make(os.fsencode(tmp_path), b"x", kind)
        with pytest.raises(OSError) as caught:
            files.probe_directory(os.fsencode(path))
        assert caught.value.errno == code
