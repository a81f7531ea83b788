"""Making and opening a store: only the right key opens it, and whatever is wrong is called by its name."""

from concurrent.futures import ThreadPoolExecutor

import msgpack
import pytest

from siltstone.store import (
    BackendError,
    Config,
    Corrupt,
    KeyFile,
    NewerFormat,
    NoKey,
    NotAStore,
    ObjectKind,
    Passphrase,
    Secret,
    SiltError,
    Store,
    StoreError,
    WrongKey,
    enclose,
)
from siltstone.store.config import decode_config, encode_config
from siltstone.store.making import init_store
from siltstone.store.opening import unlock

from .backends import Connect, FaultyBackend, Killed, MemoryBackend, fresh, lost_mount
from .stores import KEY, names

OTHER = KeyFile(b"o" * 32)
PHRASE = Passphrase("grains laid down in layers")


def flip(backend: MemoryBackend, name: str, at: int = 40) -> None:
    content = bytearray(backend.objects[name])
    content[at] ^= 1
    backend.objects[name] = bytes(content)


class TestConfig:
    """The object that makes a place a store."""

    @pytest.mark.parametrize(
        "config",
        [Config(b"s" * 16, True, b"", "zstd"), Config(b"s" * 16, False, b"i" * 32, "lz4", conditional=False)],
    )
    def test_round_trip(self, config: Config) -> None:
        assert decode_config(encode_config(config)) == config

    def test_a_later_format_is_no_damage(self) -> None:
        later = enclose(ObjectKind.CONFIG, msgpack.packb({"format": 2, "unheard": "of"}))
        with pytest.raises(NewerFormat, match="format 2"):
            decode_config(later)

    @pytest.mark.parametrize("config", [Config(b"s" * 16, True, b"i" * 32), Config(b"s" * 16, False, b"")])
    def test_a_contradiction_is_damage(self, config: Config) -> None:
        with pytest.raises(Corrupt, match="contradicts"):
            decode_config(encode_config(config))


