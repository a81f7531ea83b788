"""What every test gets: a home of its own, no setting of the user's, and the choice between quick and slow tests.

Rule: nothing here stands in for a part of the program. Keys are derived at their real cost, files lie on a real disk.
It does not hide what differs between machines (root or not, file systems without xattrs): a test asks for itself.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

PASSPHRASE = "grains laid down in layers"

# No deadline for one example: CI shares two cores, and pytest-timeout bounds the whole test.
settings.register_profile("siltstone", deadline=None, print_blob=True)
settings.load_profile("siltstone")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked slow, too")
    parser.addoption("--seconds", metavar="S", default="60", help="how long processes are killed at random")
    parser.addoption("--schedule", metavar="SEED", help="of the simulated schedules of the store, run this one alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    slow = [item for item in items if "slow" in item.keywords]
    items[:] = [item for item in items if "slow" not in item.keywords]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home folder for the whole run; nothing of the user's configuration or environment is read."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("SILT_", "XDG_")):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch) -> str:
    """A passphrase that `silt` finds in its environment."""
    monkeypatch.setenv("SILT_PASSPHRASE", PASSPHRASE)
    return PASSPHRASE


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """Where a benchmark's servers may work; skips where there are no programs of PostgreSQL. Short, since the path of a
    socket has room for 107 bytes, and open to who runs servers.
    """
    from bench.measure import BenchError
    from bench.pg_cluster import find_programs

    try:
        find_programs()
    except BenchError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="silt-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
