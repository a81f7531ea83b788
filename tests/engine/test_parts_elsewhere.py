"""Parts, wherever else roots count: copies of a store, its repair, what levels cost, and hosts that may only add."""

from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from siltstone.engine import (
    Budget,
    LevelRef,
    Noted,
    apply_remedies,
    collect,
    incomplete_levels,
    list_levels,
    plan_repair,
    sync_stores,
    verify_store,
)  # fmt: skip
from siltstone.engine.level_cost import costs
from siltstone.engine.parts import part_names
from siltstone.store import KeyFile, Store, are_twins, export_key, make_twin, recover, unlock
from siltstone.store.directory import DirectoryBackend
from tests.backed_up import ignore
from tests.backing_up import KEY
from tests.hosts import Site, cluster_text
from tests.store.backends import MemoryBackend

NODES = ("node1", "node2")
FILES = {"node1": {"etc/name": "one\n", "vault/a": "a" * 5000, "apps/x": "x\n"}, "node2": {"etc/name": "two\n"}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A cluster of two nodes; the first has sent its parts."""
    made = Site(tmp_path, cluster_text(NODES), NODES, tmp_path / "store")
    for host, files in FILES.items():
        made.fill(host, files)
    made.back_up("node1")
    return made


def target_of(site: Site, kind: str) -> MemoryBackend:
    backend = MemoryBackend()
    if kind == "twin":
        make_twin(site.store().backend, backend)
    else:
        Store.init(backend, [(KEY, "other")])
    return backend


@pytest.mark.parametrize("kind", ["twin", "other keys"])
def test_a_copy_has_what_hosts_have_sent(site: Site, kind: str) -> None:
    backend = target_of(site, kind)
    assert are_twins(site.store().opened, Store.open(backend, KEY).opened) == (kind == "twin")
    first = sync_stores(site.store(), Store.open(backend, KEY), report=ignore)
    assert (len(first.parts), first.levels, first.failed) == (3, [], [])
    (waiting,) = incomplete_levels(Store.open(backend, KEY))
    assert list(map(str, waiting.missing)) == ["conf@node2"]
    assert not verify_store(Store.open(backend, KEY), budget=Budget.parse("all"), report=ignore).damaged
    again = sync_stores(site.store(), Store.open(backend, KEY), report=ignore)
    assert (again.parts, again.there) == ([], 3)

    site.back_up("node2")
    whole = sync_stores(site.store(), Store.open(backend, KEY), report=ignore)
    assert (whole.levels, whole.parts) == (["backups/app/0/0"], [])
    collect(Store.open(backend, KEY), report=ignore)
    assert part_names(Store.open(backend, KEY)) == []
    assert not verify_store(Store.open(backend, KEY), budget=Budget.parse("all"), report=ignore).damaged


@pytest.mark.parametrize("kind", ["twin", "other keys"])
def test_a_damaged_part_comes_back_from_another_store(site: Site, kind: str) -> None:
    backend = target_of(site, kind)
    sync_stores(site.store(), Store.open(backend, KEY), report=ignore)
    victim = next((site.store_folder / "parts").rglob("conf"))
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-3])
    alone = list(plan_repair(recover(DirectoryBackend(str(site.store_folder)), KEY)))
    assert [(each.object, each.apply, "--from" in each.advice) for each in alone] == [
        ("parts/app/0/0/node1/conf", None, True)
    ]
    remedies = list(plan_repair(recover(DirectoryBackend(str(site.store_folder)), KEY), Store.open(backend, KEY)))
    assert apply_remedies(remedies, ignore) == []
    assert not verify_store(site.store(), report=ignore).damaged
    assert site.back_up("node2").level is not None


def test_what_waiting_levels_need_costs_nobody_else(site: Site) -> None:
    """What a whole level shares with one that waits is not the whole one's own, and would not be free without it."""
    site.back_up("node2")
    site.back_up("node1")
    store = site.store()
    (whole,), (waiting,) = list_levels(store), incomplete_levels(store)
    assert waiting.level is not None
    alone = costs(store, [whole], {whole.ref}, ignore)
    both = costs(store, [whole, waiting.level], {whole.ref}, ignore)
    assert 0 < both.going < alone.going
    assert both.levels[whole.ref] == both.going


@pytest.fixture
def adding(site: Site) -> Site:
    """The same, but both nodes have write-only keys; nothing was sent yet."""
    made = replace(site, store_folder=site.folder / "second")
    backend = made.store().backend
    made.keys = {
        host: export_key(unlock(backend, KEY), KeyFile(bytes([n]) * 32), label=host, role="write")
        for n, host in enumerate(NODES, 1)
    }
    return made


def test_hosts_that_may_only_add_send_parts(adding: Site) -> None:
    first, second = (adding.back_up(host) for host in NODES)
    assert (first.level, list(map(str, first.missing))) == (None, ["conf@node2"])
    assert (second.level, second.missing) == (None, ())
    assert any(isinstance(event, Noted) and "'silt gc', makes 0/0 whole" in event.message for event in adding.events)
    assert list_levels(adding.store()) == []
    collect(adding.store(), report=ignore)
    (level,) = list_levels(adding.store())
    assert {(files.name, files.host, files.files) for files in level.sets} == {
        ("conf", "node1", 1), ("conf", "node2", 1), ("vault", "node1", 1), ("apps", "node1", 1)
    }  # fmt: skip
    assert not verify_store(adding.store(), budget=Budget.parse("all"), report=ignore).damaged

    adding.fill("node2", {"etc/more": "more\n"})
    refs = [adding.back_up(host, kind="incr").ref for host in NODES]
    assert refs == [LevelRef("app", 0, 1)] * 2


def test_incrementals_go_on_although_nobody_made_the_level_whole(adding: Site) -> None:
    for kind, wanted in (("full", "0/0"), ("incr", "0/1"), ("incr", "0/2"), ("full", "1/0")):
        for host in NODES:
            assert str(adding.back_up(host, kind=kind).ref) == wanted
    collect(adding.store(), report=ignore)
    levels = list_levels(adding.store())
    assert [(str(level.ref), level.kind, level.parent) for level in levels] == [
        ("0/0", "full", None), ("0/1", "incr", 0), ("0/2", "incr", 1), ("1/0", "full", None)
    ]  # fmt: skip
    assert len({len(level.sets) for level in levels}) == 1


def test_a_host_that_may_read_finishes_what_others_sent(adding: Site) -> None:
    del adding.keys["node1"]
    adding.back_up("node1")
    assert adding.back_up("node2").level is None
    assert str(adding.back_up("node1").ref) == "0/1"
    assert [str(level.ref) for level in list_levels(adding.store())] == ["0/0"]


class TestKeptParts:
    """What a host that may only add keeps of its parts: it reads what changed, and relies on nothing else."""

    @pytest.fixture
    def kept(self, adding: Site) -> dict[str, str]:
        """Both nodes have sent level 0/0, and each keeps what it needs in a folder."""
        folders = {host: str(adding.folder / f"kept-{host}") for host in NODES}
        for host in NODES:
            assert adding.back_up(host, keep_in=folders[host]).stats["unchanged"] == 0
        return folders

    @pytest.mark.parametrize("whole", [True, False], ids=["made whole", "waiting"])
    def test_an_incremental_reads_what_changed(self, adding: Site, kept: dict[str, str], whole: bool) -> None:
        if whole:
            collect(adding.store(), report=ignore)
            assert not part_names(adding.store())
        adding.fill("node1", {"vault/b": "new"})
        for dry_run in (True, False):
            done = adding.back_up("node1", keep_in=kept["node1"], dry_run=dry_run)
            assert (str(done.ref), done.stats["read_bytes"], done.stats["changed"]) == ("0/1", 3, 1)
        assert adding.back_up("node2", keep_in=kept["node2"]).stats["read_bytes"] == 0
        collect(adding.store(), report=ignore)
        assert [level.stats["files"] for level in list_levels(adding.store())] == [4, 5]
        assert not verify_store(adding.store(), budget=Budget.parse("all"), report=ignore).damaged

    @pytest.mark.parametrize("size", [5000, 3 << 20])
    def test_what_the_store_does_not_have_is_read_again(
        self, adding: Site, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        """Another store under the same id, which has a level of the same number, and not the same contents."""
        monkeypatch.setattr("siltstone.engine.extent_list.DIRECT", 2)
        (adding.root("node1") / "vault" / "a").write_bytes(Random(2).randbytes(size))
        adding.back_up("node1", keep_in=kept["node1"])
        vault = 'paths = ["$ROOT/vault"]'
        other = replace(adding, store_folder=adding.folder / "third")
        make_twin(adding.store().backend, DirectoryBackend(str(other.store_folder), create=True))
        other.text = adding.text.replace(vault, f'{vault}\nexclude = ["a"]')
        for host in NODES:
            other.back_up(host)
        other.text = adding.text
        assert other.back_up("node1", keep_in=kept["node1"]).stats["read_bytes"] == size
        other.back_up("node2", keep_in=kept["node2"])
        collect(other.store(), report=ignore)
        assert [str(level.ref) for level in list_levels(other.store())] == ["0/0", "0/1"]
        assert not verify_store(other.store(), budget=Budget.parse("all"), report=ignore).damaged

    def test_each_part_has_its_own_place(self, adding: Site, kept: dict[str, str]) -> None:
        assert sorted(path.name for path in Path(kept["node1"]).glob("*/app@node1/*")) == ["apps", "conf", "vault"]
        assert sorted(path.name for path in Path(kept["node2"]).glob("*/app@node2/*")) == ["conf"]

    def test_large_files_are_told_by_their_lists(
        self, adding: Site, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of more extents than stand in a row. Lists are handed on where nothing changed; then they are damaged."""
        monkeypatch.setattr("siltstone.engine.extent_list.DIRECT", 2)
        random = Random(1)
        for name in ("large", "other"):
            (adding.root("node1") / "vault" / name).write_bytes(random.randbytes(4 << 20))
        for read in (8 << 20, 0, 0):
            assert adding.back_up("node1", "vault@node1", keep_in=kept["node1"]).stats["read_bytes"] == read
        (adding.root("node1") / "vault" / "other").write_bytes(random.randbytes(4 << 20))
        assert adding.back_up("node1", "vault@node1", keep_in=kept["node1"]).stats["read_bytes"] == 4 << 20
        assert adding.back_up("node1", "vault@node1", keep_in=kept["node1"]).stats["read_bytes"] == 0
        for path in Path(kept["node1"]).glob("*/app@node1/vault/rows-*"):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        done = adding.back_up("node1", "vault@node1", keep_in=kept["node1"])
        assert done.stats["read_bytes"] > 4 << 20
        assert done.stats["new_bytes"] < 10_000  # what is there was found again: manifests alone are new
