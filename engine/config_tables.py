"""The configuration in a deployment's database as a file set of a level, and from there back into a database.

Rule: its entries are the files of postgres/config_read.py, below a path that no disk has: `silt restore --to` writes
them as files, and a restore in place leaves them out. They are stored as any content, so that what did not change costs
nothing.
"""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from msgspec import Struct

from siltstone.store import DryWriter, Store, Writer

from .cut import Cutter
from .database_info import CONFIG_SET_NAME
from .deployment import ConfigTables
from .entry import HEAD, extra, make_row, order_key, parse_row
from .errors import NothingSelected
from .levels import Level, SetInfo
from .manifest import ManifestReader, ManifestWriter, extents_of
from .stream import Stream
from .teller import Teller
from .workers import Workers


def back_up_tables(
    sink: Writer | DryWriter, tables: ConfigTables, gear: bytes, teller: Teller, totals: Counter[str]
) -> SetInfo:
    """Read settings and tables, and store them. Raises PostgresError, StoreError."""
    from .postgres.config_read import ROOT, read_config

    rows: dict[bytes, bytes] = {}
    held = 0
    with Workers(sink) as workers:
        for path, file in read_config(tables.dsn, tables.names):
            rows[path], size = _store(workers, Cutter(gear), path, file, teller)
            held += size
            teller.files += 1
        workers.finish()
    files = len(rows)
    for path in list(rows):
        folder = os.path.dirname(path)
        rows[folder] = make_row(folder, _head(stat.S_IFDIR | 0o700, 0))
    rows[ROOT] = make_row(ROOT, _head(stat.S_IFDIR | 0o700, 0))
    manifest = ManifestWriter(sink)
    for path in sorted(rows, key=order_key):
        manifest.add(path, rows[path])
    totals.update(files=files, bytes=held, directories=len(rows) - files, new=len(rows))
    return SetInfo(CONFIG_SET_NAME, (ROOT,), tuple(manifest.finish()), len(rows), files, held)


def _store(workers: Workers, cutter: Cutter, path: bytes, file: BinaryIO, teller: Teller) -> tuple[bytes, int]:
    """The row of one content, and its size."""
    size = os.fstat(file.fileno()).st_size
    stream = Stream(workers, cutter, partial(teller.read, path))
    stream.read(file.fileno(), size)
    extents, indirect = stream.finish()
    return make_row(path, _head(stat.S_IFREG | 0o600, size), extents, extra(indirect=indirect)), size


def _head(mode: int, size: int) -> bytes:
    now = time.time_ns()
    return HEAD.pack(mode, os.geteuid(), os.getegid(), 1, size, now, now, 0, 0)


class LevelTables(Struct, frozen=True):
    """What a level holds of a database's configuration."""

    store: Store
    level: Level

    def paths(self) -> list[bytes]:
        """The paths of settings and tables. Raises NothingSelected when the level holds none."""
        found = [path for path, row in self._rows() if stat.S_ISREG(parse_row(row).mode)]
        if not found:
            raise NothingSelected(
                f"{self.level.deployment}:{self.level.ref} holds no configuration of a database",
                hint="'silt backup --config-only' makes such levels, of deployments with config-tables",
            )
        return found

    def content(self, path: bytes) -> Iterator[bytes]:
        """The content of one of them, in pieces. Raises Corrupt, ObjectMissing."""
        for found, row in self._rows():
            if found == path:
                for extent in extents_of(self.store, parse_row(row)):
                    if extent.id is None:
                        yield bytes(extent.length)
                    else:
                        yield self.store.read_chunk(extent.id)[extent.offset : extent.offset + extent.length]

    def _rows(self) -> Sequence[tuple[bytes, bytes]]:
        return [
            row
            for files in self.level.sets
            if files.name == CONFIG_SET_NAME
            for row in ManifestReader(self.store, self.level, files).rows()
        ]