class TestOpening:
    """Which secret opens what."""

    def test_every_secret_opens_the_same_ring(self) -> None:
        backend = MemoryBackend()
        made = init_store(backend, [(KEY, "file"), (PHRASE, "head"), (OTHER, "spare")], compression="lz4")
        secrets: list[Secret] = [KEY, PHRASE, OTHER]
        for secret in secrets:
            opened = unlock(backend, secret)
            assert opened.ring == made.ring
            assert opened.config == made.config
        assert made.config.compression == "lz4"
        assert len(names(backend, "keys/")) == 3

    def test_a_wrong_secret_opens_nothing(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file"), (PHRASE, "head")])
        for secret in (OTHER, Passphrase("grains laid down in lawyers")):
            with pytest.raises(WrongKey, match="opens none of its 2 keys"):
                unlock(backend, secret)

    def test_no_secret_opens_nothing(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file")])
        with pytest.raises(NoKey):
            unlock(backend, None)

    def test_a_store_without_encryption_takes_no_secret(self) -> None:
        """Somebody may have put it in the place of the store that was meant."""
        backend = MemoryBackend()
        made = init_store(backend, [])
        assert unlock(backend, None).ring == made.ring
        with pytest.raises(WrongKey, match="not encrypted"):
            unlock(backend, KEY)

    def test_what_is_no_store_says_so(self) -> None:
        with pytest.raises(NotAStore):
            Store.open(MemoryBackend(), KEY)

    def test_a_lost_store_is_not_taken_for_none(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file")])
        faulty = FaultyBackend(backend, 0, error=lost_mount)
        with pytest.raises(BackendError):
            faulty.put("x", [])
        with pytest.raises(BackendError, match="vanished"):
            unlock(faulty, KEY)

    def test_a_store_of_a_later_format_is_not_touched(self) -> None:
        backend = MemoryBackend()
        backend.put("config", [enclose(ObjectKind.CONFIG, msgpack.packb({"format": 2}))])
        with pytest.raises(NewerFormat):
            unlock(backend, KEY)


class TestDamage:
    """Config and keys."""

    def test_a_damaged_config_is_named(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file")])
        flip(backend, "config", 20)
        with pytest.raises(Corrupt) as caught:
            unlock(backend, KEY)
        assert caught.value.name == "config"

    def test_a_damaged_key_hides_no_other(self) -> None:
        backend = MemoryBackend()
        made = init_store(backend, [(KEY, "file")])
        (damaged,) = names(backend, "keys/")
        flip(backend, damaged)
        backend.objects["keys/ffff"] = backend.objects[damaged]
        with pytest.raises(Corrupt) as caught:
            unlock(backend, KEY)
        assert caught.value.name in (damaged, "keys/ffff")
        for whole in ("keys/ffff", damaged):
            flip(backend, whole)
            assert unlock(backend, KEY).ring == made.ring
            flip(backend, whole)

    def test_a_key_that_wraps_nonsense_is_named(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file")])
        (name,) = names(backend, "keys/")
        backend.objects[name] = enclose(ObjectKind.KEY, b"nonsense")
        with pytest.raises(Corrupt) as caught:
            unlock(backend, KEY)
        assert caught.value.name == name

    def test_without_any_key_object_the_keys_are_named(self) -> None:
        backend = MemoryBackend()
        init_store(backend, [(KEY, "file")])
        for name in names(backend, "keys/"):
            backend.delete(name)
        with pytest.raises(Corrupt) as caught:
            unlock(backend, KEY)
        assert caught.value.name == "keys/"

    def test_a_key_of_another_store_opens_nothing(self) -> None:
        backend, another = MemoryBackend(), MemoryBackend()
        made = init_store(backend, [(OTHER, "file")])
        init_store(another, [(KEY, "file")])
        (stolen,) = names(another, "keys/")
        backend.objects[stolen] = another.objects[stolen]
        with pytest.raises(WrongKey):
            unlock(backend, KEY)
        assert unlock(backend, OTHER).ring == made.ring


class TestInit:
    """A place becomes a store whole, and once."""

    def test_an_occupied_place_is_refused(self) -> None:
        backend = MemoryBackend()
        backend.put("holiday.jpg", [b"pixels"])
        with pytest.raises(StoreError, match="not empty"):
            init_store(backend, [(KEY, "file")])
        assert names(backend, "") == ["holiday.jpg"]

    def test_a_store_is_not_made_over_another(self) -> None:
        backend = MemoryBackend()
        made = init_store(backend, [(KEY, "file")])
        with pytest.raises(StoreError, match="already"):
            init_store(backend, [(OTHER, "file")])
        assert unlock(backend, KEY).ring == made.ring

    def test_a_wrong_setting_leaves_nothing(self) -> None:
        backend = MemoryBackend()
        with pytest.raises(SiltError, match="compression"):
            init_store(backend, [(KEY, "file")], compression="zip")
        assert not names(backend, "")

    @pytest.mark.parametrize("lands", [False, True])
    @pytest.mark.parametrize("at", range(3))
    def test_killed_at_any_write_it_can_be_done_again(self, at: int, lands: bool) -> None:
        backend = MemoryBackend()
        with pytest.raises(Killed):
            init_store(FaultyBackend(backend, at, lands=lands), [(KEY, "file"), (OTHER, "spare")])
        if at == 2 and lands:  # it was done
            assert unlock(backend, KEY).ring == unlock(backend, OTHER).ring
            return
        with pytest.raises(NotAStore):
            unlock(backend, KEY)
        made = init_store(backend, [(KEY, "file")])
        assert unlock(backend, KEY).ring == made.ring
        with pytest.raises(WrongKey):  # what the first attempt left opens nothing
            unlock(backend, OTHER)

    @pytest.mark.parametrize("kind", ["memory", "directory"])
    def test_of_two_at_once_one_makes_it(self, kind: str) -> None:
        def attempt(connect: Connect) -> bytes | None:
            try:
                return init_store(connect(), [(KEY, "file")]).config.store_id
            except StoreError:
                return None

        with fresh(kind) as connect, ThreadPoolExecutor(4) as pool:
            made = [store_id for store_id in pool.map(attempt, [connect] * 4) if store_id is not None]
            assert made == [unlock(connect(), KEY).config.store_id]
