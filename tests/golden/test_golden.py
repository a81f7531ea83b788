"""Golden stores: what an earlier version wrote, this one reads, to the last byte; and it can add to it."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from siltstone.store import ChunkId, Passphrase, Secret, Store, chunk_id, open_backend, pack_object, parse_key_file

from .describe import describe
from .make import FORMAT, KEY_FILE, PASSPHRASE, STORES, TREE


def open_golden(name: str, secret: Secret | None = None, *, folder: Path = FORMAT) -> Store:
    encrypted, _ = STORES[name]
    if encrypted and secret is None:
        secret = parse_key_file(KEY_FILE.read_text())
    return Store.open(open_backend(str(folder / name)), secret)


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FORMAT / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", STORES)
def test_everything_is_as_it_was_recorded(name: str) -> None:
    found, right = describe(open_golden(name)), expected(name)
    assert found.keys() == right.keys()
    for part, content in right.items():
        assert found[part] == content, part
    assert len(found["leases"]) == 1


def test_every_secret_opens_it() -> None:
    by_passphrase = open_golden("encrypted", Passphrase(PASSPHRASE))
    by_key_file = open_golden("encrypted")
    assert by_passphrase.ring == by_key_file.ring


@pytest.mark.parametrize("name", STORES)
def test_it_is_whole_and_small(name: str) -> None:
    store = open_golden(name)
    sizes = {info.name: info.size for info in store.backend.list("")}
    for each in sizes:
        if each.startswith(("packs/", "index/")):
            assert each.endswith("/" + blake3(store.backend.get(each)).hexdigest())
    folders = Counter(each.split("/")[0] for each in sizes)
    keys = {"keys": 2} if STORES[name][0] else {"config-copy": 1}
    assert folders == {"config": 1, "packs": 3, "index": 3, "backups": 3, "sessions": 1, "verified": 1, **keys}
    assert sum(sizes.values()) < 100 << 10


@pytest.mark.parametrize("name", STORES)
def test_the_index_names_every_chunk(name: str) -> None:
    store = open_golden(name)
    for chunk, (pack, frame, slot, _, _) in expected(name)["chunks"].items():
        assert store.index.find(ChunkId(bytes.fromhex(chunk))) == (pack, frame, slot)
    assert not store.index.damaged
    assert {pack_object(pack) for pack in store.index.packs()} == {info.name for info in store.backend.list("packs/")}


@pytest.mark.parametrize("name", STORES)
def test_it_holds_one_of_everything(name: str) -> None:
    """So that reading it means something."""
    right = expected(name)
    newest = right["entries"]["backups/golden/0/2"]
    kinds = {entry["mode"] >> 12 for entry in newest}
    assert kinds == {0o01, 0o02, 0o04, 0o10, 0o12}
    assert any(entry["indirect"] for entry in newest)
    assert any(len(row["index"]) for level in right["levels"].values() for row in level["sets"])
    assert Counter(tuple(entry["link"]) for entry in newest if entry["link"]).most_common(1)[0][1] >= 2
    assert any(entry["xattrs"] for entry in right["entries"]["backups/golden/0/0"])
    assert any(b"\xff" in bytes.fromhex(entry["path"]) for entry in newest)
    assert [level["kind"] for _, level in sorted(right["levels"].items())] == ["full", "incr", "diff"]
    paths = {bytes.fromhex(entry["path"]).decode("utf-8", "surrogateescape") for entry in newest}
    assert f"{TREE}/notes/new.txt" in paths
    assert f"{TREE}/gone" not in paths
    assert {codec for store in (open_golden(name),) for codec in codecs(store)} == {0, 1 if STORES[name][0] else 2}


def codecs(store: Store) -> set[int]:
    return {frame.codec for pack in store.index.packs() for frame in store.footer(pack).frames}


@pytest.mark.parametrize("name", STORES)
def test_this_version_adds_to_it(name: str, tmp_path: Path) -> None:
    shutil.copytree(FORMAT / name, tmp_path / name)
    store = open_golden(name, folder=tmp_path)
    with store.writer() as writer:
        ids = writer.store_run(memoryview(b"added later"), [11])
        writer.commit("backups/later/0/0", {"chunks": ids})
    after = open_golden(name, folder=tmp_path)
    assert after.read_chunk(chunk_id(b"added later", after.ring.id_key)) == b"added later"
    right = expected(name)
    for chunk, (_, _, _, length, _) in right["chunks"].items():
        assert len(after.read_chunk(ChunkId(bytes.fromhex(chunk)))) == length
