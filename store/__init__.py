"""The store: bytes under names. It knows chunks, frames, packs, index segments, keys, sessions and roots, and no file.

Words: a *chunk* is a run of plaintext bytes, known by its keyed id. A *frame* is chunks compressed and sealed together.
A *pack* is an immutable object of frames with a sealed footer. An *index segment* is a sorted table from chunk id to
place. A *session* is one writer at work. A *root* is the commit of a backup. A *backend* is where objects live.

This module is the layer's front door: other layers import from here and from nowhere deeper. What it names is loaded
when it is first asked for, so that the slow derivation of a key can begin before the rest is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import BLOCK, Backend, ObjectInfo, open_backend
    from .bandwidth import Bandwidth
    from .bytes_check import BytesChecker, BytesReport
    from .check import MISSING_OBJECT, Fault, check_small_objects, fault_of, raise_if_away
    from .chunk_table import ChunkTable, footer_keys
    from .collection import Collection, Removed
    from .config import Config
    from .direct import read_into, write_blocks
    from .dry import DryWriter
    from .ending import hurry
    from .envelope import ObjectKind, disclose, enclose
    from .errors import (
        BackendError,
        Corrupt,
        NewerFormat,
        NoKey,
        NotAStore,
        ObjectExists,
        ObjectLocked,
        ObjectMissing,
        SessionOvertaken,
        SiltError,
        StoreError,
        StoreFull,
        VoidRoot,
        WrongKey,
    )
    from .frame import FRAME_SIZE, NewFrame
    from .ids import ChunkId, PackName, Place, chunk_id, is_content_named, pack_object
    from .key_changes import (
        Rotated,
        add_key,
        exchange_key,
        export_key,
        need_to_manage,
        removable,
        remove_key,
        rotate_keys,
    )
    from .key_copy import KeyCopy, Opener, key_copy_text, parse_key_copy
    from .key_objects import KeyObject, newest_generation, read_keys
    from .keyring import Role
    from .keys import KeyFile, KeyInfo, Passphrase, Secret, make_key_file, parse_key_file
    from .local_cache import CachePlace
    from .mark import Marks
    from .opening import OpenStore, read_config, unlock
    from .pack import Footer, FrameInfo
    from .pack_list import MISSING, PackList, listed_packs
    from .page_memory import page_buffer
    from .parallel import REMOTE_THREADS, asked_of, beside, in_parallel
    from .parity import Policy, Stripe, read_stripes, stripe_of
    from .parity_code import ParityCoder
    from .private_file import PrivateWriter, read_private
    from .protection import Protection, policy_of, protect, remove_parity, retire, sound_stripes
    from .reader import REMOTE_RUN, list_packs
    from .recovery import Recovered, recover
    from .reliance import Inherited
    from .remedy import Remedy
    from .replaced import is_healed, is_replaced, move_and_remove, remove_replaced_pack
    from .scrub import PackReport, PackScrubber
    from .segment_scan import SegmentScan
    from .shard import EVERYTHING, Shard
    from .store import Store
    from .twin import CopiedPack, PackCopier, are_twins, make_twin
    from .verdict import Verdict, judge
    from .verified import Notes, scrubbed_notes, verified_notes
    from .writer import Writer

# Module -> names.
_FROM = {
    "backend": "BLOCK Backend ObjectInfo open_backend",
    "bandwidth": "Bandwidth",
    "bytes_check": "BytesChecker BytesReport",
    "check": "MISSING_OBJECT Fault check_small_objects fault_of raise_if_away",
    "chunk_table": "ChunkTable footer_keys",
    "collection": "Collection Removed",
    "config": "Config",
    "direct": "read_into write_blocks",
    "dry": "DryWriter",
    "ending": "hurry",
    "envelope": "ObjectKind disclose enclose",
    "errors": (
        "BackendError Corrupt NewerFormat NoKey NotAStore ObjectExists ObjectLocked ObjectMissing "
        "SessionOvertaken SiltError StoreError StoreFull VoidRoot WrongKey"
    ),
    "frame": "FRAME_SIZE NewFrame",
    "ids": "ChunkId PackName Place chunk_id is_content_named pack_object",
    "key_changes": "Rotated add_key exchange_key export_key need_to_manage removable remove_key rotate_keys",
    "key_copy": "KeyCopy Opener key_copy_text parse_key_copy",
    "key_objects": "KeyObject newest_generation read_keys",
    "keyring": "Role",
    "keys": "KeyFile KeyInfo Passphrase Secret make_key_file parse_key_file",
    "local_cache": "CachePlace",
    "mark": "Marks",
    "opening": "OpenStore read_config unlock",
    "pack": "Footer FrameInfo",
    "pack_list": "MISSING PackList listed_packs",
    "page_memory": "page_buffer",
    "parallel": "REMOTE_THREADS asked_of beside in_parallel",
    "parity": "Policy Stripe read_stripes stripe_of",
    "parity_code": "ParityCoder",
    "private_file": "PrivateWriter read_private",
    "protection": "Protection policy_of protect remove_parity retire sound_stripes",
    "reader": "REMOTE_RUN list_packs",
    "recovery": "Recovered recover",
    "reliance": "Inherited",
    "remedy": "Remedy",
    "replaced": "is_healed is_replaced move_and_remove remove_replaced_pack",
    "scrub": "PackReport PackScrubber",
    "segment_scan": "SegmentScan",
    "shard": "EVERYTHING Shard",
    "store": "Store",
    "twin": "CopiedPack PackCopier are_twins make_twin",
    "verdict": "Verdict judge",
    "verified": "Notes scrubbed_notes verified_notes",
    "writer": "Writer",
}
_MODULE_OF = {name: module for module, names in _FROM.items() for name in names.split()}

__all__ = [
    "BLOCK",
    "EVERYTHING",
    "FRAME_SIZE",
    "MISSING",
    "MISSING_OBJECT",
    "REMOTE_RUN",
    "REMOTE_THREADS",
    "Backend",
    "BackendError",
    "Bandwidth",
    "BytesChecker",
    "BytesReport",
    "CachePlace",
    "ChunkId",
    "ChunkTable",
    "Collection",
    "Config",
    "CopiedPack",
    "Corrupt",
    "DryWriter",
    "Fault",
    "Footer",
    "FrameInfo",
    "Inherited",
    "KeyCopy",
    "KeyFile",
    "KeyInfo",
    "KeyObject",
    "Marks",
    "NewFrame",
    "NewerFormat",
    "NoKey",
    "NotAStore",
    "Notes",
    "ObjectExists",
    "ObjectInfo",
    "ObjectKind",
    "ObjectLocked",
    "ObjectMissing",
    "OpenStore",
    "Opener",
    "PackCopier",
    "PackList",
    "PackName",
    "PackReport",
    "PackScrubber",
    "ParityCoder",
    "Passphrase",
    "Place",
    "Policy",
    "PrivateWriter",
    "Protection",
    "Recovered",
    "Remedy",
    "Removed",
    "Role",
    "Rotated",
    "Secret",
    "SegmentScan",
    "SessionOvertaken",
    "Shard",
    "SiltError",
    "Store",
    "StoreError",
    "StoreFull",
    "Stripe",
    "Verdict",
    "VoidRoot",
    "Writer",
    "WrongKey",
    "add_key",
    "are_twins",
    "asked_of",
    "beside",
    "check_small_objects",
    "chunk_id",
    "disclose",
    "enclose",
    "exchange_key",
    "export_key",
    "fault_of",
    "footer_keys",
    "hurry",
    "in_parallel",
    "is_content_named",
    "is_healed",
    "is_replaced",
    "judge",
    "key_copy_text",
    "list_packs",
    "listed_packs",
    "make_key_file",
    "make_twin",
    "move_and_remove",
    "need_to_manage",
    "newest_generation",
    "open_backend",
    "pack_object",
    "page_buffer",
    "parse_key_copy",
    "parse_key_file",
    "policy_of",
    "protect",
    "raise_if_away",
    "read_config",
    "read_into",
    "read_keys",
    "read_private",
    "read_stripes",
    "recover",
    "removable",
    "remove_key",
    "remove_parity",
    "remove_replaced_pack",
    "retire",
    "rotate_keys",
    "scrubbed_notes",
    "sound_stripes",
    "stripe_of",
    "unlock",
    "verified_notes",
    "write_blocks",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'siltstone.store' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
