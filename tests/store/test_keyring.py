"""The key ring: its sessions open where they should and nowhere else, and every host derives the same from it."""

import re
import subprocess
import sys

import pytest
from blake3 import blake3
from msgspec.structs import replace

from siltstone.store import keyring
from siltstone.store.errors import NoKey, WrongKey
from siltstone.store.keyring import KeyRing, public_of
from siltstone.store.keys import KeyFile, Passphrase

STORE = bytes(range(16))
PRIVATE = bytes(range(96))
RING = KeyRing(STORE, bytes(range(100, 132)), public_of(PRIVATE), PRIVATE)

# Sealed once by the first version of the format, with RING: what is read must not drift.
SESSION = bytes(range(150, 166))
DATA_KEY = bytes(range(150, 182))
SEALED = bytes.fromhex(
    """
    e48226e4799d8146e543b47eb4addad0818bb2f72a3683882d1d45a601e40a31c97873a47d4a77cbe198cc5763b14abf4fb1e63634a51b18
    9085626669a83a9f85bed2598076bee30e3282e2489e4b09e3ae4b1e9810755370a9786bf57b2754fb5b5249fcaf859bdb976ace52515bca
    0d800a9a9a323b7c4a5c4a39301a6c82d982bc4cdce54ec274ed12ca5f4206022058f7002e167047d4c87652eb5f7e7f3ae5c2e8bfbe4d66
    50a34d29e8f877ef37c444960032a997977fd5c8c1589532e6402ae13b8f6402f27c8b0b29ace66b75c37d8cf4719b6d3f173298875faf44
    a78c714ad98c68525e2872d750ce7529e79d75839e87b47b1c99c378a0079cf5653b463fe636d0f2c3794c64b9f48e2758e2ac951e27681b
    6913bd0584b0097d31f06cafdd710216c16e6ffaa4213a2b84af88ea6acbcadbad73bd978cce3d5f43d082094d611ed4755fe79fcf09916c
    c939f9a5d35083cd6c32a412b8e69de8cb2981f03ff385cd1fd19e1cd47f70a791802f2cb1d82eba0147daca5b78837f7c360a0363372785
    4d1c1c37f4d33a50842f17c835e692ebd6efebc9f1ba259b75d237a64799fa34eeaa67fef2751852e5152b0d5c8ec1f3c2f6f6797c07c81e
    8c7cabfb08bd9d1956c8af12e5a97a1cee02d026b3b0832190344796f5f3c7ffe58d1e4d2fdee801a5ba2cbb04fa71c050802070cbf1a57a
    a2750f8cc0943f1857dff5f4928fb71980d4f13e5e28f065dc748c2f04e8fbe6e7f271a16ad6b8adaa1daf41a6efce58997ad731d800c79c
    3d086559b60434d620b3f4e3705efed9991e346d78611788ac2dc75cae7d82dfbbf9f5d14173c0bb382e1fbb7e28386603b6eea505226571
    860e823ef831da98fd2b87cfbbd095eef2d67c7b701900634f5d1a6739328be439250e1d65f4dfcc2cab05c893e31727b4cd60b6dd9e1416
    1fc9ee718418cd5759c9e208736a68703b0186b7bdf5b0dbd612a4e22b800cffea5afa24e967613685f2c80af169b3c6ec09a10b696be6dd
    895ff12b0f9b0b86b2113ecc0e6130f5b7fb4278e9e3450763f31bbf4a8f2190da2b6074652c209e9921dc39bb284f4295d078a05fc287f6
    8b1509d8bdef346d7294f235118981a246a790e9080d5143fd07c7f026553e2014fe4949ebaa3839dc8a3e8b5546bdd051280f49f3b30724
    0ba269fa0ee9e7e0f1408ab4d5a27db79833f62bd63b9124a609c07726c9fc13f7f0244c01e858d6cdbd64d8c25b56d01555a02e8c8e16ee
    03920094b01c6c01f399a7ca28f9d0dca6913020d9e6792878a3a7521df820a3ff99da71b003916c1b688c1204b95409332247f049862695
    06fdb2deb9cd1c70cf04914ab942c0cc4245313f91c096dae503484a52125e5b81dc3e92f380e4a3983e9e8627fb1e5cc8a77c30ffd7ea82
    1c71b552af9a1481a1f8f823d5ffa910639fc5a648c4bab21529a27d662ded4d71bf98e2d7041d8bffc8e1003a0e7ddda3c9ebbc6d58e12d
    7d6877fa21322cd98d464218eff4e32713022cfa7e79b559b585985e4b13b21fe1940c9e9d891e4c25da487d9c92030e44df45ad7c0f897b
    b0e109ee0fb5512b16842bc0f14cdb932037fc0e9727669d79d3a0e3f6890b910f82afb9a379cfd14448602e19a0d36d
    """
)


