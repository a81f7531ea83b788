"""A remote backend with a cache on this host before it.

Rule: only what never changes under its name is taken from the cache: index segments that are viewed or created, pieces
of packs that are read by `get` (footers, and the frames of manifests; the data of files is read by `read` and passes
by), and heads of parity objects, once they prove sound: a damaged one may be written anew under its name. Everything
else, and every list, is asked of the storage: what is deleted there is missing from lists, and may be read from here
for a while.
"""

from collections.abc import Iterator, Sequence

from .backend import Backend, Buffer, ObjectInfo
from .local_cache import LocalCache
from .parity import PARITY, is_head

_INDEX, _PACKS = "index/", "packs/"

# A frame is 3 MiB at most, and few footers are larger. Whoever reads a whole pack does not come for it again.
LARGEST = 4 << 20

_SIZE = 8  # bytes of an object's size, before the end of it that is kept


class CachedBackend:
    """`Backend` says what each call promises."""

    def __init__(self, inner: Backend, cache: LocalCache) -> None:
        self._inner, self._cache = inner, cache

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def remote(self) -> bool:
        return self._inner.remote

    def holds_conditions(self) -> bool:
        return self._inner.holds_conditions()

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._inner.put(name, pieces)
        if name.startswith(_INDEX):
            self._cache.keep(_last(name), pieces)

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._inner.replace(name, pieces)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if not name.startswith((_PACKS, PARITY)) or length == 0:
            return self._inner.get(name, offset, length)
        copy = f"{_last(name)}-{offset}-{'' if length is None else length}"
        kept = self._cache.get(copy)
        if kept is not None:
            return bytes(kept)
        content = self._inner.get(name, offset, length)
        if 0 < len(content) <= LARGEST and (name.startswith(_PACKS) or (not offset and is_head(name, content))):
            self._cache.keep(copy, [content])
        return content

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        return self._inner.read(name, offset, room)

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        if not name.startswith(_PACKS):
            return self._inner.end(name, length)
        copy = f"{_last(name)}-end-{length}"
        kept = self._cache.get(copy)
        if kept is not None:
            return bytes(kept[_SIZE:]), int.from_bytes(kept[:_SIZE], "big")
        end, size = self._inner.end(name, length)
        self._cache.keep(copy, [size.to_bytes(_SIZE, "big"), end])
        return end, size

    def view(self, name: str) -> memoryview:
        if not name.startswith(_INDEX):
            return self._inner.view(name)
        kept = self._cache.get(_last(name))
        if kept is None:
            kept = self._inner.view(name)
            self._cache.keep(_last(name), [kept])
        return kept

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def size(self, name: str) -> int:
        return self._inner.size(name)

    def delete(self, name: str) -> None:
        self._inner.delete(name)

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return self._inner.remove_stale(older_than_seconds)

    def free_space(self) -> int | None:
        return self._inner.free_space()


def _last(name: str) -> str:
    return name.rpartition("/")[2]
