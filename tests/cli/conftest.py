"""Runs `silt` as its users do: a process of its own, without a terminal unless a test gives it one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

from siltstone.cli.main import run

from .wal_place import Place

PROGRAM = [sys.executable, "-c", "from siltstone.cli.start import main; main()"]


class Silt(Struct):
    """Runs command lines. `environment` is added to that of the tests."""

    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | bytes | Path, code: int = 0) -> "Ran":
        """Run one command line, which has to end with `code`."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=self.whole_environment(),
            start_new_session=True,  # no terminal, even where the tests have one
        )
        assert done.returncode == code, done.stderr.decode(errors="replace")
        return Ran(done.stdout, done.stderr)

    def start(self, *arguments: str | bytes | Path, stdout: int) -> "subprocess.Popen[bytes]":
        """Start a command line; `stdout` as `Popen` takes it, stderr is a pipe."""
        return subprocess.Popen(
            [*PROGRAM, *arguments], stdout=stdout, stderr=subprocess.PIPE, env=self.whole_environment()
        )

    def whole_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


class Ran(Struct, frozen=True):
    """What a command line wrote."""

    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """The last JSON line, which is a result."""
        record = self.records[-1]
        assert record["type"] == "result"
        return record


@pytest.fixture
def silt() -> Silt:
    """`silt` without a store and without a secret."""
    return Silt()


@pytest.fixture
def quick(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """As `silt`, in this process: for tests with many command lines."""

    def one(*arguments: str | Path, code: int = 0) -> Ran:
        ended = run([str(argument) for argument in arguments])
        ran = capsys.readouterr()
        assert ended == code, ran.err
        return Ran(ran.out.encode(), ran.err.encode())

    return one


@pytest.fixture
def make_store(tmp_path: Path, silt: Silt) -> Callable[..., Path]:
    """Makes a store in a folder of the test; afterwards `silt` uses it, and finds its passphrase."""

    def make(*arguments: str) -> Path:
        place = tmp_path / "store"
        silt.environment |= {"SILT_STORE": str(place), "SILT_PASSPHRASE": "grains laid down in layers"}
        silt("init", place, *arguments)
        return place

    return make


def packs(store: Path) -> list[Path]:
    """The files of its packs, by name."""
    return sorted(path for path in (store / "packs").rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.chdir(made.data)
    monkeypatch.setenv("XDG_STATE_HOME", made.environment["XDG_STATE_HOME"])
    monkeypatch.delenv("SILT_STORE", raising=False)
    return made
