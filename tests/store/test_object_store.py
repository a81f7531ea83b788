"""The object-store backend against a real server: what a network loses, what a storage refuses, and how that is said.

Rule: the contract itself is in test_backend_contract.py. Here is what only a remote storage can do to it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from siltstone.store import Backend, BackendError, Bandwidth, ObjectExists, ObjectLocked, ObjectMissing, open_backend
from siltstone.store.object_errors import Refused
from siltstone.store.object_store import ObjectBackend
from tests.line import Line, line_to
from tests.seaweed import LIMITED, READER, Seaweed, shared_seaweed, surroundings

from .stores import back_up, grains, make, names, read_back, reopen

Connect = Callable[..., ObjectBackend]


@pytest.fixture
def server() -> Seaweed:
    return shared_seaweed()


@pytest.fixture
def line(server: Seaweed) -> Iterator[Line]:
    with line_to(server.s3) as line:
        yield line


@pytest.fixture
def connect(line: Line, server: Seaweed, tmp_path: Path) -> Connect:
    """Connects to a place of this test over its line, with variables beside the usual ones."""

    def connect(bandwidth: Bandwidth | None = None, **more: str) -> ObjectBackend:
        endpoint = f"http://127.0.0.1:{line.port}"
        with surroundings({**server.environment(), "AWS_ENDPOINT_URL": endpoint, **more}):
            return ObjectBackend(f"s3://trial/{tmp_path.name}", bandwidth)

    return connect


def refused(call: Callable[[], object]) -> BackendError:
    with pytest.raises(BackendError) as caught:
        call()
    return caught.value


class TestLostReplies:
    def test_a_create_whose_answer_is_lost_is_ours(self, connect: Connect, line: Line) -> None:
        backend = connect()
        backend.put("packs/ab/x", [b"warm"])
        line.lose_replies("PUT")
        backend.put("backups/h/0/0", [b"of this ", b"session"])
        assert line.lost == 1
        assert backend.get("backups/h/0/0") == b"of this session"
        assert sum("backups/h/0/0 " in each for each in line.requests if each.startswith("PUT")) == 2

    def test_what_another_created_meanwhile_is_not(self, connect: Connect, line: Line) -> None:
        backend, other = connect(), connect()
        other.put("backups/h/0/0", [b"of another session"])
        line.lose_replies("PUT")
        with pytest.raises(ObjectExists):
            backend.put("backups/h/0/0", [b"of this session"])
        assert line.lost == 1
        assert backend.get("backups/h/0/0") == b"of another session"

    def test_a_replacement_whose_answer_is_lost_is_done(self, connect: Connect, line: Line) -> None:
        backend = connect()
        backend.put("sessions/s", [b"first"])
        backend.replace("sessions/s", [b"second"])
        line.lose_replies("PUT")
        backend.replace("sessions/s", [b"third"])
        backend.replace("sessions/s", [b"fourth"])
        assert line.lost == 1
        assert backend.get("sessions/s") == b"fourth"

    @pytest.mark.parametrize("verb", ["GET", "HEAD"])
    def test_a_question_is_asked_again(self, connect: Connect, line: Line, verb: str) -> None:
        backend = connect()
        backend.put("config", [b"grain" * 100])
        line.lose_replies(verb, 2)
        assert backend.size("config") == 500
        assert backend.get("config") == b"grain" * 100
        assert [info.name for info in backend.list("")] == ["config"]
        assert line.lost == 2

    def test_a_replacement_that_arrives_late_changes_nothing(self, connect: Connect) -> None:
        """A request that was given up names the object that it meant to replace."""
        backend = connect()
        backend.put("sessions/s", [b"first"])
        tag = backend.tag("sessions/s")
        assert tag is not None
        backend.replace("sessions/s", [b"second"])
        with pytest.raises(Refused):
            backend.swap("sessions/s", [b"late"], tag)
        assert backend.get("sessions/s") == b"second"


class TestConditions:
    def test_a_storage_that_keeps_them(self, connect: Connect) -> None:
        backend = connect()
        assert backend.holds_conditions()
        assert not list(backend.list(""))

    def test_a_storage_that_does_not_know_them(self, connect: Connect) -> None:
        backend = connect(AWS_CONDITIONAL_PUT="disabled")
        assert not backend.holds_conditions()
        backend.put("config", [b"first"])
        with pytest.raises(ObjectExists):
            backend.put("config", [b"second"])
        backend.replace("sessions/s", [b"one"])
        backend.replace("sessions/s", [b"two"])
        assert backend.get("config") == b"first"
        assert backend.get("sessions/s") == b"two"
        backend.delete("sessions/s")
        assert [info.name for info in backend.list("")] == ["config"]


class TestAway:
    def test_what_comes_back_in_time_is_no_error(self, connect: Connect, line: Line) -> None:
        backend = connect()
        backend.put("config", [b"x"])
        line.cut()
        threading.Timer(0.5, line.mend).start()
        assert backend.get("config") == b"x"

    def test_what_stays_away_is_said_with_the_reason(self, connect: Connect, line: Line) -> None:
        backend = connect(SILT_RETRY_SECONDS="0.5")
        line.close()
        for call in (
            lambda: backend.get("config"),
            lambda: backend.size("config"),
            lambda: list(backend.list("packs/")),
            lambda: backend.put("config", [b"x"]),
            lambda: backend.replace("sessions/s", [b"x"]),
            lambda: backend.delete("config"),
        ):
            error = refused(call)
            assert "s3://trial/" in str(error)
            assert "Connection refused" in str(error)
            assert "network" in error.hint
            assert not isinstance(error, ObjectMissing)

    def test_patience_is_a_number(self, connect: Connect) -> None:
        assert "SILT_RETRY_SECONDS" in str(refused(lambda: connect(SILT_RETRY_SECONDS="long")))


class TestRefusals:
    def open(self, location: str, variables: Mapping[str, str]) -> Backend:
        with surroundings({**variables, "SILT_RETRY_SECONDS": "0"}):
            return open_backend(location)

    def test_a_wrong_secret(self, server: Seaweed) -> None:
        backend = self.open("s3://trial/x", server.environment(secret="wrong"))
        for call in (lambda: backend.get("config"), lambda: list(backend.list("")), lambda: backend.put("a", [b"x"])):
            error = refused(call)
            assert "SignatureDoesNotMatch" in str(error)
            assert "secret key" in error.hint

    def test_an_unknown_key(self, server: Seaweed) -> None:
        error = refused(lambda: self.open("s3://trial/x", server.environment(access="nobody")).get("config"))
        assert "InvalidAccessKeyId" in str(error)

    def test_a_key_for_another_bucket(self, server: Seaweed) -> None:
        error = refused(lambda: self.open("s3://elsewhere/x", server.environment(access=LIMITED)).put("a", [b"x"]))
        assert "AccessDenied" in str(error)
        assert "may not" in error.hint

    def test_a_deletion_that_is_refused_has_its_own_error(self, server: Seaweed, tmp_path: Path) -> None:
        place = f"s3://trial/{tmp_path.name}"
        owner, reader = self.open(place, server.environment()), self.open(place, server.environment(access=READER))
        owner.put("packs/ab/x", [b"x"])
        with pytest.raises(ObjectLocked) as caught:
            reader.delete("packs/ab/x")
        assert "AccessDenied" in str(caught.value)
        assert not isinstance(refused(lambda: reader.put("packs/ab/y", [b"x"])), ObjectLocked)
        assert reader.get("packs/ab/x") == b"x"

    def test_a_store_of_which_nothing_can_be_deleted_takes_backups(
        self, server: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Small segments are merged all the same: those that stay are known to be replaced."""
        backend = self.open(f"s3://trial/{tmp_path.name}", server.environment())
        make(backend)
        reader = self.open(backend.location, server.environment(access=READER))
        monkeypatch.setattr(backend, "delete", reader.delete)
        for level in range(10):
            back_up(reopen(backend), grains(level, 3), f"backups/host/0/{level}")
        assert len(names(backend, "index/")) == 10
        assert all(read_back(reopen(backend), f"backups/host/0/{level}") == grains(level, 3) for level in range(10))

    def test_a_bucket_that_is_not_there_is_no_missing_object(self, server: Seaweed) -> None:
        backend = self.open("s3://nowhere/x", server.environment())
        for call in (
            lambda: backend.get("config"),
            lambda: backend.size("config"),
            lambda: backend.delete("config"),
            lambda: list(backend.list("")),
        ):
            assert "no such bucket" in str(refused(call))

    def test_no_credentials(self, server: Seaweed) -> None:
        with surroundings({**server.environment(), "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9/169.254.169.254"}):
            del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
            os.environ["SILT_RETRY_SECONDS"] = "0"
            error = refused(lambda: open_backend("s3://trial/x").get("config"))
        assert "no credentials" in str(error)
        assert "docs/object-stores.md" in error.hint

    @pytest.mark.parametrize(
        ("location", "variables", "said"),
        [
            ("az://box/x", {"AZURE_STORAGE_USE_EMULATOR": "true"}, "Connection refused"),  # its port is always 10000
            ("az://box/x", {}, "Account must be specified"),
            ("gs://box/x", {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent.json"}, "No such file"),
        ],
    )
    def test_other_clouds_say_what_is_missing(self, location: str, variables: dict[str, str], said: str) -> None:
        error = refused(lambda: self.open(location, variables).get("config"))
        assert said in str(error)
        assert error.hint

    @pytest.mark.parametrize("endpoint", ["storage", "ftp://host", "http://", "http://a b/", "http://host:x"])
    def test_an_endpoint_that_is_none(self, endpoint: str) -> None:
        assert "cannot be used" in str(refused(lambda: self.open("s3://trial/x", {"AWS_ENDPOINT_URL": endpoint})))

    @pytest.mark.parametrize(
        "location", ["s3://", "s3://a", "s3://trial//x", "s3://trial/../x", "s3://trial/a b", "gs://-b/x", "az://b?c"]
    )
    def test_a_location_that_is_none(self, location: str) -> None:
        error = refused(lambda: self.open(location, {}))
        assert "not the location" in str(error)
        assert "s3://bucket/prefix" in error.hint


def test_a_bucket_without_a_prefix_and_a_slash_at_the_end(server: Seaweed) -> None:
    with surroundings(server.environment()):
        whole, same = open_backend("s3://whole-bucket"), open_backend("s3://whole-bucket/")
    whole.put("config", [b"x"])
    assert whole.location == same.location
    assert same.get("config") == b"x"
    assert [info.name for info in same.list("")] == ["config"]
    whole.delete("config")


def test_names_that_are_none_of_ours_are_passed_over(connect: Connect) -> None:
    import obstore

    backend = connect()
    backend.put("packs/ab/x", [b"x"])
    obstore.put(backend._connection, ".DS_Store", b"x")
    obstore.put(backend._connection, "packs/ab/a b", b"x")
    assert [info.name for info in backend.list("")] == ["packs/ab/x"]


def test_a_list_of_several_pages(connect: Connect) -> None:
    from concurrent.futures import ThreadPoolExecutor

    backend = connect()
    names = [f"packs/{n % 7}/{n:04}" for n in range(1100)]  # a page is a thousand
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: backend.put(name, [b"x"]), names))
    assert [info.name for info in backend.list("packs/")] == sorted(names)


@pytest.mark.parametrize("way", ["up", "down"])
def test_the_bandwidth_is_kept_to(connect: Connect, way: str) -> None:
    limit = Bandwidth(upload=100_000) if way == "up" else Bandwidth(download=100_000)
    backend = connect(limit)
    began = time.monotonic()
    for number in range(4):
        backend.put(f"packs/ab/{number}", [bytes(10_000)])
        backend.get(f"packs/ab/{number}")
    assert time.monotonic() - began > 0.29  # of four requests the last one does not wait for its own bytes
