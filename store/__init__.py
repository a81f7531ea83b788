"""The store: bytes under names. It knows chunks, frames, packs, index segments, keys, sessions and roots, and no file.

Words: a *chunk* is a run of plaintext bytes, known by its keyed id. A *frame* is chunks compressed and sealed together.
A *pack* is an immutable object of frames with a sealed footer. An *index segment* is a sorted table from chunk id to
place. A *session* is one writer at work. A *root* is the commit of a backup. A *backend* is where objects live.

This module is the layer's front door: other layers import from here and from nowhere deeper.
"""

from .backend import Backend, ObjectInfo, open_backend
from .check import Fault, check_small_objects, fault_of, raise_if_away
from .chunk_table import ChunkTable, footer_keys
from .config import Config
from .dry import DryWriter
from .envelope import ObjectKind, disclose, enclose
from .errors import (
    BackendError,
    Corrupt,
    NewerFormat,
    NoKey,
    NotAStore,
    ObjectExists,
    ObjectMissing,
    SiltError,
    StoreError,
    StoreFull,
    WrongKey,
)
from .frame import FRAME_SIZE, NewFrame
from .ids import ChunkId, PackName, Place, chunk_id, pack_object
from .keys import KeyFile, Passphrase, Secret, make_key_file, parse_key_file
from .pack import Footer, FrameInfo
from .pack_list import PackList, listed_packs
from .parallel import in_parallel
from .reader import list_packs
from .scrub import PackReport, PackScrubber
from .segment_scan import SegmentScan
from .store import Store
from .verified import VerifiedNotes
from .writer import Writer

__all__ = [
    "FRAME_SIZE",
    "Backend",
    "BackendError",
    "ChunkId",
    "ChunkTable",
    "Config",
    "Corrupt",
    "DryWriter",
    "Fault",
    "Footer",
    "FrameInfo",
    "KeyFile",
    "NewFrame",
    "NewerFormat",
    "NoKey",
    "NotAStore",
    "ObjectExists",
    "ObjectInfo",
    "ObjectKind",
    "ObjectMissing",
    "PackList",
    "PackName",
    "PackReport",
    "PackScrubber",
    "Passphrase",
    "Place",
    "Secret",
    "SegmentScan",
    "SiltError",
    "Store",
    "StoreError",
    "StoreFull",
    "VerifiedNotes",
    "Writer",
    "WrongKey",
    "check_small_objects",
    "chunk_id",
    "disclose",
    "enclose",
    "fault_of",
    "footer_keys",
    "in_parallel",
    "list_packs",
    "listed_packs",
    "make_key_file",
    "open_backend",
    "pack_object",
    "parse_key_file",
    "raise_if_away",
]
