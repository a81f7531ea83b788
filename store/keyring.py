"""The keys of a store, as a program holds them, and the sealing of each session's data key.

One random id key is at the root: whoever has it names chunks, cuts files and reads the index as every other host of
the store does. The cut seed and the index key are derived from it. Independent random values would gain nothing, since
no host ever holds one without the others, and derivation is one-way: a cut seed that is guessed from the sizes of
chunks tells nothing of the id key.

The reader keys are a pair: X25519 and ML-KEM-768 together, so that both must be broken before a store can be read.

    reader public   ML-KEM-768 public key (1184) | X25519 public key (32)
    reader private  ML-KEM-768 seed (64) | X25519 private key (32)
    sealed          HPKE base mode (MLKEM768-X25519, HKDF-SHA256, AES-256-GCM):
                    encapsulation (1120) | encrypted data key (32) | tag (16)
    info of a seal  "siltstone session 1" | store id (16) | session id (16)

Rule: a data key is random, belongs to one session, and leaves this module only sealed to the reader public key; a host
without the reader private key can write, and can read back nothing that any session wrote. `role` says what a ring is
for: "write" holds no private key, "read" holds all that reading takes and is refused everything else by `need`. The
reader keys may be changed for what is written from then on: `generation` counts that, and the private keys of earlier
generations stay in the ring.
A ring without encryption (`KeyRing.public`) has the same form: its id key is no secret, its data keys are empty.

It does not promise who wrote a session: any host that holds the reader public key can add one. What `need` refuses to
a key that reads, only the rights of the storage can enforce.
"""

from os import urandom
from typing import TYPE_CHECKING, Literal

from blake3 import blake3
from msgspec import Struct
from msgspec.structs import replace

from .errors import NoKey, StoreError, WrongKey

# cryptography is imported where it is used: hpke and its parts cost 10 to 20 ms, and a store without encryption, or a
# command that fails before it needs a key, should not pay them.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

STORE_ID_SIZE = 16
SESSION_ID_SIZE = 16
KEY_SIZE = 32
GEAR_SIZE = 256 * 8
MLKEM_PUBLIC_SIZE = 1184
MLKEM_SEED_SIZE = 64
X25519_SIZE = 32
READER_PUBLIC_SIZE = MLKEM_PUBLIC_SIZE + X25519_SIZE
READER_PRIVATE_SIZE = MLKEM_SEED_SIZE + X25519_SIZE

Role = Literal["all", "write", "read"]
ROLES: tuple[Role, ...] = ("all", "write", "read")
Deed = Literal["read", "write", "manage"]
_MAY: dict[Role, frozenset[Deed]] = {
    "all": frozenset({"read", "write", "manage"}),
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
}
_IS_FOR: dict[Role, str] = {
    "all": "",
    "write": "the key of this host adds backups, and does nothing else",
    "read": "this key lists and restores, and changes nothing",
}
_NEEDS: dict[Deed, str] = {
    "read": "read with a passphrase or key file that holds the store's reader key",
    "write": "write with a key of the store that may",
    "manage": "use a passphrase or key file of the store that may do everything; 'silt key list' shows which may",
}


class SessionKey(Struct, frozen=True):
    """One session's key: its id (16 bytes), the data key (32 bytes, or empty without encryption) and the same sealed.

    `sealed` (1168 bytes, or empty) is public and is what the store keeps.
    """

    session_id: bytes
    data_key: bytes
    sealed: bytes

    def __repr__(self) -> str:
        return f"SessionKey(session_id={self.session_id!r})"


