"""Copying frames from one pack into another as they lie: no key opens them, only the footer that lists them.

Rule: a pack is read whole and its name compared before anything of it is copied, so that damage is not passed on under
a good name. A frame's data key travels along as a key slot; its associated data are what it holds and not where it
lies, so that it opens in the new pack as it did in the old one.
"""

from collections.abc import Sequence

from blake3 import blake3

from .backend import Backend
from .errors import Corrupt
from .ids import pack_object
from .pack import Footer
from .packer import Packer


def copy_frames(backend: Backend, footer: Footer, numbers: Sequence[int], packer: Packer) -> None:
    """Copy frames by their numbers. Raises Corrupt, ObjectMissing."""
    if not numbers:
        return
    name = pack_object(footer.pack)
    data = backend.get(name)
    if blake3(data).hexdigest() != footer.pack:
        raise Corrupt(name, "bytes of it have changed, and nothing of it was copied")
    view = memoryview(data)
    for number in numbers:
        frame = footer.frames[number]
        packer.add_sealed(view[frame.offset : frame.offset + frame.stored], frame, footer.keys[frame.key_slot])
