"""Telling noise: both twins say the same, and noise is what does not compress."""

import base64
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import ChunkId
from siltstone.store.noise_plain import LEAST, PART, PARTS, noise

try:
    from siltstone.store import _noise

    TWINS = [_noise.noise, noise]
except ImportError:
    TWINS = [noise]

Twin = Callable[[memoryview, list[tuple[ChunkId, int, int]]], bytes]
SOME = ChunkId(bytes(32))
SIZES = [LEAST, LEAST + 1, 200, PARTS * PART, PARTS * PART + 1, 9000, 150_000]


def looks(content: bytes) -> bool:
    """What the twins say of it, as the middle one of three chunks."""
    buffer = memoryview(b"before" + content + b"behind")
    chunks = [(SOME, 0, 6), (SOME, 6, 6 + len(content)), (SOME, 6 + len(content), len(buffer))]
    (said,) = {bytes(twin(buffer, chunks)) for twin in TWINS}
    assert len(said) == 3
    assert said[0] == said[2] == 0  # too short to say
    return said[1] == 1


@given(st.binary(max_size=3000), st.integers(1, 40))
@settings(max_examples=200)
def test_the_twins_agree(content: bytes, times: int) -> None:
    looks(content * times)


@pytest.mark.parametrize("size", SIZES)
def test_noise_looks_like_it(size: int) -> None:
    chance = random.Random(size)
    told = sum(looks(chance.randbytes(size)) for _ in range(300))
    assert told >= 297


def test_what_is_compressed_already_looks_like_it() -> None:
    chance = random.Random(6)
    text = " ".join(str(chance.randrange(10 ** chance.randrange(1, 9))) for _ in range(100_000)).encode()
    packed = zlib.compress(text, 9)
    told = [looks(packed[at : at + 1000]) for at in range(1000, len(packed) - 1000, 1000)]
    assert sum(told) > 0.95 * len(told)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["text", "base64", "zeros", "numbers", "half"])
def test_what_compresses_does_not(size: int, kind: str) -> None:
    chance = random.Random(7)
    made = {
        "text": b"".join(b"%d times the same words, " % chance.randrange(1000) for _ in range(size)),
        "base64": base64.b64encode(chance.randbytes(size)),
        "zeros": bytes(size),
        "numbers": b"".join(chance.randrange(100_000).to_bytes(4, "little") for _ in range(size)),
        "half": b"".join(chance.randbytes(40) + b"and some forty bytes of a text in between" for _ in range(size)),
    }
    assert not looks(made[kind][: max(size, 100)])


@pytest.mark.parametrize("twin", TWINS, ids=["twin", "plain"][-len(TWINS) :])
@pytest.mark.parametrize("span", [(-1, 5), (5, 4), (0, 101), (101, 101)])
def test_chunks_outside_the_buffer(twin: Twin, span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="outside the buffer"):
        twin(memoryview(bytes(100)), [(SOME, *span)])
