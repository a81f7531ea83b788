"""What the system under a directory may refuse or do by halves, and the error or the way round that follows.

Rule: faults are put in at the system call, and the rest is real. A fault never shows as a missing object, and a failed
write leaves nothing behind.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import Backend, BackendError, ObjectExists, StoreFull, open_backend
from siltstone.store.backend import Buffer
from siltstone.store.durable import write_all

PACK = "packs/ab/abcd"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(root: Path) -> Backend:
    return open_backend(str(root), create=True)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def failing(code: int) -> Callable[..., Any]:
    def fail(*args: object, **named: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


class TestRefusedWrites:
    @pytest.mark.parametrize("call", ["writev", "fsync", "mkdir", "link"])
    @pytest.mark.parametrize(
        ("code", "error", "hint"),
        [
            (errno.ENOSPC, StoreFull, "room"),
            (errno.EDQUOT, StoreFull, "quota"),
            (errno.EIO, BackendError, "dmesg"),
            (errno.EROFS, BackendError, "read-only"),
            (errno.EACCES, BackendError, "user who owns"),
            (errno.ESTALE, BackendError, "mount it again"),
            (errno.ENAMETOOLONG, BackendError, ""),
        ],
    )
    def test_the_error_names_object_and_reason(
        self, backend: Backend, root: Path, call: str, code: int, error: type[BackendError], hint: str
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, failing(code))
            with pytest.raises(error, match=f"{root}: cannot write {PACK}: {os.strerror(code)}") as caught:
                backend.put(PACK, [b"grain"])
        assert type(caught.value) is error
        assert hint in caught.value.hint
        assert files(root) == []
        backend.put(PACK, [b"grain"])

    def test_a_lease_that_cannot_be_replaced_stays(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend.replace("sessions/s", [b"old"])
        monkeypatch.setattr(os, "rename", failing(errno.ENOSPC))
        with pytest.raises(StoreFull):
            backend.replace("sessions/s", [b"new"])
        assert backend.get("sessions/s") == b"old"
        assert files(root) == ["sessions/s"]

    def test_an_interrupted_write_leaves_nothing(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(file: int, pieces: Sequence[Buffer]) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "writev", interrupted)
        with pytest.raises(KeyboardInterrupt):
            backend.put(PACK, [b"grain"])
        assert files(root) == []

    def test_a_temporary_that_cannot_be_unlinked_harms_nobody(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "unlink", failing(errno.EIO))
        backend.put(PACK, [b"grain"])
        assert [info.name for info in backend.list("")] == [PACK]
        assert backend.get(PACK) == b"grain"


class TestRefusedReads:
    @pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ELOOP])
    def test_what_cannot_be_read_is_not_missing(
        self, backend: Backend, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        backend.put(PACK, [b"grain"])
        for call in ("pread", "preadv", "scandir", "unlink"):
            monkeypatch.setattr(os, call, failing(code))
        monkeypatch.setattr(mmap, "mmap", failing(code))
        calls: list[Callable[[], object]] = [
            lambda: backend.get(PACK),
            lambda: backend.read(PACK, 0, memoryview(bytearray(4))),
            lambda: backend.view(PACK),
            lambda: list(backend.list("")),
            lambda: backend.delete(PACK),
        ]
        for call_it in calls:
            with pytest.raises(BackendError, match=os.strerror(code)):
                call_it()

    def test_what_cannot_be_mapped_is_read(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        backend.put(PACK, [b"grain"])
        monkeypatch.setattr(mmap, "mmap", failing(errno.ENODEV))
        view = backend.view(PACK)
        assert bytes(view) == b"grain"
        assert view.readonly

    def test_short_reads_go_on(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        content = bytes(range(200))
        backend.put(PACK, [content])
        pread, preadv = os.pread, os.preadv
        monkeypatch.setattr(os, "pread", lambda file, count, offset: pread(file, min(count, 7), offset))
        monkeypatch.setattr(os, "preadv", lambda file, into, offset: preadv(file, [into[0][:7]], offset))
        buffer = bytearray(250)
        assert backend.get(PACK) == content
        assert backend.get(PACK, 3, 100) == content[3:103]
        assert backend.read(PACK, 50, memoryview(buffer)) == content[50:]
        assert buffer[:150] == content[50:]


@given(pieces=st.lists(st.binary(max_size=50), max_size=30), data=st.data())
@settings(max_examples=200)
def test_short_writes_go_on(pieces: list[bytes], data: st.DataObject) -> None:
    written = bytearray()

    def writev(file: int, views: Sequence[Buffer]) -> int:
        whole = b"".join(views)
        assert whole
        assert len(views) <= 4
        count = data.draw(st.integers(1, len(whole)))
        written.extend(whole[:count])
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", writev)
        patch.setattr("siltstone.store.durable._IOV_MAX", 4)
        write_all(0, pieces)
    assert written == b"".join(pieces)


class TestExclusiveNames:
    """Where the file system has no hard links, the temporary is renamed without replacing."""

    @pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
    def test_rename_takes_the_place_of_link(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        monkeypatch.setattr(os, "link", failing(code))
        backend.put(PACK, [b"first"])
        with pytest.raises(ObjectExists):
            backend.put(PACK, [b"second"])
        assert backend.get(PACK) == b"first"
        assert files(root) == [PACK]

    @pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOSPC, None])
    def test_a_file_system_with_neither_is_refused(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
    ) -> None:
        def renameat2(*args: object) -> int:
            ctypes.set_errno(code or 0)
            return -1

        libc = SimpleNamespace() if code is None else SimpleNamespace(renameat2=renameat2)
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
        monkeypatch.setattr(ctypes, "CDLL", lambda *args, **named: libc)
        with pytest.raises(StoreFull if code == errno.ENOSPC else BackendError) as caught:
            backend.put(PACK, [b"grain"])
        assert ("neither links nor renames" in caught.value.hint) == (code != errno.ENOSPC)
        assert files(root) == []

    def test_a_link_whose_answer_was_lost_is_ours(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def repeated(*args: Any, **named: Any) -> None:
            link(*args, **named)
            link(*args, **named)  # as NFS does it: the second finds the first

        monkeypatch.setattr(os, "link", repeated)
        backend.put(PACK, [b"grain"])
        assert backend.get(PACK) == b"grain"
        assert files(root) == [PACK]
        with pytest.raises(ObjectExists):
            backend.put(PACK, [b"other"])
