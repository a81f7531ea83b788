"""The envelope: what was put in comes out, and a change of any bit is found before anything is believed."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from siltstone.store import Corrupt, NewerFormat, ObjectKind, disclose, enclose

KINDS = st.sampled_from(ObjectKind)
PAYLOADS = st.binary(max_size=200)
NAME = "sessions/x"


def test_layout() -> None:
    head = b"silt\x02\x01payload"
    assert enclose(ObjectKind.KEY, b"payload") == head + blake3(head).digest()[:16]


@given(KINDS, PAYLOADS)
def test_what_was_enclosed_is_disclosed(kind: ObjectKind, payload: bytes) -> None:
    assert disclose(kind, NAME, enclose(kind, payload)) == payload


@given(KINDS, PAYLOADS, st.data())
def test_a_changed_bit_is_damage(kind: ObjectKind, payload: bytes, data: st.DataObject) -> None:
    whole = bytearray(enclose(kind, payload))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt) as caught:
        disclose(kind, NAME, bytes(whole))
    assert caught.value.name == NAME


@given(KINDS, PAYLOADS, st.data())
def test_a_truncated_object_is_damage(kind: ObjectKind, payload: bytes, data: st.DataObject) -> None:
    whole = enclose(kind, payload)
    with pytest.raises(Corrupt):
        disclose(kind, NAME, whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_a_later_format_is_no_damage() -> None:
    body = b"silt" + bytes((ObjectKind.KEY, 2)) + b"of the future"
    with pytest.raises(NewerFormat, match="format 2"):
        disclose(ObjectKind.KEY, NAME, body + blake3(body).digest(length=16))


@given(KINDS, KINDS)
def test_an_object_is_not_taken_for_another(kind: ObjectKind, other: ObjectKind) -> None:
    if kind != other:
        with pytest.raises(Corrupt, match="kind"):
            disclose(other, NAME, enclose(kind, b"payload"))
