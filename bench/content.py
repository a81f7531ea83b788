"""Seeded bytes of the kinds that backups meet: source text, logs, tables, and what does not compress.

Rule: the same call gives the same bytes on every run with the same Python; its own library is the only text it needs.
Nothing here is large at once: callers ask piece by piece. It does not promise real data, only data that compresses and
repeats as real data does: text in short pieces, so that no chunk of it comes twice by accident.
"""

import os
import random
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
NO_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "lib-dynload"}
MIB = 1 << 20
POOL = 64 * MIB  # more than any Python's own sources
LONGEST_SOURCE = 200_000  # bytes of one file in the pool: tables of test data would else be much of it

USERS = [f"user{i:05d}" for i in range(5000)]
LEVELS = ("INFO", "INFO", "INFO", "WARN", "ERROR")
STATUS = (200, 200, 200, 304, 404, 500)
PATHS = [
    f"/api/v{version}/{noun}/{verb}"
    for version in (1, 2)
    for noun in ("orders", "tickets", "login", "files", "search", "metrics")
    for verb in ("list", "get", "put", "delete", "stat", "batch")
]


@cache
def library() -> list[Path]:
    """The files of the interpreter's own library, sorted: sources and their data, nothing compiled or installed."""
    files: list[Path] = []
    for folder, folders, names in os.walk(LIBRARY):
        folders[:] = [name for name in folders if name not in NO_LIBRARY]
        files += [Path(folder, name) for name in names if not name.endswith((".pyc", ".so", ".a", ".o"))]
    return sorted(path for path in files if path.is_file() and not path.is_symlink())


@cache
def text_pool() -> bytes:
    """Real text, at most POOL bytes: the library's Python sources in a seeded order."""
    sources = [path for path in library() if path.suffix == ".py"]
    random.Random(7).shuffle(sources)
    pool = b"".join(path.read_bytes()[:LONGEST_SOURCE] for path in sources)
    return pool[:POOL]


@cache
def _pool_lines() -> list[bytes]:
    return text_pool().split(b"\n")


def prose(chance: random.Random, size: int) -> bytes:
    """`size` bytes of text, in pieces of 150 to 600 bytes from all over the pool."""
    pool = text_pool()
    pieces, made = [], 0
    while made < size:
        drawn = chance.getrandbits(40)
        length, start = 150 + drawn % 450, drawn // 450 % (len(pool) - 700)
        pieces.append(pool[start : start + length])
        made += length
    return b"".join(pieces)[:size]


def text_segment(number: int, size: int = MIB) -> bytes:
    """Segment `number` of a long text: JSON logs (every other one), source lines, or rows of a table."""
    chance = random.Random(1000 + number)
    line = (_log_line, _log_line, _source_lines, _table_row)[number % 4]
    made, length, lines = 0, 0, []
    while length < size:
        lines.append(line(number, made, chance))
        length += len(lines[-1])
        made += 1
    return b"".join(lines)[:size]


def _log_line(number: int, made: int, chance: random.Random) -> bytes:
    drawn = chance.getrandbits(64)
    at = 1_700_000_000 + number * 977 + made
    return (
        f'{{"ts":{at}.{drawn % 1000:03d},"level":"{LEVELS[drawn % 5]}","req":"{drawn:016x}",'
        f'"user":"{USERS[drawn % 5000]}","path":"{PATHS[drawn % 72]}","status":{STATUS[drawn % 6]},'
        f'"ms":{drawn % 9973},"bytes":{drawn % 1048573},"host":"web-{drawn % 32:02d}"}}\n'
    ).encode()


def _source_lines(_number: int, _made: int, chance: random.Random) -> bytes:
    lines = _pool_lines()
    at = chance.randrange(len(lines) - 9)
    return b"\n".join(lines[at : at + 8]) + b"\n"


def _table_row(number: int, made: int, chance: random.Random) -> bytes:
    drawn = chance.getrandbits(64)
    return (
        f"{number};{made};{drawn % 100000};{USERS[drawn % 5000]};{(drawn >> 20) % 1000000 / 100};"
        f"2024-{drawn % 12 + 1:02d}-{drawn % 28 + 1:02d};{PATHS[drawn % 72]};open\n"
    ).encode()


# --- files as people attach them, about `size` bytes each: suffix -> content(number, chance, size)


def scan_pdf(_number: int, chance: random.Random, size: int) -> bytes:
    """Images in a shell of text."""
    return b"%PDF-1.7\n" + prose(chance, 900) + chance.randbytes(size) + prose(chance, size // 8) + b"\n%%EOF\n"


def photo(_number: int, chance: random.Random, size: int) -> bytes:
    """Compressed already."""
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0" + chance.randbytes(size) + b"\xff\xd9"


def capture(number: int, chance: random.Random, size: int) -> bytes:
    """Packets: small headers that repeat, payloads of both kinds."""
    pool = text_pool()
    pieces = [b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(8) + b"\xff\xff\0\0\1\0\0\0"]
    made = 0
    while made < size:
        length = chance.randint(40, 1400)
        start = chance.randrange(len(pool) - 1400)
        payload = chance.randbytes(length) if chance.random() < 0.6 else pool[start : start + length]
        head = number.to_bytes(4, "little") + length.to_bytes(4, "little") * 2
        pieces.append(head + b"\x45\0\0\x14\x40\0\x40\6\x0a\0\0\1\x0a\0\0\2" + payload)
        made += length + 28
    return b"".join(pieces)


def messages(number: int, _chance: random.Random, size: int) -> bytes:
    """JSON, a line each."""
    segments = range(100_000 + 256 * number, 100_000 + 256 * number + 4 * (size // MIB + 1), 4)
    return b"".join(text_segment(segment, min(size, MIB)) for segment in segments)[:size]


def server_log(_number: int, chance: random.Random, size: int) -> bytes:
    """Plain text."""
    return prose(chance, size)


ATTACHMENTS: list[tuple[str, Callable[[int, random.Random, int], bytes]]] = [
    *[("pdf", scan_pdf)] * 3,
    *[("jpg", photo)] * 3,
    *[("pcap", capture)] * 2,
    ("json", messages),
    ("log", server_log),
]
