"""The restore matrix, row by row: folders stand for hosts, and what comes back is read from the disk.

What a database brings is tried with real servers in tests/postgres/test_restore_onto.py; here a level of a deployment
with an external database is restored as far as its files go, which needs the rule about missing parts to be overridden.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import (
    RULES,
    Level,
    Nature,
    NotAllowed,
    NothingSelected,
    RestoreResult,
    check_allowed,
    configuration_name,
    judge,
    level_for_onto,
    parse_deployment,
    plan_onto,
    read_restores,
    restore_onto,
    verify_store,
)
from siltstone.engine.hosts import CONFIGURATIONS
from siltstone.engine.path_mapping import mapped, moved, moves_of
from tests.backed_up import ignore
from tests.hosts import Site, cluster_text, deployment_text

TOP = 'version = "4.10.7"\nprivilege = "privileged"\n'
DATABASE = '[postgres]\ndsn = "host=nowhere"\nhost = "db"\n'
APP, DB, SHARE = "[hosts.app]\n", '[hosts.db]\nrole = "database"\n', '[hosts.files]\nrole = "share"\n'
FILES = {"etc/name": "the name\n", "etc/deep/er": "deeper\n", "vault/a": "a" * 5000, "apps/x": "x\n"}


def text_of(configuration: str, top: str = TOP) -> tuple[str, tuple[str, ...]]:
    """The deployment file, and the hosts that have files."""
    on_share = 'host = "files"'
    if configuration == "standalone":
        return deployment_text(top=top), ("",)
    if configuration == "external-database":
        return deployment_text(APP + DB, more=DATABASE, top=top), ("app",)
    if configuration == "external-shares":
        return deployment_text(APP + SHARE, vault=on_share, top=top), ("app", "files")
    if configuration == "external-database-and-shares":
        return deployment_text(APP + DB + SHARE, vault=on_share, more=DATABASE, top=top), ("app", "files")
    return cluster_text(("node1", "node2"), top=top), ("node1", "node2")


def site_of(configuration: str, folder: Path, store: Path, top: str = TOP) -> Site:
    text, hosts = text_of(configuration, top)
    return Site(folder, text, hosts, store)


def holds(host: str) -> dict[str, str]:
    """The files that a host has, in a deployment of which it is a part."""
    if host == "files":
        return {name: text for name, text in FILES.items() if name.startswith("vault/")}
    if host == "node2":
        return {"etc/name": "the second\n"}
    if host == "app":
        return dict(FILES)
    return dict(FILES)


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Site]:
    """A backup of each configuration, by name."""
    made: dict[str, Site] = {}
    for configuration in CONFIGURATIONS:
        folder = tmp_path_factory.mktemp(configuration)
        site = site_of(configuration, folder / "origin", folder / "store")
        for host in site.hosts:
            site.fill(host, holds(host))
            site.back_up(host)
        assert configuration_name(site.deployment(site.hosts[0])) == configuration
        made[configuration] = site
    return made


def level_of(site: Site) -> Level:
    return level_for_onto(site.store(), "0/0")[0]


def onto(origin: Site, goal: Site, host: str, *allowed: str, set_name: str | None = None) -> RestoreResult | None:
    """What one host of the destination restores."""
    store = origin.store()
    level, missing, _ = level_for_onto(store, "0/0")
    plan = plan_onto(level, goal.deployment(host), set_name=set_name, missing=missing)
    broken = check_allowed(plan, allowed, ignore)
    return restore_onto(store, level, plan, host, allowed=broken, numeric_ids=True, report=ignore)


def found(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def wanted(origin: str, goal: Site, host: str) -> dict[str, str]:
    """What has to be on a host of the destination, whatever the plan says."""
    everything = dict(FILES)
    sets = {"vault"} if host == "files" else {"etc", "vault", "apps"}
    if host == "node2":
        sets = {"etc"}
        if origin == "cluster":
            everything["etc/name"] = "the second\n"
            del everything["etc/deep/er"]
    if "files" in goal.hosts and host != "files":
        sets.discard("vault")
    return {name: text for name, text in everything.items() if name.split("/")[0] in sets}


@pytest.mark.parametrize("destination", CONFIGURATIONS)
@pytest.mark.parametrize("origin", CONFIGURATIONS)
def test_every_row_of_the_matrix(origins: dict[str, Site], tmp_path: Path, origin: str, destination: str) -> None:
    goal = site_of(destination, tmp_path / "goal", tmp_path / "none")
    allowed = ("incomplete",) if "database" in origin else ()
    for host in goal.hosts:
        result = onto(origins[origin], goal, host, *allowed)
        assert result is not None
        assert (result.failures, result.warnings) == ((), 0)
        assert found(goal.root(host)) == wanted(origin, goal, host)


@pytest.mark.parametrize("destination", CONFIGURATIONS)
@pytest.mark.parametrize("origin", CONFIGURATIONS)
@pytest.mark.parametrize(
    ("rule", "top"),
    [
        ("version-mismatch", 'version = "4.10.6"\nprivilege = "privileged"\n'),
        ("privilege-mismatch", 'version = "4.10.7"\nprivilege = "unprivileged"\n'),
    ],
)
def test_another_version_or_class_is_refused(
    origins: dict[str, Site], tmp_path: Path, origin: str, destination: str, rule: str, top: str
) -> None:
    goal = site_of(destination, tmp_path / "goal", tmp_path / "none", top)
    with pytest.raises(NotAllowed, match=rule) as caught:
        onto(origins[origin], goal, goal.hosts[0])
    assert rule in caught.value.rules
    assert not goal.root(goal.hosts[0]).exists()


def test_a_rule_is_overridden_by_its_name(origins: dict[str, Site], tmp_path: Path) -> None:
    goal = site_of("standalone", tmp_path / "goal", tmp_path / "none", 'version = "5.0"\nprivilege = "privileged"\n')
    with pytest.raises(NotAllowed, match=r"version-mismatch: the version of the level is 4\.10\.7"):
        onto(origins["standalone"], goal, "", "privilege-mismatch")
    assert onto(origins["standalone"], goal, "", "version-mismatch") is not None
    assert found(goal.root("")) == FILES


def test_the_store_remembers_what_was_overridden(origins: dict[str, Site], tmp_path: Path) -> None:
    origin = origins["external-shares"]
    goal = site_of("cluster", tmp_path / "goal", tmp_path / "none", 'version = "5.0"\nprivilege = "privileged"\n')
    onto(origin, goal, "node2", "version-mismatch")
    notes = read_restores(origin.store(), level_of(origin).ref)
    (note,) = [note for note in notes if note.allowed and note.onto == "node2"]
    assert (note.onto, note.configuration, note.host) == ("node2", "cluster", os.uname().nodename)
    assert [each.rule for each in note.allowed] == ["version-mismatch"]
    assert "4.10.7" in note.allowed[0].sentence
    assert note.ended is not None
    assert (note.ended.files, note.ended.failures) == (2, 0)
    assert not verify_store(origin.store(), report=ignore).damaged
    victim = origin.store_folder / f"{note.name}/begun"
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-1])
    (damage,) = verify_store(origin.store(), report=ignore).damaged
    assert damage.object == f"{note.name}/begun"
    victim.unlink()


def test_it_is_remembered_before_anything_is_written(
    origins: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in the middle leaves the override on record, and says that it did not end."""

    def crash(*_: object, **__: object) -> None:
        raise OSError("the power went")

    origin = origins["external-shares"]
    goal = site_of("standalone", tmp_path / "goal", tmp_path / "none", 'version = "6"\nprivilege = "privileged"\n')
    monkeypatch.setattr("siltstone.engine.onto_restore.restore_level", crash)
    with pytest.raises(OSError, match="the power went"):
        onto(origin, goal, "", "version-mismatch")
    note = read_restores(origin.store())[-1]
    assert (note.onto, note.configuration, note.ended) == ("", "standalone", None)


