"""The contract of a backend: one suite that every kind passes, and that says what callers may rely on.

Rule: only what `Backend` promises is asked here, through its verbs, on real storage. What is special to directories
(the order of writing, errors of the system) is in test_directory.py and test_directory_durability.py.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import Backend, BackendError, ObjectExists, ObjectInfo, ObjectMissing, open_backend
from siltstone.store.backend import Buffer

from .backends import KINDS, Connect, fresh

every_kind = pytest.mark.parametrize("kind", KINDS)

buffers: st.SearchStrategy[Buffer] = st.one_of(
    st.binary(), st.binary().map(bytearray), st.binary().map(lambda content: memoryview(content)[1:])
)
BAD_NAMES = [
    "", "/", "/config", "config/", "packs//ab", ".", "..", "../config", "packs/../config", "packs/.", ".tmp-0", "a/.b",
    "-a", "a b", "a\n", "a\0", "é", "a\\b", "lost+found", "a" * 256, "a/" * 512 + "a",
]  # fmt: skip  # one name a line would hide the list


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with fresh(request.param) as connect:
        yield connect


@pytest.fixture
def backend(connect: Connect) -> Backend:
    return connect()


def listed(backend: Backend, prefix: str = "") -> dict[str, int]:
    return {info.name: info.size for info in backend.list(prefix)}


class TestContent:
    @every_kind
    @given(pieces=st.lists(buffers, max_size=6))
    @settings(max_examples=30)
    def test_what_was_put_comes_back(self, kind: str, pieces: list[Buffer]) -> None:
        whole = b"".join(pieces)
        with fresh(kind) as connect:
            connect().put("packs/ab/x", pieces)
            backend = connect()
            assert backend.get("packs/ab/x") == whole
            assert backend.size("packs/ab/x") == len(whole)
            assert bytes(backend.view("packs/ab/x")) == whole
            assert list(backend.list("")) == [ObjectInfo("packs/ab/x", len(whole))]

    def test_more_pieces_than_one_call_takes(self, backend: Backend) -> None:
        pieces = [bytes([n % 251]) * (n % 7) for n in range(5000)]
        backend.put("packs/ab/x", pieces)
        assert backend.get("packs/ab/x") == b"".join(pieces)

    def test_a_large_object(self, backend: Backend) -> None:
        pieces = [bytes([n]) * (1 << 20) for n in range(9)]
        backend.put("packs/ab/x", pieces)
        assert bytes(backend.view("packs/ab/x")) == b"".join(pieces)

    @every_kind
    @given(data=st.data(), content=st.binary(max_size=100))
    @settings(max_examples=30)
    def test_ranges(self, kind: str, data: st.DataObject, content: bytes) -> None:
        with fresh(kind) as connect:
            backend = connect()
            backend.put("x", [content])
            for _ in range(10):
                offset, length = data.draw(st.tuples(st.integers(0, 120), st.integers(0, 120)))
                assert backend.get("x", offset, length) == content[offset : offset + length]
                assert backend.get("x", offset) == content[offset:]
                buffer = bytearray(b"\xee" * length)
                assert backend.read("x", offset, memoryview(buffer)) == content[offset : offset + length]
                assert backend.end("x", length + 1) == (content[max(0, len(content) - length - 1) :], len(content))

    def test_a_view_cannot_be_written_and_outlives_its_object(self, backend: Backend) -> None:
        backend.put("index/x", [b"grain" * 1000])
        view = backend.view("index/x")
        backend.delete("index/x")
        assert view.readonly
        assert bytes(view[4995:]) == b"grain"


class TestCreation:
    def test_a_taken_name_keeps_its_object(self, backend: Backend) -> None:
        backend.put("backups/h/0/0", [b"first"])
        with pytest.raises(ObjectExists) as caught:
            backend.put("backups/h/0/0", [b"second"])
        assert caught.value.name == "backups/h/0/0"
        assert backend.get("backups/h/0/0") == b"first"
        assert listed(backend) == {"backups/h/0/0": 5}

    def test_replace_creates_and_overwrites(self, backend: Backend) -> None:
        backend.replace("sessions/s", [b"one"])
        assert backend.get("sessions/s") == b"one"
        backend.replace("sessions/s", [b"tw", b"o, longer"])
        assert backend.get("sessions/s") == b"two, longer"
        assert listed(backend) == {"sessions/s": 11}

    def test_a_deleted_name_is_free_again(self, backend: Backend) -> None:
        backend.put("a/b", [b"first"])
        backend.delete("a/b")
        assert listed(backend) == {}
        backend.put("a/b", [b"second"])
        assert backend.get("a/b") == b"second"

    @pytest.mark.parametrize("writers", [2, 8])
    def test_one_of_many_writers_wins(self, connect: Connect, writers: int) -> None:
        backends = [connect() for _ in range(writers)]
        rounds = 2 if backends[0].remote else 20  # SeaweedFS lets who comes second wait for a second
        start = threading.Barrier(writers)

        def write(writer: int) -> list[bool]:
            won = []
            for turn in range(rounds):
                start.wait()
                try:
                    backends[writer].put(f"backups/h/0/{turn}", [bytes([writer]) * 1000])
                    won.append(True)
                except ObjectExists:
                    won.append(False)
            return won

        with ThreadPoolExecutor(writers) as pool:
            results = list(pool.map(write, range(writers)))
        for turn in range(rounds):
            winners = [writer for writer in range(writers) if results[writer][turn]]
            assert len(winners) == 1
            assert backends[0].get(f"backups/h/0/{turn}") == bytes([winners[0]]) * 1000

    def test_a_reader_sees_the_old_or_the_new(self, connect: Connect) -> None:
        contents = [bytes([n]) * (n * 1000) for n in range(1, 5)]
        connect().replace("sessions/s", [contents[0]])
        stop = threading.Event()

        def read() -> set[bytes]:
            backend, seen = connect(), set()
            while not stop.is_set():
                seen.add(backend.get("sessions/s"))
            return seen

        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(read)
            try:
                for turn in range(100):
                    connect().replace("sessions/s", [contents[turn % 4]])
            finally:
                stop.set()
        assert seen.result() <= set(contents)


class TestAbsence:
    @pytest.mark.parametrize("name", ["nothing", "packs/ab/nothing", "packs/cd/x", "packs", "packs/ab", "packs/ab/x/y"])
    def test_what_is_not_there_is_missing(self, backend: Backend, name: str) -> None:
        backend.put("packs/ab/x", [b"grain"])
        calls: list[Callable[[], object]] = [
            lambda: backend.get(name),
            lambda: backend.get(name, 3, 0),
            lambda: backend.read(name, 0, memoryview(bytearray(4))),
            lambda: backend.end(name, 4),
            lambda: backend.view(name),
            lambda: backend.size(name),
            lambda: backend.delete(name),
        ]
        for call in calls:
            with pytest.raises(ObjectMissing) as caught:
                call()
            assert caught.value.name == name

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_what_is_no_name_is_refused(self, backend: Backend, name: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: backend.put(name, [b"x"]),
            lambda: backend.replace(name, [b"x"]),
            lambda: backend.get(name),
            lambda: backend.read(name, 0, memoryview(bytearray(4))),
            lambda: backend.end(name, 4),
            lambda: backend.view(name),
            lambda: backend.size(name),
            lambda: backend.delete(name),
        ]
        for call in calls:
            with pytest.raises(BackendError, match="not an object name") as caught:
                call()
            assert caught.value.hint
        assert listed(backend) == {}

    @pytest.mark.parametrize("prefix", ["packs", "/", "/packs/", "../", "packs/../", "packs//", ".tmp/"])
    def test_what_is_no_folder_is_refused_at_once(self, backend: Backend, prefix: str) -> None:
        with pytest.raises(BackendError, match="not a folder of objects"):
            backend.list(prefix)


class TestList:
    NAMES = ("a", "a-b/x", "a.b/x", "a.x", "a0/x", "b/c/d", "b/c-d", "b/c.d", "b/cd", "config", "packs/ab/x")

    @pytest.mark.parametrize("prefix", ["", "a/", "a-b/", "b/", "b/c/", "config/", "packs/", "packs/ab/", "none/"])
    def test_a_prefix_is_a_folder(self, backend: Backend, prefix: str) -> None:
        for name in reversed(self.NAMES):
            backend.put(name, [b"x" * len(name)])
        expected = [ObjectInfo(name, len(name)) for name in sorted(self.NAMES) if name.startswith(prefix)]
        assert list(backend.list(prefix)) == expected

    def test_objects_may_go_while_they_are_listed(self, backend: Backend) -> None:
        for n in range(100):
            backend.put(f"packs/{n % 10}/{n:02}", [b"x"])
        seen = []
        for info in backend.list("packs/"):
            seen.append(info.name)
            backend.delete(info.name)
        assert seen == sorted(f"packs/{n % 10}/{n:02}" for n in range(100))
        assert listed(backend) == {}


class TestPlace:
    def test_it_says_where_it_is(self, backend: Backend) -> None:
        assert backend.location

    def test_free_space_is_a_number_or_unknown(self, backend: Backend) -> None:
        space = backend.free_space()
        assert space is None or space > 0

    def test_what_is_whole_is_not_stale(self, backend: Backend) -> None:
        backend.put("packs/ab/x", [b"grain"])
        backend.replace("sessions/s", [b"lease"])
        assert backend.remove_stale(-1) == 0
        assert listed(backend) == {"packs/ab/x": 5, "sessions/s": 5}

    @pytest.mark.parametrize("location", ["", "sftp://host/store", "rest+https://host/"])
    def test_a_location_that_is_not_supported_is_refused(self, location: str) -> None:
        with pytest.raises(BackendError) as caught:
            open_backend(location)
        assert "directory" in caught.value.hint
