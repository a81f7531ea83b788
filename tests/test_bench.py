"""The benchmarks run, tiny, so that they cannot rot; and what they say can be trusted: the judge sees a wrong restore,
a failing peer is told, and memory is that of the command alone.

Rule: no figure is judged here, only that each is there and of the right kind; peers are left out even where they are.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import compare, files_bench, gc_scale, index_scale, limits, protect, shards, tree_scale
from bench.__main__ import DOCUMENT, main
from bench.comparison_table import ComparisonTables
from bench.corpora import Corpus, corpus_names, make_corpus
from bench.cycles import STEPS, Comparison, Cycles
from bench.measure import BenchError, Taken, measure, stored_bytes
from bench.picture import differences, take_picture
from bench.table import write_place
from bench.tools import SILT, Tool, find_tools

TINY = 0.002
MIB = 1 << 20

COPIER = Tool(
    "copier",
    "cp",
    "{bin} --version",
    init="mkdir {store}",
    backup="{bin} -a . {store}/{name}",
    verify="test -d {store}/{name}",
    restore="{bin} -a {store}/{name}/. .",
    environment=(),
)


def silence(_line: str) -> None:
    pass


class TestMeasuring:
    """One command."""

    def test_memory_and_time_are_those_of_the_command(self, tmp_path: Path) -> None:
        ballast = bytearray(200 * MIB)
        eats = f"x = bytearray({64 * MIB}); y = sum(range(2_000_000))"
        modest, hungry = (
            measure([sys.executable, "-c", code], cwd=tmp_path, environment={}, log=tmp_path / "log")
            for code in ("pass", eats)
        )
        assert len(ballast) > 2 * hungry.peak > 128 * MIB
        assert hungry.peak - modest.peak > 60 * MIB
        assert 0 < modest.cpu < hungry.cpu

    def test_descendants_count(self, tmp_path: Path) -> None:
        busy = f"{sys.executable} -c 'sum(range(5_000_000))'; true"
        taken = measure(["sh", "-c", busy], cwd=tmp_path, environment={}, log=tmp_path / "log")
        assert taken.cpu > 0.05

    def test_a_failure_says_what_the_command_said(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match=r"(?s)ended with 7: .*oh dear"):
            measure(["sh", "-c", "echo oh dear >&2; exit 7"], cwd=tmp_path, environment={}, log=tmp_path / "log")

    def test_the_environment_arrives(self, tmp_path: Path) -> None:
        measure(["sh", "-c", "echo $WORD"], cwd=tmp_path, environment={"WORD": "grain"}, log=tmp_path / "log")
        assert (tmp_path / "log").read_text() == "grain\n"


class TestComparison:
    """Cycles, and their tables."""

    def test_every_corpus(self, tmp_path: Path) -> None:
        """But those of one file, one of which the command measures below. Two at a time: no figure is judged."""
        names = [name for name in corpus_names() if not name.startswith("big-")]
        tools = [*find_tools(["silt"], None), COPIER]

        def run(name: str) -> Comparison:
            corpus = make_corpus(name, tmp_path, TINY, versions=2)
            (tmp_path / "run" / name).mkdir(parents=True)
            return Cycles(corpus, tools, tmp_path / "run" / name, silence).run(1)

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(run, names))
        every = {(step, tool.name) for step in STEPS for tool in tools}
        for result in results:
            assert (result.notes, result.wrong) == ([], [])
            assert {(each.step, each.tool) for each in result.figures} == every
            assert all(each.wall > 0 and each.cpu > 0 and each.peak > 0 for each in result.figures)
            sizes = [each.store for each in result.figures if each.tool == "silt"]
            assert 0 < sizes[0] < sizes[1] < sizes[-1]
        self.check_tables(Comparison([each for result in results for each in result.figures], [], []))

    def check_tables(self, comparison: Comparison) -> None:
        """A row for each step, a ratio for each peer."""
        lines = ComparisonTables(comparison).lines()
        times = [line for line in lines if "**" in line]
        assert len(times) == 3 * len(STEPS)
        for line in times:
            assert re.fullmatch(
                r"\| \S+, \w+ \|( ~?\d+\.\d\d \(\d+\.\d\d\) \|){2} \*\*\d+\.\d\*\* \(\d+\.\d\) \|", line
            )
        assert any(re.fullmatch(r"\| vault, unchanged \|( \d+\.\d \(\+\d+\.\d\) \|){2}", line) for line in lines)

    def one_file(self, tmp_path: Path) -> Corpus:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "file").write_text("something")
        (tmp_path / "run").mkdir()
        return Corpus("one", (tmp_path / "tree",))

    def test_a_wrong_restore_is_seen(self, tmp_path: Path) -> None:
        liar = replace(COPIER, name="silt", restore="touch file")
        peer = replace(COPIER, restore="touch file other")
        result = Cycles(self.one_file(tmp_path), [liar, peer], tmp_path / "run", silence).run(1)
        assert any("one: file: content" in line for line in result.wrong)
        assert [note for note in result.notes if "copier restored one with" in note]

    def test_a_failing_peer_is_left_out_and_told(self, tmp_path: Path) -> None:
        ours = replace(COPIER, name="silt")
        result = Cycles(
            self.one_file(tmp_path), [ours, replace(COPIER, verify="false")], tmp_path / "run", silence
        ).run(2)
        assert "copier failed on one, verify" in result.notes[0]
        assert {(each.step, each.repetition) for each in result.figures if each.tool == "copier"} == {
            (step, 0) for step in ("init", "backup", "unchanged")
        }
        assert len([each for each in result.figures if each.tool == "silt"]) == 2 * (len(STEPS) - 1)
        assert not list((tmp_path / "run").iterdir())

    def test_when_ours_fails_all_fails(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError):
            Cycles(self.one_file(tmp_path), [replace(COPIER, name="silt", backup="false")], tmp_path, silence).run(1)

    def test_the_command_writes_its_document(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        document = tmp_path / "performance.md"
        options = f"--corpus big-text --tool silt --repetitions 1 --scale {TINY} --work {tmp_path / 'work'}".split()
        code = main(["compare", *options, "--write", str(document), "--figures", str(tmp_path / "figures")])
        assert code == 0, capsys.readouterr().err
        assert re.search(r"\| big-text, restore \| ~?\d", document.read_text())
        assert "Again: `./dev bench compare --scale 0.002" in document.read_text()
        figures = [json.loads(line) for line in (tmp_path / "figures").read_text().splitlines()]
        assert [each["step"] for each in figures] == list(STEPS)

    def test_a_missing_tool_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(BenchError, match="borg is not there"):
            find_tools(["borg"], None)
        assert [tool.name for tool in find_tools([], None)] == ["silt"]


class TestOtherCases:
    """Limits, index, tree, small files, and the tool for another harness."""

    def test_limits(self, tmp_path: Path) -> None:
        lines = limits.measure(tmp_path, mebibytes=2, files=60, rounds=1)
        rows = [line.strip("| ").split(" | ") for line in lines if line.count("|") == 4 and "---" not in line]
        assert {"cut", "hash chunks", "compress, zstd", "compress, lz4", "seal", "unseal"} <= {row[0] for row in rows}
        for _, text, noise in rows[1:]:
            assert float(text.split()[0]) > 0
            assert noise == "-" or float(noise.split()[0]) > 0
        assert len([line for line in lines if re.fullmatch(r"\| .* \| \d+\.\d \|", line)]) == 3
        assert not list(tmp_path.iterdir())

    def test_index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            index_scale, "MERGE_LIMIT", 40_000
        )  # so that a tiny index has several segments, and filters
        figures = index_scale.measure(tmp_path, 100_000)
        assert (figures["chunks"], figures["segments"]) == (100_000, 3)
        assert 0 < figures["grown"] < figures["private"] < index_scale.LIMIT
        assert figures["known"] > 0
        assert figures["new"] > 0
        assert len(index_scale.table(figures)) == 11

    def test_index_that_is_too_large_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(index_scale, "LIMIT", 1)
        document = tmp_path / "performance.md"
        code = main(["index", "--chunks", "1000", "--work", str(tmp_path), "--write", str(document)])
        assert code == 1
        assert "allowed" in capsys.readouterr().err
        assert "| 1,000, 1 |" in document.read_text()

    def test_gc(self, tmp_path: Path) -> None:
        condemning, removing = gc_scale.measure(tmp_path, 2000)
        assert (condemning["chunks"], condemning["packs"]) == (2000, 8)
        assert condemning["condemned"] == removing["removed"] == 2
        assert condemning["copied"] > 0
        assert removing["condemned"] == condemning["removed"] == 0
        assert len(gc_scale.table([[condemning, removing]])) == 23

    def test_protect(self, tmp_path: Path) -> None:
        rows = protect.measure(tmp_path, 3)
        assert [row[0] for row in rows][:2] == ["read and hash", "scrub"]
        assert len(rows) == 6
        assert all(size > 0 and wall > 0 for _, size, wall, _ in rows)
        assert len(protect.table(rows)) == 8

    def test_shards(self, tmp_path: Path) -> None:
        taken = shards.measure(tmp_path, 10, [2])
        assert [(each.step, len(each.cpu)) for each in taken[2]] == [("verify", 2), ("gc", 2)]
        assert len(shards.table(taken)) == 4

    def test_tree(self, tmp_path: Path) -> None:
        case = tree_scale.measure_tree(tmp_path, 70, 20, find_tools(["silt"], None)[0])
        assert case.entries == 70
        assert tuple(case.taken) == tree_scale.STEPS
        row = r"\| 70 \|( \d+\.\d s \(\d+\.\d\), \d+ MiB \|){3} \d\.\d MiB \|"
        assert re.fullmatch(row, tree_scale.table([case])[-1])
        assert not list(tree_scale.excess([case]))

    def test_a_tree_that_takes_too_much_memory_fails(self) -> None:
        taken = Taken(1.0, 1.0, tree_scale.LIMIT + 1, 0.0)
        (line,) = tree_scale.excess([tree_scale.Case(7, {"backup": taken}, 1)])
        assert line.startswith("backup of 7 files")

    def test_a_tree_has_what_was_asked_for(self, tmp_path: Path) -> None:
        tree_scale.make_tree(tmp_path, 45, 20)
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        assert [len(list(folder.iterdir())) for folder in sorted(tmp_path.iterdir())] == [20, 20, 5]
        assert [path.read_text() for path in files[:4]] == ["", "1\n", "", "3\n"]

    def test_small_files(self, tmp_path: Path) -> None:
        figures = files_bench.measure(tmp_path, 60, 1)
        assert len(figures) == 5 * len(files_bench.twins())
        assert all(figure > 0 for figure in figures.values())

    def test_the_tool_for_another_harness(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["peers-tool"]) == 0
        tools = json.loads(capsys.readouterr().out)
        tool = tools["silt"]
        tree, store, out = (tmp_path / name for name in ("tree", "repo", "out"))
        for folder in (tree / "folder", out):
            folder.mkdir(parents=True)
        (tree / "folder" / "file").write_text("something")
        places = {"bin": tool["bin"], "repo": store, "src": tree, "dst": out, "name": "first"}
        environment = {**os.environ, **{name: value.format(**places) for name, value in tool["env"].items()}}
        for verb, folder in (("init", tmp_path), ("backup", tree), ("restore", out)):
            command = tool[verb].format(**places)
            subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True, timeout=60)
        assert not differences(take_picture(os.fsencode(tree / "folder")), take_picture(os.fsencode(out / "folder")))
        assert stored_bytes(store) > 0
        assert tools["silt-lz4"]["init"].endswith("--compression lz4")


class TestDocument:
    """Only the place of a table is rewritten."""

    def test_the_rest_stays(self, tmp_path: Path) -> None:
        document = tmp_path / "docs" / "performance.md"
        write_place(document, "", ["one"])
        document.write_text(document.read_text() + "\nafter\n")
        write_place(document, "limits", ["two"])
        write_place(document, "", ["three", "four"])
        assert document.read_text() == (
            "# Performance\n\n<!-- bench:begin -->\nthree\nfour\n<!-- bench:end -->\n\nafter\n\n"
            "<!-- bench:begin limits -->\ntwo\n<!-- bench:end limits -->\n"
        )

    def test_a_place_without_an_end_is_refused(self, tmp_path: Path) -> None:
        document = tmp_path / "performance.md"
        document.write_text("<!-- bench:begin -->\nprecious\n")
        with pytest.raises(ValueError, match="has no"):
            write_place(document, "", ["one"])
        assert document.read_text() == "<!-- bench:begin -->\nprecious\n"


def test_without_a_command_the_document_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    for command in (compare, limits):
        monkeypatch.setattr(command, "main", called.append)
    main(["--scale", "0.1", "--work", "/somewhere"])
    write = ["--write", str(DOCUMENT)]
    assert called == [[*write, "--scale", "0.1", "--work", "/somewhere"], [*write, "--work", "/somewhere"]]


def test_help_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "./dev bench limits" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["compare", "--tool", "restic"]) == 1
    assert capsys.readouterr().err.startswith("bench: restic is not there")


def test_silt_is_measured_encrypted() -> None:
    assert "--no-encryption" not in SILT.init
