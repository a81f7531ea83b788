"""Computing parity, and packs from parity, slice by slice.

Rule: whatever is read is compared with its name while it is used; what proves damaged is named, and nothing that came
of it is kept. Memory: one slice a block of the stripe, and the whole of what is made (the parity, or packs rebuilt).
zfec does 500 MB/s of packs a core here (2/16), less than storage and hashing, so more threads only read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from mmap import mmap

from blake3 import blake3
from msgspec import Struct, field

from .backend import Backend
from .check import raise_if_away
from .errors import BackendError, ObjectMissing, StoreError
from .ids import PackName, pack_object
from .parity import Head, Member, Policy, Stripe, encode_head, head_size, length_of
from .parity_plan import Change

# Of each block at a time: long enough for reads past the page cache.
SLICE = 1 << 20
READERS = 8


class Unreadable(StoreError):
    """Objects (names) that are not what their names say, or not there."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(f"{', '.join(sorted(names))}: damaged or missing")
        self.names = frozenset(names)


class _Source(Struct):
    """An object that is read from front to back; `skip` bytes are its head, of which only the hash takes notice."""

    name: str
    size: int
    skip: int = 0
    hasher: blake3 = field(default_factory=blake3)
    buffer: memoryview = field(default_factory=lambda: memoryview(mmap(-1, SLICE)))
    bad: bool = False

    def read(self, backend: Backend, at: int, length: int) -> memoryview:
        """A slice of the body, with zeros behind its end."""
        if not at and self.skip:
            self.hasher.update(self._get(backend, 0, self.skip))
        wanted = max(0, min(length, self.size - at))
        got = self._get(backend, self.skip + at, wanted)
        self.hasher.update(got)
        if len(got) < length:
            self.buffer[len(got) : length] = bytes(length - len(got))
        return self.buffer[:length]

    def _get(self, backend: Backend, start: int, length: int) -> memoryview:
        if self.bad or not length:
            return self.buffer[:0]
        try:
            got = backend.read(self.name, start, self.buffer[:length])
        except BackendError:
            raise_if_away(backend)
            got = self.buffer[:0]
        except ObjectMissing:
            got = self.buffer[:0]
        if got.obj is not self.buffer.obj:
            self.buffer[: len(got)] = got
        self.bad = len(got) < length
        return self.buffer[: len(got)]

    @property
    def intact(self) -> bool:
        return not self.bad and self.hasher.hexdigest() == self.name[-64:]


