"""Keys come, go, and change: each opens what it should and nothing else."""

from collections.abc import Callable

import pytest

from siltstone.store import (
    KeyFile,
    NoKey,
    Store,
    StoreError,
    add_key,
    exchange_key,
    export_key,
    remove_key,
    rotate_keys,
    unlock,
)
from siltstone.store.key_changes import first_id

from .backends import MemoryBackend
from .keyed import CONTENT, LATER, A, B, C, D, infos, key_of, opens, with_keys
from .stores import back_up, make, names, read_back, reopen


@pytest.fixture
def backend() -> MemoryBackend:
    return with_keys()


class Racing(MemoryBackend):
    """Somebody else has his turn before the next delete."""

    then: Callable[[], object] | None = None

    def delete(self, name: str) -> None:
        turn, self.then = self.then, None
        if turn is not None:
            turn()
        super().delete(name)


class TestRoles:
    """What each kind of key may do, and the sentence with which the rest is refused."""

    def test_all_reads_writes_and_manages(self, backend: MemoryBackend) -> None:
        for secret, name in ((A, "backups/a/0/0"), (B, "backups/b/0/0")):
            back_up(Store.open(backend, secret), CONTENT, name)
            assert opens(backend, A, name)
            assert opens(backend, B, name)

    def test_write_adds_and_reads_nothing(self, backend: MemoryBackend) -> None:
        store = Store.open(backend, C)
        back_up(store, CONTENT, LATER)
        assert opens(backend, A, LATER)
        assert not opens(backend, C)
        assert not opens(backend, C, LATER)
        for name in (LATER, "backups/host/0/0"):
            with pytest.raises(NoKey) as caught:
                store.read_root(name)
            assert caught.value.hint
        assert store.ring.reader_private is None
        assert store.ring.older == ()

    def test_write_stores_nothing_twice(self, backend: MemoryBackend) -> None:
        packs = names(backend, "packs/")
        with Store.open(backend, C).writer() as writer:
            writer.store_run(memoryview(b"".join(CONTENT)), [1000, 2000, 3000])
            assert (writer.new_chunks, writer.known_chunks) == (0, 3)
        assert names(backend, "packs/") == packs

    def test_read_restores_and_changes_nothing(self, backend: MemoryBackend) -> None:
        before = dict(backend.objects)
        assert opens(backend, D)
        with pytest.raises(NoKey, match="backing up is refused: this key lists and restores"):
            Store.open(backend, D).writer()
        assert backend.objects == before

    @pytest.mark.parametrize("secret", [C, D], ids=["write", "read"])
    @pytest.mark.parametrize(
        "change",
        [
            lambda store: add_key(store, KeyFile(b"x" * 32), label="x"),
            lambda store: remove_key(store, "0"),
            lambda store: rotate_keys(store, [C, D]),
            lambda store: exchange_key(store, C, KeyFile(b"x" * 32)),
            lambda store: export_key(store, KeyFile(b"x" * 32), label="x"),
        ],
        ids=["add", "remove", "rotate", "exchange", "export"],
    )
    def test_keys_are_changed_by_neither(
        self, backend: MemoryBackend, secret: KeyFile, change: Callable[[object], object]
    ) -> None:
        before = dict(backend.objects)
        with pytest.raises(NoKey, match="is refused"):
            change(unlock(backend, secret))
        assert backend.objects == before

    def test_a_store_without_encryption_has_no_keys(self) -> None:
        store = make(MemoryBackend(), encrypted=False)
        with pytest.raises(StoreError, match="not encrypted"):
            add_key(store.opened, A, label="x")


class TestRemoving:
    def test_a_removed_key_opens_nothing_and_the_others_all(self, backend: MemoryBackend) -> None:
        remove_key(unlock(backend, A), key_of(backend, B)[:8])
        assert [opens(backend, secret) for secret in (A, B, D)] == [True, False, True]

    def test_the_key_in_use_stays(self, backend: MemoryBackend) -> None:
        with pytest.raises(StoreError, match="opened the store"):
            remove_key(unlock(backend, A), key_of(backend, A))

    def test_the_last_key_that_reads_stays(self, backend: MemoryBackend) -> None:
        """Even where the store was opened by a key that does not lie in it."""
        copy = export_key(unlock(backend, A), A, label="elsewhere")
        for secret in (B, D):
            remove_key(unlock(backend, A), key_of(backend, secret))
        with pytest.raises(StoreError, match="last key"):
            remove_key(unlock(backend, copy), key_of(backend, A))
        assert opens(backend, A)

    def test_of_two_who_remove_each_other_one_key_is_left(self) -> None:
        backend = Racing()
        backend.objects = with_keys().objects
        remove_key(unlock(backend, A), key_of(backend, D))
        one, other = unlock(backend, A), unlock(backend, B)
        key_of_a, key_of_b = key_of(backend, A), key_of(backend, B)
        backend.then = lambda: remove_key(other, key_of_a)
        with pytest.raises(StoreError, match="same moment"):
            remove_key(one, key_of_b)
        assert opens(backend, B)

    def test_a_damaged_key_can_be_removed(self, backend: MemoryBackend) -> None:
        backend.objects["keys/" + "0" * 32] = b"nonsense"
        remove_key(unlock(backend, A), "0" * 32)
        assert "keys/" + "0" * 32 not in backend.objects

    @pytest.mark.parametrize("chosen", ["", "nothing"])
    def test_an_id_that_names_no_one_key(self, backend: MemoryBackend, chosen: str) -> None:
        with pytest.raises(StoreError):
            remove_key(unlock(backend, A), chosen)