class KeyRing(Struct, frozen=True):
    """The keys of one store. `reader_private` is None on a host that only backs up; both reader keys are absent
    (b'' and None) in a store without encryption. `older` are the private keys of earlier generations, newest first.
    `outdated`: the store has a key of a later generation. Secrets are kept out of the repr, and so out of logs.
    """

    store_id: bytes
    id_key: bytes
    reader_public: bytes
    reader_private: bytes | None
    older: tuple[bytes, ...] = ()
    role: Role = "all"
    generation: int = 0
    outdated: bool = False

    def __post_init__(self) -> None:
        if len(self.store_id) != STORE_ID_SIZE or len(self.id_key) != KEY_SIZE:
            raise ValueError("a key ring needs a store id of 16 bytes and an id key of 32 bytes")
        if len(self.reader_public) not in (0, READER_PUBLIC_SIZE):
            raise ValueError(f"a reader public key has {READER_PUBLIC_SIZE} bytes")
        if self.reader_private is not None and (
            len(self.reader_private) != READER_PRIVATE_SIZE or not self.reader_public
        ):
            raise ValueError(f"a reader private key has {READER_PRIVATE_SIZE} bytes and goes with its public key")

    def __repr__(self) -> str:
        return f"KeyRing(store_id={self.store_id!r}, role={self.role!r}, generation={self.generation})"

    @classmethod
    def generate(cls, store_id: bytes) -> "KeyRing":
        """A new ring, all keys random, for the store of that id (16 bytes)."""
        private = urandom(READER_PRIVATE_SIZE)
        return cls(store_id, urandom(KEY_SIZE), public_of(private), private)

    @classmethod
    def public(cls, store_id: bytes, id_key: bytes) -> "KeyRing":
        """The ring of a store without encryption. `id_key` (32 random bytes) stands openly in the store's config."""
        return cls(store_id, id_key, b"", None)

    @property
    def encrypted(self) -> bool:
        """Whether sessions of this ring encrypt. False only for `KeyRing.public`."""
        return bool(self.reader_public)

    @property
    def index_key(self) -> bytes:
        """The key (32 bytes) that seals what every host of the store may read: index segments and the like."""
        return self.derive("index key")

    @property
    def gear(self) -> bytes:
        """The table that decides where files are cut: a number of 64 bits for each value of a byte."""
        return self.derive("gear", GEAR_SIZE)

    def derive(self, purpose: str, size: int = KEY_SIZE) -> bytes:
        """A key of so many bytes for one purpose, the same on every host of the store. The purpose is a constant of
        ours.
        """
        return blake3(self.id_key, derive_key_context=f"siltstone store 1 {purpose}").digest(size)

    def without_private(self) -> "KeyRing":
        """The ring of a host that only backs up: it adds, and reads nothing of any session."""
        return replace(self, reader_private=None, older=(), role="write")

    def for_reading(self) -> "KeyRing":
        """The ring of who restores: it holds all that reading takes, and is refused everything else."""
        return replace(self, role="read")

    def rotated(self) -> "KeyRing":
        """The ring of the next generation: new reader keys for what is written from now on, and all earlier ones."""
        if self.reader_private is None:
            raise ValueError("only a ring with the reader private key is rotated")
        private = urandom(READER_PRIVATE_SIZE)
        return replace(
            self,
            reader_public=public_of(private),
            reader_private=private,
            older=(self.reader_private, *self.older),
            generation=self.generation + 1,
        )

    @property
    def may_read(self) -> bool:
        """Whether this ring opens what is in the store."""
        return "read" in _MAY[self.role]

    def need(self, deed: Deed, doing: str) -> None:
        """Refuse what this ring is not for: "read", "write" (add backups), "manage" (remove, change keys, repair).
        `doing` is a clause such as 'removing levels'. NoKey.
        """
        if deed not in _MAY[self.role]:
            raise NoKey(f"{doing} is refused: {_IS_FOR[self.role]}", hint=_NEEDS[deed])

    def new_session(self) -> SessionKey:
        """A new session with its own random data key, sealed to the reader public key."""
        session_id = urandom(SESSION_ID_SIZE)
        if not self.encrypted:
            return SessionKey(session_id, b"", b"")
        data_key = urandom(KEY_SIZE)
        sealed = _suite().encrypt(data_key, _public_key(self.reader_public), info=self._info(session_id))
        return SessionKey(session_id, data_key, sealed)

    def open_session(self, session_id: bytes, sealed: bytes) -> bytes:
        """The data key of a session: 32 bytes, or empty in a store without encryption.

        NoKey: this ring has no reader private key. WrongKey: the key was sealed to another reader, store or session.
        """
        if not self.encrypted:
            if sealed:
                raise self._not_ours(session_id)
            return b""
        if self.reader_private is None:
            raise NoKey("the key of this host adds backups and reads none", hint=_NEEDS["read"])
        for private in (self.reader_private, *self.older):
            data_key = self._opened(private, session_id, sealed)
            if data_key is not None and len(data_key) == KEY_SIZE:  # whoever has the public key can seal anything to it
                return data_key
        raise self._not_ours(session_id)

    def _opened(self, private: bytes, session_id: bytes, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return _suite().decrypt(sealed, _private_key(private), info=self._info(session_id))
        except InvalidTag:
            return None

    def _info(self, session_id: bytes) -> bytes:
        return b"siltstone session 1" + self.store_id + session_id

    def _not_ours(self, session_id: bytes) -> StoreError:
        if self.outdated:
            return NoKey(
                f"session {session_id.hex()}: its data key is sealed to reader keys that are newer than this key",
                hint="use a key that 'silt key list' does not call outdated; who has one can add this one anew",
            )
        return WrongKey(
            f"session {session_id.hex()}: its data key is not sealed to this store's reader key",
            hint="the session was written under other keys, or belongs to another store",
        )


def public_of(reader_private: bytes) -> bytes:
    """The reader public key (1216 bytes) that belongs to a reader private key (96 bytes)."""
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    mlkem = MLKEM768PrivateKey.from_seed_bytes(reader_private[:MLKEM_SEED_SIZE])
    x25519 = X25519PrivateKey.from_private_bytes(reader_private[MLKEM_SEED_SIZE:])
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def _suite() -> "Suite":
    from cryptography.hazmat.primitives import hpke

    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _public_key(raw: bytes) -> "MLKEM768X25519PublicKey":
    from cryptography.hazmat.primitives import hpke
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_SIZE]),
        X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_SIZE:]),
    )


def _private_key(raw: bytes) -> "MLKEM768X25519PrivateKey":
    from cryptography.hazmat.primitives import hpke
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return hpke.MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(raw[:MLKEM_SEED_SIZE]),
        X25519PrivateKey.from_private_bytes(raw[MLKEM_SEED_SIZE:]),
    )