class ParityCoder:
    """Reads and computes; writes nothing. One thread at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._readers = ThreadPoolExecutor(READERS, "silt-parity")

    def close(self) -> None:
        """End the threads."""
        self._readers.shutdown()

    def objects(self, policy: Policy, change: Change) -> list[tuple[str, list[bytes | memoryview]]]:
        """(name, pieces) of each parity object of the changed stripe.

        From the parity that is there, where what it needs of that and of the packs that go can be read; else from all
        packs of the stripe. Raises Unreadable.
        """
        try:
            bodies = self._amended(policy, change)
        except Unreadable:
            if change.old is None:
                raise
            bodies = self._amended(policy, Change(None, change.slots))
        made: list[tuple[str, list[bytes | memoryview]]] = []
        for number, body in enumerate(bodies):
            head = encode_head(Head(policy, change.slots, number))
            view = memoryview(body)[: length_of(change.slots)]
            hasher = blake3(head)
            hasher.update(view)
            made.append((hasher.hexdigest(), [head, view]))
        return made

    def _amended(self, policy: Policy, change: Change) -> list[bytearray]:
        old = change.old.slots if change.old else (None,) * policy.slots
        bodies = [bytearray(max(length_of(old), length_of(change.slots))) for _ in range(policy.shards)]
        if change.old:
            objects = dict(change.old.objects)
            size, length = head_size(policy), length_of(old)
            sources = {number: _Source(objects[number], length, size) for number in range(policy.shards)}
            for at, slices in self._slices(sources, length):
                for number, data in slices.items():
                    bodies[number][at : at + len(data)] = data
        pairs = list(enumerate(zip(old, change.slots, strict=True)))
        self._fold(policy, {at: was for at, (was, now) in pairs if was and was != now}, bodies)
        self._fold(policy, {at: now for at, (was, now) in pairs if now and was != now}, bodies)
        return bodies

    def _fold(self, policy: Policy, members: Mapping[int, Member], bodies: Sequence[bytearray]) -> None:
        """Add to the parity what these packs contribute; for one that is in it that takes it out."""
        import numpy
        from zfec import Encoder

        encoder = Encoder(policy.slots, policy.slots + policy.shards)
        numbers = list(range(policy.slots, policy.slots + policy.shards))
        sources = {at: _Source(pack_object(member.pack), member.size) for at, member in members.items()}
        zeros = bytes(SLICE)
        for at, slices in self._slices(sources, max((m.size for m in members.values()), default=0)):
            length = len(next(iter(slices.values())))
            blocks = [slices.get(slot, memoryview(zeros)[:length]) for slot in range(policy.slots)]
            for body, made in zip(bodies, encoder.encode(blocks, numbers), strict=True):
                whole = numpy.frombuffer(body, numpy.uint8)[at : at + length]
                whole ^= numpy.frombuffer(made, numpy.uint8)

    def rebuild(self, stripe: Stripe, wanted: Collection[PackName]) -> dict[PackName, memoryview]:
        """The packs of the stripe that are wanted, as far as what is left of it gives them; each is what its name says.

        What proves damaged on the way counts as lost, too.
        """
        bad: set[str] = set()
        slots = {at: member for at, member in enumerate(stripe.slots) if member and member.pack in wanted}
        while True:
            sources = self._choose(stripe, slots, bad)
            if sources is None:
                return {}
            try:
                made = self._decode(stripe, slots, sources)
            except Unreadable as error:
                bad |= error.names
                continue
            return {
                member.pack: memoryview(made[at]) for at, member in slots.items()
                if blake3(made[at]).hexdigest() == member.pack
            }  # fmt: skip

    def _choose(self, stripe: Stripe, wanted: Collection[int], bad: Collection[str]) -> dict[int, _Source] | None:
        """As many blocks as are needed: packs first. None where there are too few."""
        slots, found = stripe.policy.slots, dict[int, _Source]()
        for at, member in enumerate(stripe.slots):
            if member and at not in wanted and pack_object(member.pack) not in bad:
                found[at] = _Source(pack_object(member.pack), member.size)
        needed = slots - stripe.slots.count(None)
        parity = [(number, name) for number, name in stripe.objects if name not in bad]
        for number, name in dict(parity).items():
            if len(found) < needed:
                found[slots + number] = _Source(name, length_of(stripe.slots), head_size(stripe.policy))
        return found if len(found) == needed else None

    def _decode(
        self, stripe: Stripe, wanted: Mapping[int, Member], sources: Mapping[int, _Source]
    ) -> dict[int, bytearray]:
        from zfec import Decoder

        slots = stripe.policy.slots
        decoder = Decoder(slots, slots + stripe.policy.shards)
        made = {at: bytearray(member.size) for at, member in wanted.items()}
        empty = [at for at, member in enumerate(stripe.slots) if member is None]
        zeros = bytes(SLICE)
        for at, slices in self._slices(dict(sources), length_of(stripe.slots)):
            length = len(next(iter(slices.values())))
            blocks = {**slices, **dict.fromkeys(empty, memoryview(zeros)[:length])}
            parity = iter(sorted(number for number in blocks if number >= slots))
            numbers = [slot if slot in blocks else next(parity) for slot in range(slots)]
            plain = decoder.decode([blocks[number] for number in numbers], numbers)
            for slot, body in made.items():
                left = max(0, min(length, len(body) - at))
                body[at : at + left] = plain[slot][:left]
        return made

    def _slices(self, sources: Mapping[int, _Source], length: int) -> Iterator[tuple[int, dict[int, memoryview]]]:
        """(offset, slices by the keys of the sources), to the end. Raises Unreadable then, if one of them is."""
        for at in range(0, length, SLICE):
            size = min(SLICE, length - at)
            read = partial(_Source.read, backend=self._backend, at=at, length=size)
            yield at, dict(zip(sources, self._readers.map(read, sources.values()), strict=True))
        bad = {source.name for source in sources.values() if not source.intact}
        if bad:
            raise Unreadable(bad)
