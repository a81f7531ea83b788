"""Parity: what rebuilds whole lost packs. The objects, and the stripes that they make. Format and both directions.

    parity/<name> := MAGIC | slots, shards, number, 0 (4 u16) | length (u64) | slot ... | check | body
    slot  := name of a pack (32; zeros: empty) | its size (u64)
    check := first 16 bytes of BLAKE3 over all before
    body  := `length` bytes

A stripe is up to `slots` packs, padded with zeros to one length, and `shards` parity objects over them, which are equal
but for number and body: Reed-Solomon over GF(2^8) as zfec has it. Its blocks 0 ... slots - 1 are the packs, the others
the bodies; any `slots` of them all give the rest. An object's name is the BLAKE3 of its bytes.

Rule: packs are ciphertext under public names, so whoever has the storage can make and use parity, without any key; an
object says all that is needed. It proves nothing: what is rebuilt is compared with its name.
"""

import re
import struct
from collections.abc import Iterator

from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .check import Fault, fault_of
from .errors import Corrupt, NewerFormat, ObjectMissing, StoreError
from .ids import PackName
from .parallel import in_parallel

PARITY = "parity/"
MAGIC = b"SILTPA1\n"
CHECK_SIZE = 16

# Heads are read with one small request each; several at once hide what each waits for.
HEAD_THREADS = 8
MOST_BLOCKS = 256  # of GF(2^8)

_HEAD = struct.Struct("<8sHHHHQ")
_SLOT = struct.Struct("<32sQ")
_EMPTY = bytes(32)
_POLICY = re.compile(r"(\d{1,3})/(\d{1,3})")


class Policy(Struct, frozen=True):
    """So many parity objects for so many packs."""

    shards: int
    slots: int

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """'2/16'. Raises ValueError."""
        match = _POLICY.fullmatch(text.strip())
        if not match or not (
            int(match[1]) >= 1 and int(match[2]) >= 1 and int(match[1]) + int(match[2]) <= MOST_BLOCKS
        ):
            raise ValueError(f"'{text}' is no parity")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.shards}/{self.slots}"


class Member(Struct, frozen=True, order=True):
    """A pack in a slot, and its size in bytes."""

    pack: PackName
    size: int


Slots = tuple[Member | None, ...]


class Head(Struct, frozen=True):
    """What a parity object says of itself; `number` counts from 0."""

    policy: Policy
    slots: Slots
    number: int

    @property
    def length(self) -> int:
        """Of each body."""
        return length_of(self.slots)


def length_of(slots: Slots) -> int:
    """The length of the packs of a stripe: that of its longest."""
    return max((member.size for member in slots if member), default=0)


def encode_head(head: Head) -> bytes:
    """All that stands before the body."""
    policy = head.policy
    made = _HEAD.pack(MAGIC, policy.slots, policy.shards, head.number, 0, head.length)
    made += b"".join(_SLOT.pack(bytes.fromhex(m.pack), m.size) if m else bytes(_SLOT.size) for m in head.slots)
    return made + blake3(made).digest(length=CHECK_SIZE)


def head_size(policy: Policy) -> int:
    """Bytes of `encode_head`."""
    return _HEAD.size + policy.slots * _SLOT.size + CHECK_SIZE


def decode_head(name: str, data: bytes) -> Head:
    """The head that `data`, the beginning of a parity object, holds. Raises Corrupt, NewerFormat."""
    if len(data) < _HEAD.size:
        raise Corrupt(name, "it is truncated")
    magic, slots, shards, number, _, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        if magic[:6] == MAGIC[:6] and magic[6:7].isdigit() and magic[7:] == MAGIC[7:]:
            raise NewerFormat(f"{name}: parity of a newer format", hint="upgrade silt on this host")
        raise Corrupt(name, "it is no parity object")
    end = _HEAD.size + slots * _SLOT.size
    if len(data) < end + CHECK_SIZE or blake3(data[:end]).digest(length=CHECK_SIZE) != data[end : end + CHECK_SIZE]:
        raise Corrupt(name, "its head is damaged")
    rows = _SLOT.iter_unpack(data[_HEAD.size : end])
    members = tuple(None if pack == _EMPTY else Member(PackName(pack.hex()), size) for pack, size in rows)
    head = Head(Policy(shards, slots), members, number)
    if head.length != length or number >= shards:
        raise Corrupt(name, "it contradicts itself")
    return head


def is_head(name: str, data: bytes) -> bool:
    """Whether the beginning of a parity object is sound, and holds all of its head."""
    try:
        decode_head(name, data)
    except (Corrupt, NewerFormat):
        return False
    return True


class Stripe(Struct, frozen=True):
    """Packs and the parity over them; `objects` are the names of those parity objects that are there, by number."""

    policy: Policy
    slots: Slots
    objects: tuple[tuple[int, str], ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """The packs, without the empty slots."""
        return tuple(member for member in self.slots if member)

    @property
    def whole(self) -> bool:
        """Whether every parity object is there."""
        return len({number for number, _ in self.objects}) == self.policy.shards


def read_stripes(backend: Backend) -> tuple[list[Stripe], list[Fault]]:
    """Every stripe of a store, and the parity objects whose head cannot be read. Raises BackendError, NewerFormat."""
    found: dict[tuple[Policy, Slots], list[tuple[int, str]]] = {}
    faults: list[Fault] = []
    names = [info.name for info in backend.list(PARITY)]
    for name, head in zip(names, in_parallel(lambda name: _read_head(backend, name), names, HEAD_THREADS), strict=True):
        if isinstance(head, Head):
            found.setdefault((head.policy, head.slots), []).append((head.number, name))
        elif head is not None:
            faults.append(head)
    return [Stripe(*key, tuple(sorted(objects))) for key, objects in found.items()], faults


def _read_head(backend: Backend, name: str) -> Head | Fault | None:
    """None for an object that went meanwhile."""
    try:
        data = backend.get(name, 0, 2048)
        if len(data) == 2048 and (size := head_size(Policy(0, _HEAD.unpack_from(data)[1]))) > len(data):
            data = backend.get(name, 0, size)
        return decode_head(name, data)
    except ObjectMissing:
        return None
    except NewerFormat:
        raise
    except StoreError as error:
        return fault_of(name, error, backend)


def stripe_of(stripes: list[Stripe]) -> dict[PackName, Stripe]:
    """Pack -> the stripe that covers it; one with all its parity, where there are several."""
    covered: dict[PackName, Stripe] = {}
    for stripe in sorted(stripes, key=lambda stripe: stripe.whole):
        covered |= dict.fromkeys(_packs(stripe), stripe)
    return covered


def _packs(stripe: Stripe) -> Iterator[PackName]:
    return (member.pack for member in stripe.members)
