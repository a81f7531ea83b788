"""docs/format.md says what the program does: its dumps are written by it, and its script reads what it wrote."""

import subprocess
import sys
from pathlib import Path

import pytest

from siltstone.store import chunk_id
from tests.golden.make import FORMAT, KEY_FILE, STORES
from tests.golden.test_golden import expected, open_golden

from .format_example import CHUNKS, dumps, example
from .stores import reopen

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_the_dumps_are_what_is_written(number: int) -> None:
    name, text = list(dumps().items())[number]
    assert f"`{name}`:\n\n```text\n{text}\n```\n" in PAGE, "python -m tests.store.format_example prints it anew"


def test_the_example_is_a_store() -> None:
    store = reopen(example(), encrypted=False)
    assert store.ring.id_key == b"\xa1" * 32
    ids = [chunk_id(chunk, store.ring.id_key) for chunk in CHUNKS]
    assert store.read_root("backups/example/0/0") == {"chunks": ids}
    assert tuple(map(store.read_chunk, ids)) == CHUNKS


@pytest.mark.parametrize("name", STORES)
def test_the_script_reads_every_chunk(name: str, tmp_path: Path) -> None:
    (script,) = [part.partition("```")[0] for part in PAGE.split("```python\n")[1:]]
    (tmp_path / "rebuild.py").write_text(script)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-I", "rebuild.py", str(FORMAT / name), str(KEY_FILE), "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    store = open_golden(name)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written.keys() == expected(name)["chunks"].keys()
    assert all(chunk_id(content, store.ring.id_key).hex() == chunk for chunk, content in written.items())
