"""The bench of object stores, tiny and beside a real server, and what it calls too slow.

Rule: as tests/test_bench.py has it: every case of bench/ runs here, so that none can rot; what takes long, with --all.
"""

from pathlib import Path

import pytest

from bench import objects_bench, requests_bench
from tests.line import longest_chain
from tests.seaweed import shared_seaweed

MIB = 1 << 20


class TestObjects:
    """A store in a bucket beside plain transfers."""

    @pytest.mark.slow
    def test_it_measures(self, tmp_path: Path) -> None:
        figures = objects_bench.measure(tmp_path, shared_seaweed(), 4 * MIB, 1)
        assert set(figures.seconds) == {"backup", "put", "restore", "get", "four", "one", "same"}
        assert figures.twice < MIB  # manifests alone
        assert 1 <= figures.same[0] < objects_bench.WRITERS + 0.1
        assert len(objects_bench.table(figures)) == 9

    def test_it_fails_where_it_is_slow(self) -> None:
        seconds = {"backup": [2.0], "put": [1.0], "restore": [1.0], "get": [1.0], "four": [2.2], "one": [2.0]}
        figures = objects_bench.Figures(objects_bench.LARGE, seconds, twice=objects_bench.LARGE, same=[2.0])
        slow, four, same, twice = figures.excess()
        assert "0.50 of a plain put" in slow
        assert "0.91 times as quick as one" in four
        assert "2.00 times" in same
        assert str(objects_bench.LARGE) in twice


class TestRequests:
    """What commands ask, at the end of a line."""

    def test_it_counts(self, tmp_path: Path) -> None:
        found = requests_bench.measure(tmp_path, shared_seaweed(), 0.001)
        assert len(requests_bench.table(found, 0.001)) == 2 + len(found)
        for name, asked in found.items():
            assert 0 < asked.chain <= asked.requests, name
        unchanged, changed = found["`silt backup`, unchanged"], found["`silt backup`, one file changed"]
        assert unchanged.requests < changed.requests

    def test_the_longest_chain(self) -> None:
        assert longest_chain([]) == 0
        assert longest_chain([[0.0, 1.0], [0.5, 1.5], [1.0, 2.0], [0.0, 3.0]]) == 2
