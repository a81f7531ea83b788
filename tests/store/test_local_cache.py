"""The cache of a remote store: what is in it is what was stored, and nothing depends on it.

Rule: a real store behind a real server, read through the cache; what is done to the cache is done to its files.
"""

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.store import CachePlace, Policy, Store, protect, read_stripes
from siltstone.store.local_cache import LocalCache
from siltstone.store.object_store import ObjectBackend
from tests.line import Line, line_to
from tests.seaweed import shared_seaweed, surroundings

from .stores import KEY, back_up, grains, make, read_back

CHUNKS = grains(1, 40)


@pytest.fixture
def line() -> Iterator[Line]:
    with line_to(shared_seaweed().s3) as line:
        yield line


@pytest.fixture
def backend(line: Line, tmp_path: Path) -> ObjectBackend:
    variables = shared_seaweed().environment()
    with surroundings({**variables, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}"}):
        return ObjectBackend(f"s3://trial/{tmp_path.name}")


@pytest.fixture
def place(tmp_path: Path) -> CachePlace:
    return CachePlace(str(tmp_path / "cache"), 1 << 30)


def files(place: CachePlace) -> list[Path]:
    return sorted(path for path in Path(place.folder).rglob("*") if path.is_file())


def asked_for(line: Line, prefix: str) -> int:
    """How many requests were about objects with that prefix, since the last time."""
    found = sum(f"/{prefix}" in each for each in line.requests)
    line.requests.clear()
    return found


class TestOfAStore:
    def test_the_second_time_nothing_is_fetched(self, backend: ObjectBackend, line: Line, place: CachePlace) -> None:
        back_up(make(backend), CHUNKS)
        asked_for(line, "packs/")
        assert read_back(Store.open(backend, KEY, place)) == CHUNKS
        assert asked_for(line, "packs/") > 0
        assert read_back(Store.open(backend, KEY, place)) == CHUNKS
        seen = list(line.requests)
        assert asked_for(line, "packs/") == 0
        assert not any("/index/" in each for each in seen)

    def test_what_this_host_wrote_is_there_already(self, backend: ObjectBackend, line: Line, place: CachePlace) -> None:
        make(backend)
        store = Store.open(backend, KEY, place)
        line.requests.clear()
        back_up(store, CHUNKS)
        assert not [each for each in line.requests if each.startswith("GET") and "/index/" in each]

    @pytest.mark.parametrize("harm", ["flipped", "cut", "emptied", "deleted", "replaced by a folder"])
    def test_a_harmed_copy_is_none(self, backend: ObjectBackend, place: CachePlace, harm: str) -> None:
        back_up(make(backend), CHUNKS)
        assert read_back(Store.open(backend, KEY, place)) == CHUNKS
        for path in files(place):
            content = bytearray(path.read_bytes())
            content[len(content) // 3] ^= 1
            path.unlink()
            if harm == "replaced by a folder":
                path.mkdir()
            elif harm != "deleted":
                path.write_bytes({"flipped": bytes(content), "cut": bytes(content[:-5]), "emptied": b""}[harm])
        assert read_back(Store.open(backend, KEY, place)) == CHUNKS

    def test_it_may_be_deleted_while_it_is_used(self, backend: ObjectBackend, place: CachePlace) -> None:
        back_up(make(backend), CHUNKS)
        store = Store.open(backend, KEY, place)
        for path in files(place):
            path.unlink()
        assert read_back(store) == CHUNKS

    def test_no_place_for_it_is_no_error(self, backend: ObjectBackend, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        back_up(make(backend), CHUNKS)
        assert read_back(Store.open(backend, KEY, CachePlace(str(tmp_path / "file"), 1 << 30))) == CHUNKS

    def test_two_stores_share_nothing(self, backend: ObjectBackend, place: CachePlace, tmp_path: Path) -> None:
        back_up(make(backend), CHUNKS)
        read_back(Store.open(backend, KEY, place))
        assert [path.name for path in Path(place.folder).iterdir()] == [Store.open(backend, KEY).config.store_id.hex()]


class TestHeadsOfParity:
    """One head tells what a stripe covers, and there are many."""

    def test_the_second_time_none_is_fetched(self, backend: ObjectBackend, line: Line, place: CachePlace) -> None:
        back_up(make(backend), CHUNKS)
        protect(backend, Policy(2, 4))
        opened = [Store.open(backend, KEY, place) for _ in range(2)]
        line.requests.clear()
        first, _ = read_stripes(opened[0].backend)
        assert asked_for(line, "parity/") == 2  # a list names no object
        assert read_stripes(opened[1].backend) == (first, [])
        assert asked_for(line, "parity/") == 0

    def test_a_damaged_one_is_none(self, backend: ObjectBackend, place: CachePlace) -> None:
        """It is read again, and sound once it was written anew."""
        back_up(make(backend), CHUNKS)
        protect(backend, Policy(2, 4))
        sound, _ = read_stripes(backend)
        _, name = sound[0].objects[0]
        content = backend.get(name)
        backend.replace(name, [content[:50] + bytes([content[50] ^ 1]) + content[51:]])
        store = Store.open(backend, KEY, place)
        assert [fault.object for fault in read_stripes(store.backend)[1]] == [name]
        backend.replace(name, [content])
        assert read_stripes(store.backend) == (sound, [])


class TestBounds:
    def test_it_stays_under_its_limit_and_keeps_what_was_used(self, tmp_path: Path) -> None:
        place = CachePlace(str(tmp_path), 100_000)
        cache = LocalCache(place, b"store")
        cache.keep("aa-often", [b"often"])
        for number in range(100):
            cache.keep(f"{number:02}-x", [random.Random(number).randbytes(5000)])
            assert bytes(cache.get("aa-often") or b"") == b"often"
        assert sum(path.stat().st_size for path in files(place)) <= 107_000
        assert cache.get("99-x") is not None
        assert cache.get("00-x") is None

    def test_what_killed_processes_left_goes_too(self, tmp_path: Path) -> None:
        place = CachePlace(str(tmp_path), 10_000)
        left = tmp_path / b"store".hex() / "ab" / ".new-0123"
        left.parent.mkdir(parents=True)
        left.write_bytes(bytes(9_000))
        os.utime(left, (1, 1))
        cache = LocalCache(place, b"store")
        for number in range(5):
            cache.keep(f"{number:02}-x", [bytes(2_000)])
        assert not left.exists()

    def test_many_threads(self, tmp_path: Path) -> None:
        place = CachePlace(str(tmp_path), 200_000)
        wrong = threading.Event()

        def work(seed: int) -> None:
            cache, chance = LocalCache(place, b"store"), random.Random(seed)
            for _ in range(100):
                number = chance.randrange(50)
                kept = cache.get(f"{number:02}-x")
                content = random.Random(number).randbytes(8_000)
                if kept is None:
                    cache.keep(f"{number:02}-x", [content[:100], content[100:]])
                elif kept != content:
                    wrong.set()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert not wrong.is_set()
        assert sum(path.stat().st_size for path in files(place)) <= 260_000
