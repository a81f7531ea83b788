"""What a session relies on and is condemned meanwhile is copied before it commits, or the session fails; and fences."""

import pytest

from siltstone.store import Inherited, PackName, SessionOvertaken, Store, VoidRoot, listed_packs
from siltstone.store.condemned import newest_generation, publish, read_condemnations, read_newer
from siltstone.store.errors import BackendError, Corrupt, ObjectExists
from siltstone.store.fence import accept, accepted_roots, fenced_sessions, is_fenced, raise_fence
from siltstone.store.lease import SESSIONS
from siltstone.store.opening import OpenStore

from .backends import FaultyBackend, MemoryBackend
from .stores import ROOT, back_up, grains, make, names, put, read_back, reopen, small_packs

NEXT, THIRD = "backups/host/0/1", "backups/host/0/2"
GRAINS = grains(1, 30)

pytestmark = pytest.mark.timeout(60)


def condemn(store: Store, roots: tuple[str, ...] = ()) -> list[PackName]:
    """Condemn every pack that is there."""
    packs = [name for name, _ in listed_packs(store.backend)]
    publish(store.opened, newest_generation(store.backend) + 1, packs, {}, roots, done=0)
    return packs


def remove(backend: MemoryBackend, packs: list[PackName]) -> None:
    """As garbage collection does once the session is over or fenced."""
    for pack in packs:
        backend.delete(f"packs/{pack[:2]}/{pack}")


