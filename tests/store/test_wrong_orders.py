"""The proof that the simulated disk bites: each step of the write order left out or moved, and the loss that follows.

Rule: a wrong order runs a scenario that the right one passes (test_directory_durability.py), and the loss that is found
is the one that the step is there to prevent: an object that is not whole, or one that is missing.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import pytest

from siltstone.store import ObjectExists
from siltstone.store import directory as directory_module
from siltstone.store import durable as durable_module
from siltstone.store.backend import Buffer
from siltstone.store.durable import DurableFiles, folder_of

from .powerloss import RecordingOs
from .scenarios import (
    Scenario,
    Simulation,
    a_failed_fsync,
    a_killed_init_and_another,
    no_hard_links,
    simulation,
    two_writers_in_one_new_folder,
    two_writers_of_one_name,
    usual_work,
)


@pytest.fixture
def on_disk() -> Iterator[Simulation]:
    with simulation() as simulated:
        yield simulated


Breaking = Callable[[Simulation], None]


def leaving_out_fsync(of: str) -> Breaking:
    def break_it(on_disk: Simulation) -> None:
        on_disk.disk.deaf = lambda path: re.fullmatch(of, path) is not None

    return break_it


def using(files: type[DurableFiles]) -> Breaking:
    return lambda on_disk: on_disk.patch.setattr(directory_module, "DurableFiles", files)


def create_file(files: DurableFiles, name: str, pieces: Sequence[Buffer], *, first: str) -> bool:
    """`create` in a wrong order: the final name is there before the fsync."""
    system: RecordingOs = vars(durable_module)["os"]
    files._make(folder_of(name))
    file = system.open(first, system.O_WRONLY | system.O_CREAT | system.O_EXCL, dir_fd=files._root)
    durable_module.write_all(file, pieces)
    if first != name:
        system.link(first, name, src_dir_fd=files._root, dst_dir_fd=files._root)
    system.fsync(file)
    system.close(file)
    if first != name:
        files.drop(first)
    files._sync(folder_of(name))
    return True


class LinksBeforeSync(DurableFiles):
    def create(self, name: str, pieces: Sequence[Buffer]) -> bool:
        return create_file(self, name, pieces, first=f"{folder_of(name)}.tmp-0123456789abcdef")


class WritesInPlace(DurableFiles):
    def create(self, name: str, pieces: Sequence[Buffer]) -> bool:
        return create_file(self, name, pieces, first=name)


class TrustsFoldersOfOthers(DurableFiles):
    def _make(self, folder: str) -> None:
        system: RecordingOs = vars(durable_module)["os"]
        if folder:
            self._make(folder_of(folder[:-1]))
            try:
                system.mkdir(folder, dir_fd=self._root)
            except FileExistsError:
                return
            self._sync(folder_of(folder[:-1]))


class TrustsNamesOfOthers(DurableFiles):
    def _link(self, temporary: str, name: str) -> bool:
        if super()._link(temporary, name):
            return True
        self.drop(temporary)
        raise ObjectExists(name)


def syncing_twice(on_disk: Simulation) -> None:
    def call_again(call: Callable[[int], None], file: int) -> None:
        try:
            call(file)
        except OSError:
            call(file)

    on_disk.patch.setattr(durable_module, "_checked", call_again)


NOT_WHOLE, MISSING = r": store/\S+ is \d+ bytes", r": store/\S+ is missing"


@pytest.mark.parametrize(
    ("breaking", "scenario", "loss"),
    [
        pytest.param(leaving_out_fsync(r".*\.tmp-\w+"), usual_work, NOT_WHOLE, id="no-fsync-of-files"),
        pytest.param(leaving_out_fsync(r".*\.tmp-\w+"), no_hard_links, NOT_WHOLE, id="no-fsync-of-files-renamed"),
        pytest.param(leaving_out_fsync("store/packs/ab/"), usual_work, MISSING, id="no-fsync-of-the-folder"),
        pytest.param(leaving_out_fsync("store/packs/ab/"), no_hard_links, MISSING, id="no-fsync-of-the-folder-renamed"),
        pytest.param(leaving_out_fsync("store/packs/ab/"), usual_work, NOT_WHOLE, id="no-fsync-after-delete"),
        pytest.param(leaving_out_fsync("store/sessions/"), usual_work, MISSING, id="no-fsync-after-replace"),
        pytest.param(leaving_out_fsync("store/sessions/"), usual_work, NOT_WHOLE, id="no-fsync-and-an-old-lease"),
        pytest.param(leaving_out_fsync("store/packs/"), usual_work, MISSING, id="no-fsync-of-the-folder-above"),
        pytest.param(leaving_out_fsync("store/"), usual_work, MISSING, id="no-fsync-of-the-root"),
        pytest.param(leaving_out_fsync("/"), usual_work, MISSING, id="no-fsync-above-the-root"),
        pytest.param(leaving_out_fsync("/"), a_killed_init_and_another, MISSING, id="no-fsync-of-a-root-found"),
        pytest.param(using(LinksBeforeSync), usual_work, NOT_WHOLE, id="link-before-fsync"),
        pytest.param(using(WritesInPlace), usual_work, NOT_WHOLE, id="written-in-place"),
        pytest.param(using(TrustsFoldersOfOthers), two_writers_in_one_new_folder, MISSING, id="others-folders-trusted"),
        pytest.param(using(TrustsNamesOfOthers), two_writers_of_one_name, MISSING, id="others-names-trusted"),
        pytest.param(syncing_twice, a_failed_fsync, NOT_WHOLE, id="fsync-again-after-it-failed"),
    ],
)
def test_a_wrong_order_is_found(on_disk: Simulation, breaking: Breaking, scenario: Scenario, loss: str) -> None:
    breaking(on_disk)
    scenario(on_disk)
    assert any(re.search(loss, found) for found in on_disk.disk.losses), on_disk.disk.losses
