"""Random histories: a tree changes in any way, full, incremental and differential levels are made, and each of them
holds the tree of its moment for ever, compared with a plain picture of it taken then.
"""

import itertools
import os
import random
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from siltstone.engine import Event, LevelRef, Warned, back_up, list_levels, quick_deployment
from siltstone.engine.restore import restore_level
from siltstone.store import Store
from tests.backing_up import KEY, Picture, calm_down, picture, recorded
from tests.store.backends import MemoryBackend

NAMES = st.sampled_from([b"a", b"b", b"a-b", b"a.b", b"caf\xe9", b"Z"])
SIZES = st.sampled_from([0, 1, 700, 5_000, 131_072, 131_073, 400_000, 2_200_000])
PICKS = st.integers(0, 1000)


class History(RuleBasedStateMachine):
    """The tree, the store, and what the tree looked like at each level."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="silt-history-"))
        self.top = os.fsencode(self.folder / "tree")
        os.mkdir(self.top)
        self.backend = MemoryBackend()
        self.store = Store.init(self.backend, [(KEY, "test")])
        self.then: dict[LevelRef, Picture] = {}
        self.newest: tuple[LevelRef, Picture] | None = None
        self.seeds = itertools.count()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # ---- what is there

    def some(self, pick: int, *kinds: int) -> bytes | None:
        """One of the paths of these kinds, below the tree's top (folders: the top too)."""
        found = [self.top] if stat.S_IFDIR in kinds else []
        for folder, folders, files in os.walk(self.top):
            found += [os.path.join(folder, name) for name in folders + files]
        found = sorted(path for path in found if stat.S_IFMT(os.lstat(path).st_mode) in kinds)
        return found[pick % len(found)] if found else None

    def place(self, pick: int, name: bytes) -> bytes:
        """Where something is to be made; what stands there goes."""
        folder = self.some(pick, stat.S_IFDIR)
        assert folder is not None
        path = os.path.join(folder, name)
        self.clear(path)
        return path

    @staticmethod
    def clear(path: bytes) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def content(self, size: int) -> bytes:
        return random.Random(next(self.seeds)).randbytes(size)

    # ---- what happens to a tree

    @initialize(count=st.integers(0, 12))
    def begin(self, count: int) -> None:
        for number in range(count):
            Path(os.fsdecode(self.top + b"/%03d" % number)).write_bytes(self.content(number * 100))

    @rule(pick=PICKS, name=NAMES, size=SIZES)
    def write(self, pick: int, name: bytes, size: int) -> None:
        Path(os.fsdecode(self.place(pick, name))).write_bytes(self.content(size))

    @rule(pick=PICKS, name=NAMES)
    def make_folder(self, pick: int, name: bytes) -> None:
        os.mkdir(self.place(pick, name))

    @rule(pick=PICKS, name=NAMES, to=NAMES)
    def make_symlink(self, pick: int, name: bytes, to: bytes) -> None:
        os.symlink(to, self.place(pick, name))

    @rule(pick=PICKS, name=NAMES)
    def make_fifo(self, pick: int, name: bytes) -> None:
        os.mkfifo(self.place(pick, name))

    @rule(pick=PICKS, other=PICKS, name=NAMES)
    def make_link(self, pick: int, other: int, name: bytes) -> None:
        first = self.some(pick, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO)
        path = self.place(other, name)
        if first is not None and os.path.lexists(first):
            os.link(first, path, follow_symlinks=False)

    @rule(pick=PICKS, size=SIZES, offset=PICKS)
    def overwrite(self, pick: int, size: int, offset: int) -> None:
        """In place: the inode, and all its names, keep what is around it; it may become longer, or sparse."""
        if path := self.some(pick, stat.S_IFREG):
            with open(path, "r+b") as file:
                file.seek(offset * 977)
                file.write(self.content(min(size, 5000)))

    @rule(pick=PICKS)
    def rewrite_with_all_times_kept(self, pick: int) -> None:
        if path := self.some(pick, stat.S_IFREG):
            found = os.stat(path)
            with open(path, "r+b") as file:
                file.write(self.content(found.st_size))
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    @rule(pick=PICKS, size=SIZES)
    def truncate(self, pick: int, size: int) -> None:
        if path := self.some(pick, stat.S_IFREG):
            os.truncate(path, size)

    @rule(pick=PICKS, mode=st.sampled_from([0o600, 0o755, 0o4711]), ns=st.integers(-(2**60), 2**62))
    def dress(self, pick: int, mode: int, ns: int) -> None:
        if path := self.some(pick, stat.S_IFREG, stat.S_IFDIR):
            os.chmod(path, mode | 0o700)
            os.utime(path, ns=(ns, ns))

    @rule(pick=PICKS, value=st.binary(max_size=30))
    def set_attribute(self, pick: int, value: bytes) -> None:
        if path := self.some(pick, stat.S_IFREG, stat.S_IFDIR):
            try:
                os.setxattr(path, "user.note", value)
            except OSError:
                pass  # a file system without attributes

    @rule(pick=PICKS)
    def remove(self, pick: int) -> None:
        path = self.some(pick, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)
        if path is not None and path != self.top:
            self.clear(path)

    @rule(pick=PICKS, other=PICKS, name=NAMES)
    def rename(self, pick: int, other: int, name: bytes) -> None:
        path = self.some(pick, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        folder = self.some(other, stat.S_IFDIR)
        assert folder is not None
        if path is None or path == self.top or (folder + b"/").startswith(path + b"/"):
            return
        target = os.path.join(folder, name)
        if target != path and not path.startswith(target + b"/"):
            self.clear(target)
            os.rename(path, target)

    # ---- levels

    @rule(kind=st.sampled_from(["auto", "full"]))
    def back_up_at_will(self, kind: str) -> None:
        self.back_up(kind)

    @rule()
    def add_increment(self) -> None:
        self.back_up("incr")

    @rule()
    def add_differential(self) -> None:
        self.back_up("diff")

    def back_up(self, kind: str) -> None:
        events: list[Event] = []
        calm_down()
        before = picture(self.top)
        deployment = quick_deployment([self.top], "h")
        made = back_up(self.store, deployment, kind=kind, report=events.append)  # type: ignore[arg-type]  # plain str
        assert made.level is not None
        assert not [event for event in events if isinstance(event, Warned)]
        assert made.level.kind == ("full" if not self.then else "incr" if kind == "auto" else kind)
        ref = made.level.ref
        base = self.then[LevelRef("h", ref.group, made.level.parent)] if made.level.parent is not None else {}
        self.check_counts(made.stats, base, before)
        self.then[ref] = before
        self.newest = (ref, before)

    @staticmethod
    def check_counts(stats: dict[str, int], base: Picture, now: Picture) -> None:
        """What the merge with the base level found, held against the two pictures."""
        assert stats["new"] == len(now.keys() - base.keys())
        assert stats["gone"] == len(base.keys() - now.keys())
        assert stats["changed"] + stats["unchanged"] == len(now.keys() & base.keys())
        assert stats["changed"] >= sum(now[path] != base[path] for path in now.keys() & base.keys())

    @rule()
    def open_anew(self) -> None:
        self.store = Store.open(self.backend, KEY)

    @precondition(lambda self: self.then)
    @rule(pick=PICKS)
    def restore_one(self, pick: int) -> None:
        ref = sorted(self.then)[pick % len(self.then)]
        level = next(level for level in list_levels(self.store) if level.ref == ref)
        out = os.fsencode(self.folder / "out")
        shutil.rmtree(out, ignore_errors=True)
        result = restore_level(self.store, level, target=out, report=lambda event: None)
        assert not result.failures
        restored = {}
        for path, seen in picture(out + self.top).items():
            names = tuple(name.removeprefix(out) for name in seen.names)
            restored[path.removeprefix(out)] = seen._replace(names=names)
        assert restored == self.then[ref]

    @invariant()
    def the_newest_level_is_the_tree(self) -> None:
        """As another process reads it."""
        if self.newest is not None:
            ref, then = self.newest
            self.newest = None
            self.check(Store.open(self.backend, KEY), {ref: then})

    @precondition(lambda self: len(self.then) > 2)
    @rule()
    def check_all(self) -> None:
        self.check(self.store, self.then)

    @staticmethod
    def check(store: Store, then: dict[LevelRef, Picture]) -> None:
        levels = {level.ref: level for level in list_levels(store)}
        for ref, expected in then.items():
            assert recorded(store, levels[ref]) == expected, ref


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_histories() -> None:
    run(12, 30)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_histories() -> None:
    run(200, 60)
