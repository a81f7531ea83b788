"""Key objects and key files: what is wrapped comes back, only by its own secret, and only untouched."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from siltstone.store import keys
from siltstone.store.errors import Corrupt, NewerFormat, NoKey, StoreError, WrongKey
from siltstone.store.keyring import KeyRing, public_of
from siltstone.store.keys import KeyFile, Passphrase, describe, key_id, make_key_file, parse_key_file, unwrap, wrap

NOW = 1_700_000_000_123_456_789
STORE = bytes(range(16))
PRIVATE = bytes(range(96))
RING = KeyRing(STORE, bytes(range(100, 132)), public_of(PRIVATE), PRIVATE)
PHRASE = Passphrase("grains laid down in layers")
FILE = KeyFile(bytes(range(50, 82)))

# Written once by the first version of the format, with RING, FILE and NOW: what is read and written must not drift.
WRAPPED = bytes.fromhex(
    """
    9301c48886a26964c410c8c9cacbcccdcecfd0d1d2d3d4d5d6d7a573746f7265c410000102030405060708090a0b0c0d0e0fa56c6162656c
    a6676f6c64656eaa637265617465645f6e73cf17979cfe3d85cd15aa77726974655f6f6e6c79c2a36b646682a46e616d65ab686b64662d73
    6861323536a473616c74c410c8c9cacbcccdcecfd0d1d2d3d4d5d6d7c5057c9b2969b49fb552eb5fd527e656f7c59be66e2682a465960e4e
    d5f7e85ee2f0f00d88f8a68fe51c30503857042df4cc5109652ade37ae031f7ddaa073b06d55967ae04fd9ff97d4c315e754057cf7899b96
    b326841c7a40d1e87eed498f48696dd1931f23a8fefae8d3c4291ca881734f1f820af3db4c8a7887c3b4fb7c7883bd6de66a2580c12bfe31
    30a1d8d97644c4813c47ec0792805ec0c0bc55df9ea1db2ed9c97ad77cae002fba930b2572ec1a11f6e12556aef870f44228f257c60f1218
    e6774cdfe147e0102a398fd4b68a3e52d5401bdbfda646db3423f7056602f81353ffb1132e78a6d1aeeea20dfb6c4205aac8351f750c8c63
    605de2cf79b11cb9e111a8f05ce0687f1a19e5ea7bf3dab2aae2f5c57d5f5aa0680dc78559b842519d646f1a7e709b2a334a1f9f7a3c73cd
    a44adb12bed6f6718dc3d1e6308cb1835934d4e7eac3548aa760477332e6421451de3cad6de0ef85f510208fe595df04cd8196107c82cf07
    a453eeb532caf4f464c4ecaff629a31d8518da3cc10b26282a68f229cc98ccf3d8be1c3c15992783677857dca63a344067ddf8d8ee06cce2
    ffd78dff501da3cdda8f71414d7b15d5637477ca4f23eed83d136cf5ff7edff5b3df9c61f6cbe8d563aafd150610a9388178311d0eb510ef
    1c0f4b8ffb1c3fdcfc5ad4ec3228689d7293162bffa80bdf67752b0e9c64d2357f85162f791446cdf63cc2e57553ca51cf985d0130858ad4
    b539fe40a69c6e6d9629aa3e8e53d2741f006b0db5f3cd741005c871fd39c5a1d9e558ad5550ed809ffb78c28c1ab38529db8f0be1366d22
    cb80eb0536cb9972474b1388c5b54c3e12794771bfe31a1b8004a175ea30867f61526fe88c8d90d1fbffa21011d0e67107936820db1315ac
    7aca1ba7b45baa00848b58eb44258dea34b79b9ddc89693d33cc0588ba278c1187922ce6ca7155ede3e0e6d10a1a78ce791374fa3fb8faee
    1bef6871432ce5a8be984ce351adcd55c983e3cbe841aa63b233bf964210910fa61f0f6ea39f87b58b585a65a63bf75ef6b7c035f452b750
    dab1c2fa711ff573e2e02cf22050db68cd2cacb799f33d11c52c343a865b6f062d5a2ecca1ed5f80e105e194bc9b834b5d9a1d1870566552
    059a02488f8426b47f3d097eed15b339658c45bb99f76aadd96f0262df4a6b04f33cb5aa0796831ca575844564cf43803354b4a5fabbe9b6
    8e94595b7f2b813a2815ad9e48b7eb7a5f5cacc00ddfe60981404439a642b1d8fdf0eff21cc4512caa53961834535ec5ece0ee39895ae30c
    e3d1c80048fa602d3c4f2a4cffeb5e6c8e49f6dbe9740203aa3f270c5a1cc9453673a81b821b5dc7b9d2a76c57bc0702631665bc9f5d3392
    927e049c09596d33d201213680ad4720467255d5e66f4c18f3f6b26eed3cdd0866cc7437e97a1147e696241e4ac68f52fc164e484b9108a5
    3b799d30bac6494c98f6792f61868a7b67d4301db8a62712fd5d513330fe9ff49eb5d4815bb0c01f263ecb646c9a0aa339a0028549e87fbc
    2552ffd166fa700e2b6c30fb9e87e709cff7f103bb069ac4bf5d3725912dee9507f812f38c365e5d88c5c686080e278e21f0d29c0e7520a2
    073417bf02dbebc41490de437381cac61d9ea4efc511ccd291864a71f5ba08cdc09eedf76d5471dba53bbd0f1cddf98699ce0fb3ec5c8e76
    2c3c89f9d17a7979d12e10608d39f578e8afdba7d6996dcb8d9be87d47f5721ffac29c81e0d2c4b9543065b5d4314990232a0bcde9fb6905
    4758e0a4416fe3b1ca1c8b08f46f4751e63f155eb265068d1a9d97813a8cd5d640e49d0053d321165b857ac950e0162c24a7a1565d9f88a3
    837c12ed1cae5fb9a846c8d34ac498a74600a36ccf4b1ecd106a93cbcc38e1b1a5f81f0bbef8d95d541346dc04bd3d6faa5f86ab4ed638eb
    b3c885dc53ab5b6fa4d4ea2211abc88dc3f7d6c304492807ebcdf5b05c5bc35ce6c4cb
    """
)
WRAPPED_BY_PHRASE = (
    "acb5426cbb410b95bf7c38535c015ae07e7053858e0771b208647a0fe56952ea"  # its BLAKE3, of a write-only ring
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
        assert describe(WRAPPED) == keys.KeyInfo("key file", "golden", NOW, write_only=False)

    def test_same_chance_writes_the_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keys, "urandom", counting(200))
        assert wrap(RING, FILE, label="golden", created_ns=NOW) == WRAPPED
        by_phrase = wrap(RING.without_private(), PHRASE, label="golden", created_ns=NOW)
        assert blake3(by_phrase).hexdigest() == WRAPPED_BY_PHRASE
        assert unwrap(by_phrase, PHRASE) == RING.without_private()

    def test_a_passphrase_costs_what_rfc_9106_advises(self, by_phrase: bytes) -> None:
        kdf = msgpack.unpackb(msgpack.unpackb(by_phrase)[1])["kdf"]
        salt = kdf.pop("salt")
        assert kdf == {"name": "argon2id", "iterations": 3, "lanes": 4, "memory_kib": 65536}
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
        assert describe(by_phrase) == keys.KeyInfo("passphrase", "admin", NOW, write_only=False)

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
        assert describe(payload).write_only
        assert unwrap(payload, FILE) == RING.without_private()
        assert PRIVATE[64:] not in payload
        with pytest.raises(StoreError):
            unwrap(with_header(payload, write_only=False), FILE)

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
        [{"id": bytes(16)}, {"store": bytes(16)}, {"label": "x"}, {"created_ns": 1}, {"write_only": True}],
        ids=lambda change: next(iter(change)),
    )
    def test_the_header_is_bound(self, change: dict[str, Any]) -> None:
        with pytest.raises(WrongKey):
            unwrap(with_header(WRAPPED, **change), FILE)

    @pytest.mark.parametrize("body", [{}, {"id_key": bytes(31)}, {"reader_private": None}, {"more": 1}], ids=str)
    def test_whoever_has_the_secret_cannot_wrap_nonsense_either(self, body: dict[str, Any]) -> None:
        version, packed, _ = msgpack.unpackb(WRAPPED)
        ring = {"id_key": RING.id_key, "reader_public": RING.reader_public, "reader_private": PRIVATE}
        key = HKDF(SHA256(), 32, salt=msgpack.unpackb(packed)["kdf"]["salt"], info=b"siltstone key file 1")
        whole = msgpack.packb(ring | body if body else [])
        wrapped = AESGCM(key.derive(FILE.data)).encrypt(bytes(12), whole, b"siltstone key 1" + packed)
        with pytest.raises(Corrupt, match="not the key ring"):
            unwrap(msgpack.packb([version, packed, wrapped]), FILE)

    @pytest.mark.parametrize(
        "change", [{"salt": bytes(16)}, {"iterations": 1}, {"lanes": 1}, {"memory_kib": 8192}], ids=str
    )
    def test_the_argon2_parameters_are_bound(self, by_phrase: bytes, change: dict[str, Any]) -> None:
        with pytest.raises(WrongKey):
            unwrap(with_header(by_phrase, **change), PHRASE)

    @pytest.mark.parametrize(
        "change",
        [
            {"memory_kib": 100 << 20},
            {"memory_kib": (1 << 20) + 1, "iterations": 1},
            {"memory_kib": 31},
            {"iterations": 65},
            {"iterations": 0},
            {"lanes": 17},
            {"lanes": 0},
            {"lanes": -1},
            {"memory_kib": 1 << 63},
            {"salt": b""},
            {"iterations": True},
        ],
        ids=str,
    )
    def test_absurd_argon2_parameters_are_refused_before_they_are_paid(
        self, by_phrase: bytes, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(keys, "_argon2")
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

    def test_an_empty_passphrase_is_none(self) -> None:
        with pytest.raises(NoKey):
            Passphrase("")
