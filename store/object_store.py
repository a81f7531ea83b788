"""A backend in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage; through obstore.

    <bucket>/<prefix>/<object>      one request an object: no part of it is ever seen, and no upload stays half done

Rule: creation is If-None-Match, in one request of the whole object, and what was asked again may have been done the
first time: a name that is taken is ours when it holds our bytes. (Packs bear their hash, everything else that is
created exclusively holds random bytes of its session.) Replacing is If-Match with the tag that was last seen, so that
a request which was given up and arrives late changes nothing. Where the storage knows no such conditions, writing asks
first and `holds_conditions` says no.

Each upload is signed over the SHA-256 of its body, which the storage compares: damage on the way is refused there.
(Google and Azure: TLS alone.) What comes back is checked above: everything here is sealed or named by its hash.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from .backend import Buffer, ObjectInfo, check_name, check_prefix, is_name
from .bandwidth import Bandwidth
from .errors import ObjectExists, ObjectMissing
from .object_errors import Refused, Unsupported, explained, is_past_the_end
from .object_place import connect
from .object_probe import Tag, probe
from .object_retry import Patience

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, PutMode, PutResult, UpdateVersion

T = TypeVar("T")
Body = list[memoryview]
Rows = list[tuple[str, int]]


class ObjectBackend:
    """Objects of a bucket under a prefix. `Backend` says what each call promises."""

    remote = True

    def __init__(self, location: str, bandwidth: Bandwidth | None = None) -> None:
        """Connect to the location; nothing is asked of the storage yet. Raises BackendError."""
        import obstore

        self.location = location.rstrip("/")
        self._obstore = obstore
        self._connection = connect(location, os.environ)
        self._bandwidth = bandwidth or Bandwidth()
        self._patience = Patience(os.environ.get("SILT_RETRY_SECONDS", ""))
        self._tags: dict[str, Tag] = {}  # of the objects that this connection replaces: leases
        self._there = False  # whether the bucket has answered: then what is missing is an object
        self._conditional = True  # until the storage says that it knows no conditions

    def holds_conditions(self) -> bool:
        return probe(self) and self._conditional

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        body = _body(pieces)
        if self._conditional:
            try:
                self._write(name, body, "create")
                return
            except Refused:
                if self._holds(name, body):
                    return
                raise ObjectExists(name) from None
            except Unsupported:
                self._conditional = False
        with suppress(ObjectMissing):
            self.size(name)
            raise ObjectExists(name)
        self._write(name, body, "overwrite")

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        tag = self._tags.get(name) or self.tag(name)
        if tag is not None and self._conditional:
            try:
                self.swap(name, pieces, tag)
                return
            except (Refused, ObjectMissing):
                pass  # another connection wrote it, or it is gone
            except Unsupported:
                self._conditional = False
        self._tags[name] = self._write(name, _body(pieces), "overwrite")

    def swap(self, name: str, pieces: Sequence[Buffer], tag: Tag) -> None:
        """Replace the object if it is still the one of that tag. Raises Refused, Unsupported, ObjectMissing."""
        expected: UpdateVersion = {}
        if tag[0] is not None:
            expected["e_tag"] = tag[0]
        if tag[1] is not None:
            expected["version"] = tag[1]
        self._tags[name] = self._write(name, _body(pieces), expected)

    def tag(self, name: str) -> Tag | None:
        """What tells the object that is there now from any other of its name; None where nothing does."""
        try:
            return _tag(self._head(name))
        except ObjectMissing:
            return None

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return bytes(self._read(name, offset, length))

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        return self._read(name, offset, len(room))

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        """As Backend says, in one request; in two on Azure, where a range cannot be one of the last bytes."""
        from obstore.store import AzureStore

        if isinstance(self._connection, AzureStore):
            size = self.size(name)
            return self.get(name, max(0, size - length)), size
        end, size = self._got(name, {"range": {"suffix": length}})
        return bytes(end), size

    def view(self, name: str) -> memoryview:
        """As Backend says; mapped from a file without a name, so that memory pressure can put it aside."""
        content = self._read(name, 0, None)
        if not content:
            return memoryview(b"")
        with tempfile.TemporaryFile(prefix="silt-") as file:
            file.write(content)
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), len(content), access=mmap.ACCESS_READ))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As Backend says. All of it is held while it is listed, some 250 bytes an object (8 MiB for packs of 1 TiB):
        some storages list folder by folder, which is another order than that of names.
        """
        return self._listed(check_prefix(prefix))

    def size(self, name: str) -> int:
        return int(self._head(name)["size"])

    def delete(self, name: str) -> None:
        self._head(name)  # S3 deletes what is not there without a word
        self._tags.pop(name, None)
        self._ask("delete", name, lambda: self._obstore.delete(self._connection, name))

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return 0  # an object is written in one request: there are no pieces

    def free_space(self) -> int | None:
        return None

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        rows = self._ask("list", prefix or "the store", lambda: self._rows(prefix))
        return (ObjectInfo(name, size) for name, size in sorted(rows))

    def _rows(self, prefix: str) -> Rows:
        pages = self._obstore.list(self._connection, prefix or None)
        found = ((str(row["path"]), int(row["size"])) for page in pages for row in page)
        return [(name, size) for name, size in found if name.startswith(prefix) and is_name(name)]

    def _read(self, name: str, offset: int, length: int | None) -> memoryview:
        if length == 0:
            self._head(name)
            return memoryview(b"")
        options: GetOptions = {}
        if length is not None:
            options = {"range": (offset, offset + length)}
        elif offset:
            options = {"range": {"offset": offset}}
        return self._got(name, options)[0]

    def _got(self, name: str, options: "GetOptions") -> tuple[memoryview, int]:
        """What was asked for of an object, and the size of all of it; nothing and 0 where that lies behind its end."""

        def request() -> tuple[memoryview, int]:
            try:
                found = self._obstore.get(self._connection, name, options=options)
                return memoryview(found.bytes()), int(found.meta["size"])
            except self._obstore.exceptions.GenericError as error:
                if is_past_the_end(error):
                    return memoryview(b""), 0
                raise

        content, size = self._ask("read", check_name(name), request)
        self._bandwidth.download.take(len(content))
        return content, size

    def _head(self, name: str) -> "ObjectMeta":
        head = self._obstore.head
        try:
            meta: ObjectMeta = self._ask("read", check_name(name), lambda: head(self._connection, name))
            return meta
        except ObjectMissing:
            if not self._there:
                self._read(name, 0, 1)  # the answer to HEAD has no words: only this tells a missing bucket
            raise

    def _holds(self, name: str, body: Body) -> bool:
        try:
            return self.get(name) == b"".join(body)
        except ObjectMissing:
            return False  # it was there a moment ago

    def _write(self, name: str, body: Body, mode: "PutMode") -> Tag:
        put = self._obstore.put
        self._bandwidth.upload.take(sum(len(piece) for piece in body))
        return self._ask(
            "write",
            check_name(name),
            lambda: _tag(put(self._connection, name, body or b"", mode=mode, use_multipart=False)),
        )

    def _ask(self, action: str, name: str, request: Callable[[], T]) -> T:
        try:
            answer = self._patience.ask(request)
        except Exception as error:
            raise explained(error, action, name, self.location) from error
        self._there = True
        return answer


def _tag(answer: "ObjectMeta | PutResult") -> Tag:
    return answer["e_tag"], answer["version"]


def _body(pieces: Sequence[Buffer]) -> Body:
    """The pieces as obstore takes them: none empty, each a plain run of bytes. They are sent from where they lie."""
    return [memoryview(piece).cast("B") for piece in pieces if len(piece)]