@pytest.mark.parametrize("encrypted", [True, False])
class TestCondemned:
    def test_what_was_condemned_at_the_beginning_is_stored_anew(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        back_up(make(backend, encrypted=encrypted), GRAINS)
        gone = condemn(reopen(backend, encrypted=encrypted))
        with reopen(backend, encrypted=encrypted).writer() as writer:
            ids = put(writer, GRAINS)
            assert writer.new_chunks == len(GRAINS)
            writer.commit(NEXT, {"chunks": ids})
        remove(backend, gone)
        assert read_back(reopen(backend, encrypted=encrypted), NEXT) == GRAINS

    def test_what_is_condemned_meanwhile_is_copied(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        with small_packs():
            back_up(make(backend, encrypted=encrypted), GRAINS)
            store = reopen(backend, encrypted=encrypted)
            with store.writer() as writer:
                ids = put(writer, GRAINS)
                assert writer.new_chunks == 0
                gone = condemn(store)
                writer.commit(NEXT, {"chunks": ids})
        remove(backend, gone)
        assert read_back(reopen(backend, encrypted=encrypted), NEXT) == GRAINS

    def test_what_is_taken_over_is_copied_where_the_condemnation_had_not_seen_the_root(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        ids = back_up(make(backend, encrypted=encrypted), GRAINS)
        store = reopen(backend, encrypted=encrypted)
        gone = condemn(store)
        with reopen(backend, encrypted=encrypted).writer() as writer:
            writer.commit(NEXT, {"chunks": ids}, Inherited(ROOT, lambda: ids))
        remove(backend, gone)
        assert read_back(reopen(backend, encrypted=encrypted), NEXT) == GRAINS

    def test_what_was_removed_already_makes_the_session_fail(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        ids = back_up(make(backend, encrypted=encrypted), GRAINS)
        remove(backend, condemn(reopen(backend, encrypted=encrypted)))
        with (
            pytest.raises(SessionOvertaken, match="removed meanwhile") as caught,
            reopen(backend, encrypted=encrypted).writer() as writer,
        ):
            writer.commit(NEXT, {"chunks": ids}, Inherited(ROOT, lambda: ids))
        assert caught.value.hint
        assert names(backend, "backups/") == [ROOT]

    def test_a_root_that_was_seen_is_not_walked_again(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        ids = back_up(make(backend, encrypted=encrypted), GRAINS)
        store = reopen(backend, encrypted=encrypted)
        publish(store.opened, 1, [PackName("ab" * 32)], {}, [ROOT], done=0)
        with store.writer() as writer:
            writer.commit(NEXT, {"chunks": ids}, Inherited(ROOT, lambda: pytest.fail("it was walked")))


def test_a_host_that_cannot_read_fails_and_says_so() -> None:
    backend = MemoryBackend()
    back_up(make(backend), GRAINS)
    store = reopen(backend)
    opened = store.opened
    adding = Store(OpenStore(opened.backend, opened.config, opened.ring.without_private()))
    with adding.writer() as writer:
        ids = put(writer, GRAINS)
        condemn(store)
        with pytest.raises(SessionOvertaken, match="cannot copy"):
            writer.commit(NEXT, {"chunks": ids})
    assert names(backend, "backups/") == [ROOT]
    with adding.writer() as writer:  # and the next session stores it anew
        writer.commit(NEXT, {"chunks": put(writer, GRAINS)})
    assert read_back(reopen(backend), NEXT) == GRAINS


class TestFences:
    def test_a_session_that_was_given_up_commits_nothing(self) -> None:
        backend = MemoryBackend()
        store = make(backend)
        with store.writer() as writer:
            ids = put(writer, GRAINS)
            raise_fence(backend, writer.name)
            accept(backend, writer.name, [])
            with pytest.raises(SessionOvertaken) as caught:
                writer.commit(ROOT, {"chunks": ids})
        assert caught.value.hint
        assert names(backend, "backups/") == []

    def test_what_was_accepted_counts(self) -> None:
        backend = MemoryBackend()
        store = make(backend)
        with store.writer() as writer:
            ids = put(writer, GRAINS)
            raise_fence(backend, writer.name)
            accept(backend, writer.name, [ROOT])
            writer.commit(ROOT, {"chunks": ids})
        assert read_back(reopen(backend)) == GRAINS

    def test_a_void_root_is_as_if_it_were_not_there(self) -> None:
        """Its writer was killed after it had created it, and so could not take it back."""
        backend = MemoryBackend()
        store = make(backend)
        with store.writer() as writer:
            writer.commit(ROOT, {"chunks": put(writer, GRAINS)})
            session = writer.name
        raise_fence(backend, session)
        assert read_back(reopen(backend)) == GRAINS  # open: nothing is removed yet
        accept(backend, session, [NEXT])
        with pytest.raises(VoidRoot):
            reopen(backend).read_root(ROOT)

    def test_the_first_word_counts(self) -> None:
        backend = MemoryBackend()
        assert accepted_roots(backend, "aa") is None
        assert accept(backend, "aa", [ROOT]) == {ROOT}
        assert accept(backend, "aa", []) == {ROOT}
        raise_fence(backend, "aa")
        raise_fence(backend, "aa")
        assert list(fenced_sessions(backend)) == ["aa"]
        assert is_fenced(backend, "aa")
        assert not is_fenced(backend, "bb")

    def test_a_renewal_does_not_bring_a_lease_back(self) -> None:
        backend = MemoryBackend()
        with make(backend).writer() as writer:
            raise_fence(backend, writer.name)
            backend.delete(SESSIONS + writer.name)
            writer._lease.renew()
            assert writer._lease.fenced
            assert names(backend, SESSIONS) == []


@pytest.mark.parametrize("lands", [True, False])
def test_a_root_without_an_answer_keeps_the_lease(lands: bool) -> None:
    """The root may yet come into being, and only a fence may say that it does not count."""
    backend = MemoryBackend()
    make(backend)
    counting = FaultyBackend(backend)
    back_up(reopen(counting), GRAINS, NEXT)
    at = [name for _, name in counting.changes].index(NEXT)
    failing = FaultyBackend(backend, at, error=lambda: BackendError("no answer"), lands=lands, once=True)
    with pytest.raises(BackendError):
        back_up(reopen(failing), grains(2, 30), THIRD)
    assert (THIRD in names(backend, "backups/")) is lands
    assert len(names(backend, SESSIONS)) == 1


class TestGenerations:
    def test_they_are_created_once_and_read_in_order(self) -> None:
        store = make(MemoryBackend())
        assert newest_generation(store.backend) == 0
        publish(store.opened, 1, [PackName("ab" * 32)], {"s": b"digest"}, [ROOT], done=0)
        with pytest.raises(ObjectExists):
            publish(store.opened, 1, [], {}, [], done=0)
        publish(store.opened, 2, [], {}, [], done=0)
        first, second = read_condemnations(store.opened)
        assert set(first.packs) == {PackName("ab" * 32)}
        assert dict(first.sessions) == {"s": b"digest"}
        assert set(first.roots) == {ROOT}
        assert (first.generation, second.generation) == (1, 2)
        assert [each.generation for each in read_newer(store.opened, 1)] == [2]

    def test_one_is_not_passed_off_as_another(self) -> None:
        backend = MemoryBackend()
        store = make(backend)
        publish(store.opened, 1, [], {}, [], done=0)
        backend.objects["condemned/000000000002"] = backend.objects["condemned/000000000001"]
        with pytest.raises(Corrupt):
            read_condemnations(store.opened)
