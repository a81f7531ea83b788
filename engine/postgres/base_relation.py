"""A relation's file of the base level, cell by cell, for an overlay.

Rule: a file of one cell has no records (gather.py), so its cell is made from its content. What cannot be read is not
there: who overlays notices by the size. Contents that cannot be read are OverlayLost.
"""

from collections.abc import Iterator

from siltstone.store import StoreError, chunk_id

from ..entry import pack_extents
from ..manifest import extents_of
from .base_files import BaseFiles
from .cells import OldCell
from .grid import CELL, PAGE
from .overlay import OverlayLost
from .pages import Digester


class BaseRelation:
    """An overlay's Parent."""

    def __init__(self, files: BaseFiles, path: bytes, id_key: bytes, digester: Digester) -> None:
        self._files, self._path, self._id_key, self._digester = files, path, id_key, digester
        entry = files.entry(path)
        if entry is None or entry.size % PAGE:
            raise OverlayLost(path)
        self._entry, self.size = entry, entry.size

    def cells(self) -> Iterator[OldCell | None]:
        if self.size > CELL:
            yield from self._files.cells(self._path)
        elif self.size:
            try:
                extents = tuple(extents_of(self._files.store, self._entry))
                content = b"".join(self._files.read(extents))
            except StoreError:
                return
            cell = chunk_id(memoryview(content), self._id_key)
            yield OldCell(cell, self._digester.digests(content), pack_extents(extents))

    def content(self, cell: OldCell) -> bytes:
        try:
            return b"".join(self._files.read(cell.extents))
        except StoreError as error:
            raise OverlayLost(self._path) from error
