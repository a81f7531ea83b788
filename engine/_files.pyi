# Types of `_files.c`; what the functions do is said in files_plain.py and files_plain_write.py.

from collections.abc import Sequence

def probe_directory(path: bytes, /) -> tuple[int, int]: ...
def read_files(
    paths: Sequence[bytes], sizes: Sequence[int], buffer: bytearray | memoryview, /
) -> list[tuple[int, int, int, bytes, int, int]]: ...
def write_files(
    directories: Sequence[int],
    names: Sequence[bytes],
    temps: Sequence[bytes],
    starts: Sequence[int],
    lengths: Sequence[int],
    heads: Sequence[bytes],
    buffer: bytes | bytearray | memoryview,
    /,
    *,
    owner: bool,
) -> list[tuple[int, str, int, int, int]]: ...
