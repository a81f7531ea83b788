"""`silt gc` on a real folder: what is said of what would go, of what went, and of what is in the way."""

import shutil
from pathlib import Path
from random import Random

import pytest

from siltstone.store import Store, open_backend
from tests.backed_up import back_up
from tests.store.stores import small_packs

from .conftest import Silt


def opened(place: Path) -> Store:
    return Store.open(open_backend(str(place)), None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without encryption: app:0/0 shares a little with app:0/1, and gone:0/0 nothing with anything."""
    folder = tmp_path_factory.mktemp("gc")
    store = Store.init(open_backend(str(folder / "store"), create=True), [])
    for tree in ("app", "gone"):
        (folder / tree).mkdir()
    (folder / "app" / "stays").write_bytes(Random(1).randbytes(60_000))
    (folder / "gone" / "file").write_bytes(Random(2).randbytes(200_000))
    with small_packs(pack=600 << 10, frame=32 << 10):
        back_up(store, folder / "gone", name="gone")
        for number, length in enumerate((300_000, 700_000)):
            (folder / "app" / "changes").write_bytes(Random(3 + number).randbytes(length))
            back_up(store, folder / "app", name="app")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, silt: Silt) -> Path:
    """A copy of the store, which `silt` uses."""
    shutil.copytree(made / "store", tmp_path / "store")
    silt.environment["SILT_STORE"] = str(tmp_path / "store")
    return tmp_path / "store"


def objects(place: Path) -> dict[str, int]:
    return {info.name: info.size for info in open_backend(str(place)).list("")}


def facts(said: str) -> dict[str, str]:
    """The lines behind the first: `name   what`."""
    rows = (line.strip().partition("  ") for line in said.splitlines())
    return {name: rest.strip() for name, _, rest in rows if rest}


def test_forgotten_condemned_removed(silt: Silt, made: Path, place: Path) -> None:
    for level in ("app:0/0", "gone:0/0"):
        silt("forget", level, "--undelete-window", "0")
    before = objects(place)
    dry = silt("gc", "--dry-run").out
    assert dry.startswith("a run would remove up to 0 packs that were condemned before\n")
    assert facts(dry)["dead"] == "1 pack of no level"
    assert facts(dry)["copied out of"].startswith("1 pack, of which ")
    assert facts(dry)["frees"].endswith(" of it")
    assert objects(place) == before
    first = silt("gc").out
    assert first.splitlines()[:2] == ["removed 0 packs, 0 B", "condemned generation 1: a later run removes it"]
    assert facts(first)["expired"] == "2 forgotten levels"
    assert {name for name in before if name.startswith("packs/")} < objects(place).keys()
    assert silt("gc", "--dry-run").out.startswith("a run would remove up to 2 packs that were condemned before\n")
    told = silt("gc", "--json").result
    assert (told["removed"]["packs"], told["removed"]["kept"], told["generation"]) == (2, 0, None)
    assert told["removed"]["bytes"] > 500_000
    assert sum(objects(place).values()) < sum(before.values()) - 450_000
    assert silt("gc").out.startswith("removed 0 packs, 0 B\n  store ")
    assert silt("cat", "app:0/1", made / "app" / "stays").stdout == (made / "app" / "stays").read_bytes()
    silt("verify", "--read-data", "100%")


def test_what_can_be_undeleted_stays(silt: Silt, made: Path, place: Path) -> None:
    silt("forget", "gone:0/0")
    packs = {name for name in objects(place) if name.startswith("packs/")}
    for _ in range(2):
        assert "dead" not in facts(silt("gc").out)
    assert packs <= objects(place).keys()
    assert silt("undelete", "gone:0/0").out == "gone:0/0 is back\n"
    assert silt("cat", "gone:0/0", made / "gone" / "file").stdout == (made / "gone" / "file").read_bytes()


def test_a_budget_leaves_something_over(silt: Silt, place: Path) -> None:
    silt("forget", "app:0/0", "--undelete-window", "0")
    assert facts(silt("gc", "--max-copy", "1KiB").out)["left over"] == "1 pack: the budget is used up"
    assert silt("gc", "--max-time", "2h", "--json").result["repacked"] == 1


def test_a_session_at_work_is_waited_for_and_given_up_when_it_is_silent(silt: Silt, place: Path) -> None:
    silt("forget", "gone:0/0", "--undelete-window", "0")
    with opened(place).writer() as session:
        silt("gc")
        waits = facts(silt("gc", "--dry-run").out)["waits for"]
        assert waits == f"1 session at work since before: {session.name}"
        again = silt("gc", "--patience", "0s")
        assert f"note: session {session.name} was given up: its lease was not renewed" in again.err
        assert again.out.startswith("removed 1 pack, ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-time", "2"), "'2' is no time\nhint: write it in s, min or h, as in 90min"),
        (("--max-copy", "5%"), "--max-copy '5%' is no size\nhint: write it as 50GiB"),
        (("--max-share", "5GiB"), "--max-share '5GiB' is no share\nhint: write it as 80%"),
    ],
    ids=["time", "size", "share"],
)
def test_a_limit_that_means_nothing(silt: Silt, words: tuple[str, str], said: str) -> None:
    assert said in silt("gc", *words, code=2).err


def test_most_of_the_store_is_not_removed_by_accident(silt: Silt, place: Path) -> None:
    silt("forget", "app:0/1", "--undelete-window", "0")
    refused = silt("gc", code=1).err
    assert "% of the store's bytes belong to no level, more than the 50% that may go at a time" in refused
    assert "silt gc --max-share 100%" in refused
    assert silt("gc", "--max-share", "100%").out.splitlines()[1].startswith("condemned generation 1")
