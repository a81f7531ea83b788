"""Key objects and key files: what is wrapped comes back, only by its own secret, and only untouched."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.store import keys, secrets
from siltstone.store.config import Config, config_content
from siltstone.store.errors import Corrupt, NewerFormat, StoreError, WrongKey
from siltstone.store.keyring import KeyRing, public_of
from siltstone.store.keys import KeyFile, Passphrase, describe, key_id, make_key_file, parse_key_file, unwrap, wrap

NOW = 1_700_000_000_123_456_789
STORE = bytes(range(16))
PRIVATE = bytes(range(96))
RING = KeyRing(STORE, bytes(range(100, 132)), public_of(PRIVATE), PRIVATE)
CONFIG = config_content(Config(STORE, encrypted=True, id_key=b""))
PHRASE = Passphrase("grains laid down in layers")
FILE = KeyFile(bytes(range(50, 82)))

# Written once by the first version of the format, with RING, FILE and NOW: what is read and written must not drift.
WRAPPED = bytes.fromhex(
    """
    9301c4e388a26964c410c8c9cacbcccdcecfd0d1d2d3d4d5d6d7a573746f7265c410000102030405060708090a0b0c0d0e0fa56c6162656c
    a6676f6c64656eaa637265617465645f6e73cf17979cfe3d85cd15a4726f6c65a3616c6caa67656e65726174696f6e00a6636f6e666967c4
    4985a6666f726d617401a873746f72655f6964c410000102030405060708090a0b0c0d0e0fa9656e63727970746564c3a669645f6b6579c4
    00ab636f6d7072657373696f6ea47a737464a36b646682a46e616d65ab686b64662d736861323536a473616c74c410c8c9cacbcccdcecfd0
    d1d2d3d4d5d6d7c4bb9b2969b49fb552eb5fd527e656f7c59be66e2682a465960e4ed5f7e85ee2f0f00d88f8a68fe51c30503857042df4cc
    5109652ade37ae031f7870123f5ba83da6191de7b614f41cff62eec43f749e01a2377f983419d4ea94e217ce976fb635d6e7cf03fe060d35
    873c692507b285f1ba4f6f4a7c723fb83d36ef6cae7cf32cd6d1c85a1902b7b491505517eaffa8618ac3bfe5b0f6a8c2daef657c54d9a5ac
    74444b94bf614d749dbee66e04e31ae8379eeece3f745597d12969dc
    """
)
WRAPPED_BY_PHRASE = (
    "4ef6f8ef51f74c6830fd522a75363eabe7698dd10184f6f89c80142f6e420e4c"  # its BLAKE3, of a write-only ring
)


@pytest.fixture(scope="module")
def by_phrase() -> bytes:
    """RING under PHRASE: Argon2 is paid once."""
    return wrap(RING, PHRASE, label="admin", created_ns=NOW)


def counting(first: int) -> Callable[[int], bytes]:
    return lambda size: bytes(range(first, first + size))


def with_header(payload: bytes, **changes: Any) -> bytes:
    """The payload with fields of its header, or of the header's kdf, changed and the rest as it was."""
    version, packed, wrapped = msgpack.unpackb(payload)
    header = msgpack.unpackb(packed)
    for name, value in changes.items():
        place = header["kdf"] if name in header["kdf"] else header
        place[name] = value
    changed: bytes = msgpack.packb([version, msgpack.packb(header), wrapped])
    return changed


class TestFormat:
    """The bytes of the first version, in both directions."""

    def test_golden_key_object_opens(self) -> None:
        assert unwrap(WRAPPED, FILE) == RING
        assert key_id(WRAPPED) == counting(200)(16).hex()
        made = counting(200)(16).hex()
        assert describe(WRAPPED) == keys.KeyInfo(made, "key file", "golden", NOW, "all", 0, STORE, CONFIG)

    def test_same_chance_writes_the_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keys, "urandom", counting(200))
        monkeypatch.setattr(secrets, "urandom", counting(200))
        assert wrap(RING, FILE, label="golden", created_ns=NOW, config=CONFIG) == WRAPPED
        by_phrase = wrap(RING.without_private(), PHRASE, label="golden", created_ns=NOW, config=CONFIG)
        assert blake3(by_phrase).hexdigest() == WRAPPED_BY_PHRASE
        assert unwrap(by_phrase, PHRASE) == RING.without_private()

    def test_a_passphrase_costs_what_rfc_9106_advises(self, by_phrase: bytes) -> None:
        kdf = msgpack.unpackb(msgpack.unpackb(by_phrase)[1])["kdf"]
        salt = kdf.pop("salt")
        assert kdf == {"name": "argon2id", "iterations": 3, "memory_kib": 65536}
        assert len(salt) == 16