def test_one_file_set_alone(origins: dict[str, Site], tmp_path: Path) -> None:
    """A file share that was lost alone."""
    goal = site_of("external-shares", tmp_path / "goal", tmp_path / "none")
    assert onto(origins["external-shares"], goal, "app", set_name="vault") is None
    assert onto(origins["external-shares"], goal, "files", set_name="vault") is not None
    assert found(goal.root("files")) == holds("files")
    assert not goal.root("app").exists()
    with pytest.raises(NothingSelected, match="level 0/0 has no file set 'valt'") as refused:
        onto(origins["external-shares"], goal, "files", set_name="valt")
    assert refused.value.hint == "it has conf, vault, apps"
    elsewhere = parse_deployment('name = "app"\n[file-sets.other]\npaths = ["/a"]\n')
    with pytest.raises(NothingSelected, match="nothing of level 0/0 has a place there"):
        plan_onto(level_of(origins["external-shares"]), elsewhere, set_name="vault")
    with pytest.raises(NothingSelected, match="has no database"):
        plan_onto(level_of(origins["external-shares"]), goal.deployment("files"), database_only=True)


def test_it_goes_on_where_it_was(origins: dict[str, Site]) -> None:
    """A lost file comes back in place, and what is right is left alone."""
    site = origins["cluster"]
    lost = site.root("node2") / "etc/name"
    lost.unlink()
    result = onto(site, site, "node2")
    assert result is not None
    assert (result.files, result.unchanged_files) == (1, 0)
    assert lost.read_text() == "the second\n"
    again = onto(site, site, "node1")
    assert again is not None
    assert again.files == again.unchanged_files == len(FILES)


