"""Changes of keys that are cut off at any step, and key objects that nobody of ours made: nobody is locked out."""

from collections.abc import Callable, Sequence

import msgpack
import pytest
from msgspec import Struct

from siltstone.store import (
    Backend,
    Corrupt,
    KeyFile,
    ObjectKind,
    Store,
    WrongKey,
    add_key,
    disclose,
    enclose,
    exchange_key,
    export_key,
    remove_key,
    rotate_keys,
    unlock,
)

from .backends import FaultyBackend, Killed, MemoryBackend
from .keyed import CONTENT, LATER, NEW, A, B, C, D, copied, key_of, opens, with_keys
from .stores import back_up, names, reopen


@pytest.fixture(scope="module")
def made() -> MemoryBackend:
    return with_keys()


@pytest.fixture
def backend(made: MemoryBackend) -> MemoryBackend:
    return copied(made)


class Change(Struct, frozen=True):
    """A change, how many steps it has, and which secrets must open the store before it is done, or after."""

    run: Callable[[Backend], object]
    before: Sequence[KeyFile]
    after: Sequence[KeyFile]
    gone: Sequence[KeyFile] = ()


CHANGES = {
    "add": Change(lambda backend: add_key(unlock(backend, A), NEW, label="new"), (A, B, D), (A, B, D, NEW)),
    "remove": Change(lambda backend: remove_key(unlock(backend, A), key_of(backend, B)), (A, B, D), (A, D), (B,)),
    "exchange": Change(lambda backend: exchange_key(unlock(backend, A), A, NEW), (A, B, D), (NEW, B, D), (A,)),
    "rotate": Change(lambda backend: rotate_keys(unlock(backend, A), [A, B, D]), (A, B, D), (A, B, D)),
}


class TestCutOff:
    """Killed at each step, the change landed or not: what opened opens, and doing it again ends well."""

    @pytest.mark.parametrize("lands", [False, True])
    @pytest.mark.parametrize("name", CHANGES)
    def test_no_step_locks_anybody_out(self, made: MemoryBackend, name: str, *, lands: bool) -> None:
        change = CHANGES[name]
        counting = FaultyBackend(copied(made))
        change.run(counting)
        assert counting.changes
        for at in range(len(counting.changes)):
            backend = copied(made)
            with pytest.raises(Killed):
                change.run(FaultyBackend(backend, at, lands=lands))
            for secret in set(change.before) & set(change.after):
                assert opens(backend, secret), (name, at)
            assert any(opens(backend, secret) for secret in (*change.before, *change.after))
            self.bring_to_its_end(backend, change, name)
            assert all(opens(backend, secret) for secret in change.after), (name, at)
            assert not any(opens(backend, secret) for secret in change.gone), (name, at)

    @staticmethod
    def bring_to_its_end(backend: MemoryBackend, change: Change, name: str) -> None:
        """Run it again, where it had not come to its end."""
        after = all(opens(backend, secret) for secret in change.after)
        if name == "rotate" or not after or any(opens(backend, secret) for secret in change.gone):
            change.run(backend)

    @pytest.mark.parametrize("lands", [False, True])
    def test_after_a_rotation_that_was_cut_off_no_backup_is_lost(self, made: MemoryBackend, *, lands: bool) -> None:
        """Whoever backs up in between seals to what his ring says, and after the next rotation all is read."""
        for at in range(6):
            backend = copied(made)
            with pytest.raises(Killed):
                rotate_keys(unlock(faulty := FaultyBackend(backend, at, lands=lands), A), [A, B, D])
            assert faulty.changes
            for number, secret in enumerate((A, B, C)):
                back_up(Store.open(backend, secret), CONTENT, f"backups/host/2/{number}")
            rotate_keys(unlock(backend, A), [A, B, D])
            for number in range(3):
                assert all(opens(backend, secret, f"backups/host/2/{number}") for secret in (A, B, D)), (at, number)


class TestHostile:
    """Whoever writes the storage puts key objects there that nobody of ours made."""

    def test_a_planted_key_of_a_later_generation_locks_nobody_out(self, backend: MemoryBackend) -> None:
        planted = export_key(unlock(backend, A), NEW, label="planted")
        version, packed, wrapped = msgpack.unpackb(planted.payload)
        header = msgpack.unpackb(packed) | {"generation": 1 << 62, "id": b"p" * 16}
        payload = msgpack.packb([version, msgpack.packb(header), wrapped])
        backend.objects["keys/" + (b"p" * 16).hex()] = enclose(ObjectKind.KEY, payload)
        assert opens(backend, A)
        assert unlock(backend, A).ring.outdated  # it says so, and backs up and restores all the same
        back_up(reopen(backend), CONTENT, LATER)
        assert opens(backend, A, LATER)
        with pytest.raises(WrongKey):
            unlock(backend, NEW)

    @pytest.mark.parametrize("field", ["role", "generation", "config", "label", "store"])
    def test_a_header_that_was_changed_opens_nothing(self, backend: MemoryBackend, field: str) -> None:
        name = "keys/" + key_of(backend, C)
        version, packed, wrapped = msgpack.unpackb(disclose(ObjectKind.KEY, name, backend.objects[name]))
        values = {"role": "all", "generation": 7, "config": b"", "label": "x", "store": bytes(16)}
        header = msgpack.unpackb(packed) | {field: values[field]}
        payload = msgpack.packb([version, msgpack.packb(header), wrapped])
        backend.objects[name] = enclose(ObjectKind.KEY, payload)
        with pytest.raises(WrongKey):
            unlock(backend, C)

    def test_damaged_keys_hide_no_sound_one(self, backend: MemoryBackend) -> None:
        for name in names(backend, "keys/"):
            if name != unlock(backend, A).key:
                backend.objects[name] = backend.objects[name][:-1]
        assert opens(backend, A)
        with pytest.raises(Corrupt):
            unlock(backend, B)