class TestRotating:
    def test_renewed_keys_read_everything_and_others_what_was_before(self, backend: MemoryBackend) -> None:
        result = rotate_keys(unlock(backend, A), [A, D])
        assert (result.generation, len(result.renewed), len(result.outdated)) == (1, 2, 2)
        back_up(reopen(backend), CONTENT, LATER)
        assert all(opens(backend, secret) for secret in (A, B, D))
        assert [opens(backend, secret, LATER) for secret in (A, B, D)] == [True, False, True]
        assert infos(backend)["reader"].role == "read"
        assert unlock(backend, B).ring.outdated

    def test_what_an_outdated_key_writes_the_others_read(self, backend: MemoryBackend) -> None:
        rotate_keys(unlock(backend, A), [A])
        for secret, name in ((B, "backups/b/0/0"), (C, "backups/c/0/0")):
            back_up(Store.open(backend, secret), CONTENT, name)
            assert opens(backend, A, name)

    def test_an_outdated_key_changes_no_keys_and_says_why_it_reads_not_all(self, backend: MemoryBackend) -> None:
        rotate_keys(unlock(backend, A), [A])
        back_up(reopen(backend), CONTENT, LATER)
        with pytest.raises(NoKey, match="outdated"):
            add_key(unlock(backend, B), KeyFile(b"x" * 32), label="x")
        with pytest.raises(NoKey, match="newer than this key") as caught:
            Store.open(backend, B).read_root(LATER)
        assert "outdated" in caught.value.hint

    def test_again_and_again(self, backend: MemoryBackend) -> None:
        for generation in range(1, 5):
            assert rotate_keys(unlock(backend, A), [A, B]).generation == generation
            back_up(reopen(backend), CONTENT, f"backups/host/1/{generation}")
        for generation in range(1, 5):
            assert opens(backend, B, f"backups/host/1/{generation}")
        assert len(unlock(backend, B).ring.older) == 4

    def test_who_kept_the_old_ring_reads_nothing_new(self, backend: MemoryBackend) -> None:
        kept = unlock(backend, B)
        remove_key(unlock(backend, A), key_of(backend, B))
        rotate_keys(unlock(backend, A), [A])
        back_up(reopen(backend), CONTENT, LATER)
        store = Store(kept)
        assert read_back(store) == CONTENT
        with pytest.raises(StoreError):
            store.read_root(LATER)

    def test_of_two_at_once_one_is_refused(self, backend: MemoryBackend) -> None:
        one, other = unlock(backend, A), unlock(backend, B)
        rotate_keys(one, [A])
        before = dict(backend.objects)
        with pytest.raises(StoreError, match="somebody else"):
            rotate_keys(other, [B])
        assert backend.objects == before
        assert opens(backend, A)
        assert opens(backend, B)

    def test_also_where_the_claim_of_the_other_is_gone(self, backend: MemoryBackend) -> None:
        other = unlock(backend, B)
        rotate_keys(unlock(backend, A), [A, D])
        backend.delete("keys/" + first_id(other.config.store_id, 1).hex())  # as if it had been removed
        with pytest.raises(StoreError, match="somebody else"):
            rotate_keys(other, [B])
        assert sorted(info.generation for info in infos(backend).values()) == [0, 0, 1]

    def test_a_dry_run_changes_nothing(self, backend: MemoryBackend) -> None:
        before = dict(backend.objects)
        result = rotate_keys(unlock(backend, A), [A], dry_run=True)
        assert [key.label for key in result.renewed] == ["test"]
        assert {key.label for key in result.outdated} == {"second", "writer", "reader"}
        assert backend.objects == before

    def test_not_by_a_key_that_lies_elsewhere(self, backend: MemoryBackend) -> None:
        copy = export_key(unlock(backend, A), KeyFile(b"x" * 32), label="elsewhere")
        with pytest.raises(StoreError, match="not kept in it"):
            rotate_keys(unlock(backend, copy), [KeyFile(b"x" * 32)])


class TestExchanging:
    def test_the_new_secret_opens_and_the_old_one_not(self, backend: MemoryBackend) -> None:
        new = KeyFile(b"n" * 32)
        exchange_key(unlock(backend, A), A, new)
        assert [opens(backend, secret) for secret in (A, new, B)] == [False, True, True]
        assert infos(backend)["test"].role == "all"

    def test_it_must_be_another(self, backend: MemoryBackend) -> None:
        with pytest.raises(StoreError, match="old one"):
            exchange_key(unlock(backend, A), A, A)

    def test_a_secret_opens_one_key(self, backend: MemoryBackend) -> None:
        with pytest.raises(StoreError, match="opens the store already"):
            add_key(unlock(backend, A), B, label="again")
