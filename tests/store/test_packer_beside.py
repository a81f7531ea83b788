"""The packer beside other sessions: how large its packs are, and how many of them are on their way at once."""

import time
from collections.abc import Sequence

import pytest

from siltstone.store import pack_object
from siltstone.store import packer as packer_module
from siltstone.store.backend import Buffer

from .backends import MemoryBackend
from .stores import SMALL_PACK, grains, make_open
from .test_packer import Packing

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer_module, "PACK_SIZE", SMALL_PACK)


def test_beside_others_packs_are_small_until_these_are_known_and_half_as_large_then() -> None:
    memory, asked = MemoryBackend(), iter(range(100))
    packed = Packing(memory, make_open(memory), at_work=lambda: 2 * (next(asked) > 6), first=SMALL_PACK // 4)
    for content in grains(1, 60, SMALL_PACK // 10):
        packed.add(content)
    packed.packer.close()
    packed.packer.stop()
    sizes = [len(memory.objects[pack_object(pack)]) for pack in packed.announced]
    assert max(sizes[:3]) < SMALL_PACK // 3 < max(sizes) < SMALL_PACK * 2 // 3
    assert len(packed.read_all()) == 60


class Crowded(MemoryBackend):
    """As if far away; counts the packs that are on their way at once, and lets others come before one arrives."""

    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[str] = []
        self.most = 0

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        self.under_way.append(name)
        time.sleep(0.01)
        self.most = max(self.most, sum(each.startswith("packs/") for each in self.under_way))
        super().put(name, pieces)
        self.under_way.remove(name)


@pytest.mark.parametrize(("sessions", "most"), [(0, 2), (1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_several_sessions_have_together_as_many_packs_on_their_way_as_one(sessions: int, most: int) -> None:
    backend = Crowded()
    packed = Packing(backend, make_open(backend), at_work=lambda: sessions)
    for content in grains(1, 100, SMALL_PACK // 5):
        packed.add(content)
    packed.packer.close()
    packed.packer.stop()
    assert backend.most <= most
    assert len(packed.read_all()) == 100