class TestWrapping:
    """One ring, several secrets."""

    def test_each_of_several_keys_opens_the_same_ring(self, by_phrase: bytes) -> None:
        ring = KeyRing.generate(STORE)
        files = [parse_key_file(make_key_file()) for _ in range(3)]
        payloads = [wrap(ring, file, label="host", created_ns=NOW) for file in files]
        assert [unwrap(payload, file) for payload, file in zip(payloads, files, strict=True)] == [ring] * 3
        assert len({key_id(payload) for payload in payloads}) == 3
        assert unwrap(by_phrase, PHRASE) == RING
        assert (describe(by_phrase).kind, describe(by_phrase).label) == ("passphrase", "admin")

    @pytest.mark.parametrize(
        "secret",
        [Passphrase("Grains laid down in layers"), Passphrase(PHRASE.text + " "), FILE],
        ids=["another", "longer", "file"],
    )
    def test_wrong_secret_for_a_passphrase_key(self, by_phrase: bytes, secret: keys.Secret) -> None:
        with pytest.raises(WrongKey) as caught:
            unwrap(by_phrase, secret)
        assert "'admin'" in str(caught.value)
        assert "passphrase" in caught.value.hint
        assert "rains" not in str(caught.value) + caught.value.hint

    @pytest.mark.parametrize("secret", [KeyFile(bytes(32)), PHRASE], ids=["another", "passphrase"])
    def test_wrong_secret_for_a_key_file(self, secret: keys.Secret) -> None:
        with pytest.raises(WrongKey, match="'golden'") as caught:
            unwrap(WRAPPED, secret)
        assert "key file" in caught.value.hint

    def test_accents_are_the_same_however_they_were_typed(self) -> None:
        payload = wrap(RING, Passphrase("kalksandstein-grau \u00e9 \udcff"), label="", created_ns=0)
        assert unwrap(payload, Passphrase("kalksandstein-grau e\u0301 \udcff")) == RING

    def test_write_only_ring(self) -> None:
        payload = wrap(RING.without_private(), FILE, label="db1", created_ns=NOW)
        assert describe(payload).role == "write"
        assert unwrap(payload, FILE) == RING.without_private()
        assert PRIVATE[64:] not in payload
        with pytest.raises(StoreError):
            unwrap(with_header(payload, role="all"), FILE)

    def test_nothing_is_wrapped_that_could_not_be_used(self) -> None:
        with pytest.raises(ValueError, match="no pair"):
            wrap(replace(RING, reader_private=bytes(96)), FILE, label="", created_ns=NOW)
        with pytest.raises(ValueError, match="encrypts"):
            wrap(KeyRing.public(STORE, bytes(32)), FILE, label="", created_ns=NOW)
        with pytest.raises(ValueError, match="1970"):
            wrap(RING, FILE, label="", created_ns=-1)
        for label in ("x" * 101, "two\nlines", "\x1b[2J"):
            with pytest.raises(StoreError, match="label"):
                wrap(RING, FILE, label=label, created_ns=NOW)


