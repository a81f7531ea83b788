"""Secrets: what a passphrase becomes."""

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from siltstone.store import secrets
from siltstone.store.errors import NoKey
from siltstone.store.secrets import Passphrase


@pytest.mark.parametrize("parameters", [{"iterations": 1, "memory_kib": 8}, secrets.ARGON2], ids=str)
def test_a_passphrase_makes_the_key_that_any_argon2id_makes(parameters: dict[str, int]) -> None:
    salt = bytes(range(16))
    kdf = {"name": "argon2id", "salt": salt, **parameters}
    ours = secrets.wrapping_key(kdf, Passphrase("cafe\N{COMBINING ACUTE ACCENT}"))
    memory, passes = parameters["memory_kib"], parameters["iterations"]
    other = Argon2id(salt=salt, length=32, iterations=passes, lanes=1, memory_cost=memory)
    assert ours == other.derive("café".encode())


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(NoKey):
        Passphrase("")