def test_a_path_that_the_destination_does_not_name(origins: dict[str, Site], tmp_path: Path) -> None:
    text = text_of("standalone")[0].replace('["$ROOT/etc"]', '["/elsewhere/one", "/elsewhere/two"]')
    goal = Site(tmp_path / "goal", text, ("",), tmp_path / "none")
    with pytest.raises(NotAllowed, match=r"no-place: the destination's file sets do not name .*/etc of conf"):
        onto(origins["standalone"], goal, "")


def test_a_file_set_that_moved_as_a_whole(origins: dict[str, Site], tmp_path: Path) -> None:
    text = text_of("standalone")[0].replace('["$ROOT/vault"]', f'["{tmp_path}/mnt/store"]')
    goal = Site(tmp_path / "goal", text, ("",), tmp_path / "none")
    assert onto(origins["standalone"], goal, "") is not None
    assert found(tmp_path / "mnt/store") == {"a": "a" * 5000}


natures = st.builds(
    Nature, st.sampled_from([*CONFIGURATIONS, ""]), st.sampled_from(["", "1", "2"]),
    st.sampled_from(["", "privileged", "unprivileged"]), st.sampled_from(["", "rhel 8", "rhel 9", "debian 12"]),
)  # fmt: skip


@given(natures, natures)
def test_the_table(origin: Nature, destination: Nature) -> None:
    broken = {refusal.rule for refusal in judge(origin, destination)}
    assert broken <= set(RULES)
    assert ("version-mismatch" in broken) == (origin.version != destination.version)
    assert ("privilege-mismatch" in broken) == (origin.privilege != destination.privilege)
    assert ("configuration" in broken) == ("" in (origin.configuration, destination.configuration))
    families = {origin.os.split(" ")[0], destination.os.split(" ")[0]} - {""}
    assert ("os-mismatch" in broken) == (len(families) == 2)
    assert {refusal.rule for refusal in judge(destination, origin)} == broken


names = st.sampled_from(["a", "b", "ab", "c"])
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.dictionaries(st.sampled_from("XYZ"), paths), st.dictionaries(st.sampled_from("XYZ"), paths), paths)
def test_paths_are_mapped_by_the_longest_value(old: dict[str, str], new: dict[str, str], path: str) -> None:
    pair = mapped(path.encode(), old, new)
    goal = moved(path.encode(), *pair)
    leading = [name for name, value in old.items() if name in new and f"{path}/".startswith(f"{value}/")]
    if not leading:
        assert goal == path.encode()
    else:
        longest = max(len(old[name]) for name in leading)
        goals = {new[name] + path[len(old[name]) :] for name in leading if len(old[name]) == longest}
        assert goal.decode() in goals


@given(st.lists(paths, min_size=1, unique=True), st.dictionaries(st.sampled_from("XYZ"), paths))
def test_nothing_moves_onto_the_same_deployment(roots: list[str], values: dict[str, str]) -> None:
    plain = [root.encode() for root in roots]
    moves, lost = moves_of(plain, plain, values, values)
    assert not lost
    assert all(move.old == move.new for move in moves)
    assert sorted(flat(move.roots for move in moves)) == sorted(plain)


def flat(many: Iterable[tuple[bytes, ...]]) -> list[bytes]:
    return [each for some in many for each in some]