class TestTampering:
    """A key object that was touched opens nothing."""

    def test_every_flipped_bit_is_refused(self) -> None:
        for bit in range(len(WRAPPED) * 8):
            touched = bytearray(WRAPPED)
            touched[bit // 8] ^= 1 << bit % 8
            with pytest.raises((WrongKey, Corrupt, NewerFormat)):
                unwrap(bytes(touched), FILE)

    def test_every_cut_is_refused(self) -> None:
        for size in range(len(WRAPPED)):
            with pytest.raises((WrongKey, Corrupt)):
                unwrap(WRAPPED[:size], FILE)
        with pytest.raises(Corrupt):
            unwrap(WRAPPED + b"\0", FILE)

    @pytest.mark.parametrize(
        "change",
        [
            {"id": bytes(16)},
            {"store": bytes(16)},
            {"label": "x"},
            {"created_ns": 1},
            {"role": "read"},
            {"generation": 1},
            {"config": b"x"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_the_header_is_bound(self, change: dict[str, Any]) -> None:
        with pytest.raises(WrongKey):
            unwrap(with_header(WRAPPED, **change), FILE)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"id_key": bytes(31)},
            {"reader_private": None},
            {"reader_private": []},
            {"reader_private": [bytes(95)]},
            {"more": 1},
        ],
        ids=str,
    )
    def test_whoever_has_the_secret_cannot_wrap_nonsense_either(self, body: dict[str, Any]) -> None:
        version, packed, _ = msgpack.unpackb(WRAPPED)
        ring = {"id_key": RING.id_key, "reader_public": None, "reader_private": [PRIVATE]}
        key = HKDF(SHA256(), 32, salt=msgpack.unpackb(packed)["kdf"]["salt"], info=b"siltstone key file 1")
        whole = msgpack.packb(ring | body if body else [])
        wrapped = AESGCM(key.derive(FILE.data)).encrypt(bytes(12), whole, b"siltstone key 1" + packed)
        with pytest.raises(Corrupt, match="not the key ring"):
            unwrap(msgpack.packb([version, packed, wrapped]), FILE)

    @pytest.mark.parametrize("change", [{"salt": bytes(16)}, {"iterations": 1}, {"memory_kib": 8192}], ids=str)
    def test_the_argon2_parameters_are_bound(self, by_phrase: bytes, change: dict[str, Any]) -> None:
        with pytest.raises(WrongKey):
            unwrap(with_header(by_phrase, **change), PHRASE)

    @pytest.mark.parametrize(
        "change",
        [
            {"memory_kib": 100 << 20},
            {"memory_kib": (1 << 20) + 1, "iterations": 1},
            {"memory_kib": 7},
            {"iterations": 65},
            {"iterations": 0},
            {"memory_kib": 1 << 63},
            {"salt": b""},
            {"iterations": True},
        ],
        ids=str,
    )
    def test_absurd_argon2_parameters_are_refused_before_they_are_paid(
        self, by_phrase: bytes, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(secrets, "_argon2")
        with pytest.raises(Corrupt):
            unwrap(with_header(by_phrase, **change), PHRASE)

    def test_a_newer_version_is_said_to_be_newer(self) -> None:
        for payload in (msgpack.packb([2, {"anything": 1}]), msgpack.packb([2]), with_header(WRAPPED, name="argon3")):
            for reader in (key_id, describe, lambda payload: unwrap(payload, FILE)):
                with pytest.raises(NewerFormat) as caught:
                    reader(payload)
                assert caught.value.hint

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.binary(max_size=20) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        )
    )
    def test_nonsense_is_an_error_of_ours(self, value: object) -> None:
        packed = msgpack.packb(value)
        for payload in (packed, msgpack.packb([1, packed, b""]), packed[:-1]):
            with pytest.raises((Corrupt, NewerFormat)):
                describe(payload)

    def test_an_unprintable_label_is_not_shown(self) -> None:
        with pytest.raises(Corrupt) as caught:
            describe(with_header(WRAPPED, label="\x1b[2J"))
        assert "\x1b" not in str(caught.value)

    def test_too_little_memory_is_said(self, by_phrase: bytes) -> None:
        payload = with_header(by_phrase, memory_kib=1 << 20, iterations=1)
        code = (
            "import resource; from siltstone.store.keys import *\n"
            "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
            f"unwrap(bytes.fromhex('{payload.hex()}'), Passphrase('x'))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "StoreError: not enough memory to try the passphrase: 1024 MiB are needed" in ran.stderr


class TestKeyFiles:
    def test_round_trip(self) -> None:
        text = make_key_file()
        assert text.startswith("silt-key-1:")
        assert text.endswith("=\n")
        assert parse_key_file(text) == parse_key_file(f"  {text}\r\n")
        assert parse_key_file("silt-key-1:MjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5PUFE=") == FILE

    @pytest.mark.parametrize("text", ["", "silt-key-1", "silt-key-1:", "silt-key-1:é", "{}", "\0", "silt-key-1:MjM0"])
    def test_other_text_is_no_key_file(self, text: str) -> None:
        with pytest.raises(WrongKey, match="not a whole key file") as caught:
            parse_key_file(text)
        assert "silt-key-1:" in caught.value.hint

    def test_a_newer_key_file(self) -> None:
        with pytest.raises(NewerFormat):
            parse_key_file("silt-key-2:whatever")

    def test_a_changed_character_is_never_the_same_key(self) -> None:
        text = make_key_file().strip()
        for place in range(len(text)):
            changed = text[:place] + ("B" if text[place] == "A" else "A") + text[place + 1 :]
            try:
                other = parse_key_file(changed)
            except (WrongKey, NewerFormat):
                continue
            assert other != parse_key_file(text)