class TestFormat:
    """The bytes of the first version."""

    def test_golden_session_opens(self) -> None:
        assert RING.open_session(SESSION, SEALED) == DATA_KEY

    def test_derived_keys(self) -> None:
        assert RING.index_key.hex() == "c2c9ae890bcf47aff95909bca20bb2288836cb08950801e4d931d3dd5fdd9b18"
        assert blake3(RING.gear).hexdigest() == "88b029b2035722b0c6eade7f084fef0b224e4815deb35374de23bf08bfd04979"
        assert blake3(RING.reader_public).hexdigest() == (
            "9af08ee56d6cfeaf7347ba94257c5f04f12598b1036e11459f7d56b6aba873c1"
        )


class TestSessions:
    def test_a_write_only_host_seals_what_only_readers_open(self) -> None:
        host = RING.without_private()
        session = host.new_session()
        assert RING.open_session(session.session_id, session.sealed) == session.data_key
        with pytest.raises(NoKey) as caught:
            host.open_session(session.session_id, session.sealed)
        assert caught.value.hint
        with pytest.raises(WrongKey):
            KeyRing.generate(STORE).open_session(session.session_id, session.sealed)

    def test_sessions_are_bound_to_their_id_and_store(self) -> None:
        for ring, session_id in (
            (RING, bytes(16)),
            (RING, SESSION[:15]),
            (replace(RING, store_id=bytes(16)), SESSION),
            (RING, SESSION + b"\0"),
        ):
            with pytest.raises(WrongKey):
                ring.open_session(session_id, SEALED)

    def test_every_touched_byte_is_refused(self) -> None:
        for place in range(len(SEALED)):
            with pytest.raises(WrongKey):
                RING.open_session(SESSION, SEALED[:place] + bytes([SEALED[place] ^ 0x40]) + SEALED[place + 1 :])
        for sealed in (b"", SEALED[:-1], SEALED + b"\0", bytes(len(SEALED))):
            with pytest.raises(WrongKey):
                RING.open_session(SESSION, sealed)

    def test_what_is_sealed_must_be_a_data_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keyring, "urandom", lambda size: bytes(16))
        session = RING.new_session()
        assert len(session.data_key) == 16
        with pytest.raises(WrongKey):
            RING.open_session(session.session_id, session.sealed)

    def test_no_two_sessions_are_alike(self) -> None:
        sessions = [RING.new_session() for _ in range(20)]
        assert len({session.session_id for session in sessions}) == 20
        assert len({session.data_key for session in sessions}) == 20
        assert {(len(session.data_key), len(session.sealed)) for session in sessions} == {(32, 1168)}


class TestRing:
    def test_without_encryption(self) -> None:
        ring = KeyRing.public(STORE, bytes(32))
        session = ring.new_session()
        assert (ring.encrypted, session.data_key, session.sealed) == (False, b"", b"")
        assert ring.open_session(session.session_id, b"") == b""
        assert ring.new_session().session_id != session.session_id
        with pytest.raises(WrongKey):
            ring.open_session(SESSION, SEALED)

    def test_every_host_derives_the_same(self) -> None:
        ring = KeyRing.generate(STORE)
        host = ring.without_private()
        assert ring.encrypted
        assert (host.index_key, host.gear, host.derive("x")) == (ring.index_key, ring.gear, ring.derive("x"))
        assert len(ring.gear) == 2048
        assert len({ring.id_key, ring.index_key, ring.derive("x"), ring.derive("y")}) == 4
        assert KeyRing.generate(STORE).index_key != ring.index_key

    def test_secrets_stay_out_of_the_repr(self) -> None:
        shown = repr([RING, RING.new_session(), Passphrase("grains laid down"), KeyFile(bytes(32))])
        assert "grains" not in shown
        # Store id and session id, and no other bytes; Python quotes them with " where they hold a '.
        assert len(re.findall(r"=b['\"]", shown)) == 2

    def test_hpke_is_imported_by_the_first_seal(self) -> None:
        code = (
            "import sys, siltstone.store.keys as keys\n"
            "loaded = lambda: 'cryptography.hazmat.primitives.hpke' in sys.modules\n"
            "ring = keys.KeyRing.generate(bytes(16)); early = loaded()\n"
            "ring.new_session(); print(early, loaded())"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (ran.stdout, ran.stderr) == ("False True\n", "")
