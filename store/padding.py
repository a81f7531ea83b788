"""Padding: lengths of packs and footers are rounded up, so that they tell little about what is in them.

    padded pack := MAGIC | frame ... | padding | key slot ... | footer, padded | tail
    padding     := a frame of zeros, which hold no chunk, sealed and listed in the footer like any other

Lengths are those of Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux and Ford, "Reducing Metadata Leakage from
Encrypted Files and Communication with PURBs", 2019): a length keeps about as many significant bits as the number of
its bits has. That adds at most 12 % to the smallest, and 3.2 % to what has 64 KiB or more.
Rule: whoever reads a pack needs to know nothing of this.

In a padded store nonces are random (see seal.py): where one frame ends and the next begins is not to be seen either.
It hides nothing of what is asked of the storage, and when.
"""

from msgspec.structs import replace

from .frame import CODEC_PADDING, frame_aad
from .pack import FrameInfo
from .seal import OVERHEAD, Sealer, seal


def padded_size(size: int) -> int:
    """The length of Padmé that is not below `size`."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    zeros = exponent - exponent.bit_length()
    return -(-size >> zeros << zeros) if zeros > 0 else size


def empty_frame(offset: int) -> FrameInfo:
    """The row of a padding of no bytes; the end of a pack is as long with it as with any other."""
    return FrameInfo(offset, OVERHEAD, 0, 0, CODEC_PADDING, [], [])


def pad(empty: FrameInfo, size: int, sealer: Sealer) -> tuple[FrameInfo, bytes]:
    """Padding for a pack that has `size` bytes with an empty one: its row, and itself, sealed."""
    zeros = bytes(padded_size(size) - size)
    return replace(empty, stored=len(zeros) + OVERHEAD), seal(sealer, zeros, frame_aad(CODEC_PADDING, []))
