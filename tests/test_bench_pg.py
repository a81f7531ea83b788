"""The PostgreSQL benchmark runs, tiny, with a real server: every step of `silt` has its figure, and its table a row.

Rule: no figure is judged, and peers are left out even where they are; that the recovered copy holds the original's rows
is part of the benchmark itself.
"""

import re
from pathlib import Path

import pytest

from bench.comparison_table import ComparisonTables
from bench.measure import BenchError
from bench.pg import measure_pg
from bench.pg_cycle import GROWING, STEPS
from bench.pg_tools import find_pg_tools
from bench.wal_bench import measure_stream

TINY = 0.002


def test_every_step_is_measured(server_folder: Path) -> None:
    cycles = measure_pg(server_folder, find_pg_tools(["silt"], None), TINY, 1)
    figures = cycles.result.figures
    assert [figure.step for figure in figures] == list(STEPS)
    assert all(figure.wall > 0 and figure.store > 0 for figure in figures)
    assert cycles.segments > 0
    of_pages, recovery, of_burst = cycles.result.notes
    assert [note.partition(":")[0] for note in (of_pages, of_burst)] == ["small incr", "burst incr"]
    assert all(re.search(r": [1-9][\d,]* pages changed", note) for note in (of_pages, of_burst))
    assert re.match(r"recovery by silt: \d+\.\d s, in \d+% of which .* in \d+% it waited", recovery)
    lines = ComparisonTables(cycles.result, STEPS, GROWING).lines()
    assert len([line for line in lines if re.match(r"\| pg, .* \| ~?\d+\.\d\d \(\d+\.\d\d\) \|$", line)]) == len(STEPS)
    assert not (server_folder / "cluster").exists()


@pytest.mark.slow
def test_a_stream_is_measured(server_folder: Path) -> None:
    found = measure_stream(server_folder, find_pg_tools(["silt"], None), TINY, lambda line: None)
    assert [phase.name for phase in found.phases] == ["pgbench", "VACUUM FULL", "again", "catching up"]
    assert all(phase.wall > 0 and phase.wal >= 0 for phase in found.phases)
    assert found.phases[1].wal > 1 << 20
    assert found.segments > 1
    assert found.stored["silt"] > 0
    assert all(re.match(r"\| [\w ]+( \| -?\d+\.\d){8} \|$", line) for line in found.lines()[2:6])


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="pgbackrest is not there"):
        find_pg_tools(["pgbackrest-zst"], None)
