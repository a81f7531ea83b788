"""The pages say what is there: their examples run or parse, their tables equal the program's own, their links lead on.

Rule: a fenced block `sh run` is run, all of a page in one sandbox and in order; any other `sh` block is at least shell, and
every `silt` in it parses. A table that repeats the program (exit codes, keys, variables, constants, the preset) is compared with
it in both directions, so that neither changes alone. Prose is not checked, and links out of the repository are not followed.
"""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import pytest

from siltstone.cli.exits import MEANING
from siltstone.cli.main import COMMANDS
from siltstone.cli.settings import KEYS, parse_settings
from siltstone.engine import PRESETS, ConfigError, parse_deployment
from siltstone.engine.exclude import rule_mistake
from tests.cli.test_commands import parse

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "": 1}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands after the fence, the text without its indent, the line of its fence."""

    info: str
    body: str
    line: int


def blocks(text: str, *infos: str) -> list[Block]:
    """The fenced blocks of a page, those of the given infos if any are given."""
    found = [
        Block(match["info"], textwrap.dedent(match["body"]), text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if not infos or block.info in infos]


def silt_commands(block: Block) -> Iterator[str]:
    """The command lines of `silt` in a block, wherever in a line they stand (cron, systemd, pipes)."""
    joined = block.body.replace("\\\n", " ")
    for line in joined.splitlines():
        words = shlex.split(line.replace("(", " ").replace(")", " "), comments=True)
        for at, word in enumerate(words):
            if word == "silt" or word.endswith("/silt"):
                rest = words[at + 1 :]
                end = next((n for n, each in enumerate(rest) if each in ("|", ">", "&&", "||", "&")), len(rest))
                if rest and "=" not in rest[0]:
                    yield shlex.join(["silt", *rest[:end]])


def table(text: str, *head: str) -> list[list[str]]:
    """The cells of the table that has this head. AssertionError when the page has none, or two."""
    lines = text.splitlines()
    places = [at for at, line in enumerate(lines) if tuple(cells(line)) == head]
    assert len(places) == 1, f"{len(places)} tables with the head {head}"
    rows = []
    for line in lines[places[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def coded(cell: str) -> list[str]:
    """What stands in a cell as code."""
    return _CODE.findall(cell)


def link_faults(page: Path, text: str) -> list[str]:
    """Links of a page that lead nowhere in the repository."""
    faults = []
    for link in _LINK.findall(_FENCE.sub("", text)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file():
            faults.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target.read_text()):
            faults.append(f"{link}: there is no such heading")
    return faults


def anchors(text: str) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", text))]
    return {heading.strip().replace(" ", "-") for heading in plain}


def read(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.fixture
def sandbox(tmp_path: Path) -> dict[str, str]:
    """The environment of a user of their own, whose PATH begins with `silt`."""
    program = tmp_path / "bin" / "silt"
    program.parent.mkdir()
    call = shlex.join([sys.executable, "-c", "from siltstone.cli.main import main; main()"])
    program.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
    program.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return {**os.environ, "HOME": str(home), "PATH": f"{program.parent}:{os.environ['PATH']}"}


def run(script: str, environment: dict[str, str]) -> str:
    """Run a script in the home of a sandbox; what it wrote. It has to end well."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=environment["HOME"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def runnable(text: str) -> str:
    """The blocks of a page that are to be run, as one script."""
    return "\n".join(block.body for block in blocks(text, "sh run"))


class TestExamples:
    @BY_PAGE
    def test_shell_is_shell_and_every_silt_parses(self, page: Path) -> None:
        for block in blocks(page.read_text(), "sh", "sh run", "text", "ini"):
            if block.info.startswith("sh"):
                checked = subprocess.run(["bash", "-n", "-c", block.body], capture_output=True, text=True)
                assert not checked.stderr, f"{page.name}, line {block.line}"
            if block.info == "text" and "silt -q" not in block.body:
                continue  # what a command says, and no command
            for line in silt_commands(block):
                try:
                    parse(line)
                except click.ClickException as error:
                    pytest.fail(f"{page.name}, line {block.line}: {line}: {error.format_message()}", pytrace=False)

    @pytest.mark.parametrize("page", ROOT.glob("docs/*.md"), ids=lambda page: page.stem)
    def test_runnable_blocks_run(self, page: Path, sandbox: dict[str, str]) -> None:
        run(runnable(page.read_text()), sandbox)

    def test_five_minutes_bring_everything_back(self, sandbox: dict[str, str]) -> None:
        said = run(runnable(read("README.md")), sandbox)
        home = Path(sandbox["HOME"])
        numbers = (home / "trial" / "documents" / "numbers").read_text()
        assert numbers == "".join(f"{number}\n" for number in range(1, 200_001))
        restored = home / "trial" / "restored" / str(home / "trial" / "documents").lstrip("/")
        assert (restored / "numbers").read_text() == numbers
        assert (restored / "note").read_text() == "a first note\n"
        assert (home / "trial" / "documents" / "note").read_text() == "a first note\na second note\n"
        assert "no damage found" in said

    def test_healing_by_hand_heals(self, sandbox: dict[str, str]) -> None:
        (script,) = (block.body for block in blocks(read("docs/operations.md"), "sh") if "truncate" in block.body)
        store = Path(sandbox["HOME"]) / "store"
        sandbox["SILT_STORE"] = str(store)
        made = 'seq 100000 >a; silt init --no-encryption; printf \'name = "d"\\n[file-sets.d]\\npaths = ["a"]\\n\' >deployment.toml'
        run(f"{made}\nsilt backup -c deployment.toml", sandbox)
        pack = max(
            (path for path in (store / "packs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
        bytes_of = bytearray(pack.read_bytes())
        bytes_of[1000] ^= 1
        pack.write_bytes(bytes_of)
        run("silt verify --read-data all && exit 1 || test $? = 4", sandbox)
        assert "/mnt/backup/store" in script
        assert "26/266eda*" in script
        script = script.replace("/mnt/backup/store", str(store)).replace(
            "26/266eda*", str(pack.relative_to(store / "packs"))
        )
        assert "no damage found" in run(script, sandbox)
        run("silt verify --read-data all; silt restore 0/0 --to out; cmp a out$PWD/a", sandbox)

    def test_deployment_files_parse(self) -> None:
        found = blocks(read("docs/deployments.md"), "toml")
        assert len(found) >= 4
        for block in found:
            parse_deployment(block.body)

    def test_settings_files_parse(self) -> None:
        (block,) = blocks(read("docs/operations.md"), "toml settings")
        assert tuple(parse_settings(block.body, "the page")) == KEYS

    def test_exclude_rules_are_what_the_page_says(self) -> None:
        text = read("docs/deployments.md")
        for rule, _ in table(text, "rule", "leaves out"):
            assert [rule_mistake(each) for each in coded(rule)] == [None] * len(coded(rule))
        refused = re.search(r"A rule that can match nothing is refused.*?closed", text, re.DOTALL)
        assert refused
        examples = coded(refused[0])[1:]  # the first is `silt`
        assert len(examples) >= 4
        assert all(map(rule_mistake, examples))

    def test_every_command_has_an_example(self) -> None:
        shown = {
            line.split()[1] for page in PAGES for block in blocks(page.read_text()) for line in lines_of_silt(block)
        }
        assert set(COMMANDS) - shown == {"completion"}  # its help says where the script goes


def lines_of_silt(block: Block) -> list[str]:
    return [line for line in block.body.splitlines() if re.match(r"silt [a-z]", line)]


class TestTables:
    """What a page repeats of the program, in both directions."""

    def test_exit_codes(self) -> None:
        documented = {int(code): meaning for code, meaning in table(read("docs/operations.md"), "code", "meaning")}
        assert documented == {int(code): meaning for code, meaning in MEANING.items()}

    @pytest.mark.parametrize(
        ("before", "head"),
        [
            ("", ("key", "value", "meaning")),
            ("[defaults]\n", ("key", "value", "default", "meaning")),
            ("[file-sets.a]\n", ("key", "value", "default", "meaning")),
        ],
        ids=["top", "defaults", "file set"],
    )
    def test_keys_of_the_deployment_file(self, before: str, head: tuple[str, ...]) -> None:
        """What is accepted, the parser tells itself: its hint about a key that is like no other lists all it knows."""
        with pytest.raises(ConfigError) as refused:
            parse_deployment(f'name = "x"\n{before}qqqqqqqq = 1\n')
        accepted = set(refused.value.hint.removeprefix("known here: ").split(", "))
        documented = {key for row in table(read("docs/deployments.md"), *head) for key in coded(row[0])}
        assert documented - ({"paths"} if "defaults" in before else set()) == accepted

    def test_defaults_of_the_options(self) -> None:
        """They are those of the file that `silt config new` writes, which says so of itself."""
        from siltstone.engine import starting_file

        text = starting_file().partition("[defaults]\n")[2].partition("\n\n")[0]
        written = dict(re.findall(r"^([a-z-]+) = (\S+)", text, re.MULTILINE))
        rows = table(read("docs/deployments.md"), "key", "value", "default", "meaning")
        assert {coded(key)[0]: coded(default)[0] for key, _, default, _ in rows if default} == written

    def test_the_preset(self) -> None:
        text = read("docs/deployments.md")
        (name,) = PRESETS
        preset = parse_deployment(f'name = "x"\n{PRESETS[name]}')
        variables = {coded(row[0])[0]: coded(row[1])[0] for row in table(text, "variable", "value", "")}
        assert variables == dict(preset.variables)
        rows = table(text, "file set", "what", "paths")
        documented = {coded(row[0])[0]: coded(row[2]) for row in rows}
        spelled = "".join(
            f"[file-sets.{file_set}]\npaths = {paths}\n" for file_set, paths in documented.items()
        )  # Python writes a list of texts as TOML does
        given = "".join(f'{variable} = "{value}"\n' for variable, value in variables.items())
        repeated = parse_deployment(f'name = "x"\n[variables]\n{given}{spelled}')
        assert [(each.name, each.paths) for each in repeated.file_sets] == [
            (each.name, each.paths) for each in preset.file_sets
        ]

    def test_keys_of_the_settings_file(self) -> None:
        rows = table(read("docs/operations.md"), "key", "meaning")
        assert tuple(coded(row[0])[0] for row in rows) == KEYS

    def test_variables_of_the_environment(self) -> None:
        used = {
            name for path in (ROOT / "cli").rglob("*.py") for name in re.findall(r"\"(SILT_[A-Z_]+)", path.read_text())
        }
        assert {coded(row[0])[0] for row in table(read("docs/operations.md"), "variable", "meaning")} == used

    def test_constants(self) -> None:
        rows = table(read("docs/performance.md"), "constant", "where", "value", "why")
        assert len(rows) > 10
        for constant, where, value, _ in rows:
            module = import_module("siltstone." + coded(where)[0].removesuffix(".py").replace("/", "."))
            number, _, unit = value.replace(",", "").partition(" ")
            assert getattr(module, coded(constant)[0]) == int(number) * _UNITS[unit], f"{constant} in {where}"

    @pytest.mark.parametrize(
        ("name", "place"),
        [
            ("README.md", "comparison:{}"),
            *(("docs/performance.md", f"bench:{{}}{n}") for n in ("", " limits", " index", " tree")),
        ],
    )
    def test_places_for_figures_are_there(self, name: str, place: str) -> None:
        text = read(name)
        begin, end = (f"<!-- {place.format(word)} -->" for word in ("begin", "end"))
        assert text.count(begin) == text.count(end) == 1
        assert text.index(begin) < text.index(end)


class TestLinks:
    @BY_PAGE
    def test_links_lead_somewhere(self, page: Path) -> None:
        assert link_faults(page, page.read_text()) == []

    def test_every_page_is_linked_from_the_first(self) -> None:
        linked = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(read("README.md"))}
        assert set(ROOT.glob("docs/*.md")) <= linked


class TestChecks:
    """The checks themselves find what they are for."""

    def test_a_wrong_link_is_found(self) -> None:
        page = ROOT / "README.md"
        assert link_faults(page, "[a](docs/absent.md)") == ["docs/absent.md: there is no such file"]
        assert link_faults(page, "[a](#nowhere)") == ["#nowhere: there is no such heading"]
        assert link_faults(page, "[a](docs/concepts.md#the-words) [b](https://example.org/x) `[c](d)`"[:-7]) == []
        assert anchors("# The preset `phantom`\n```sh\n# no heading\n```\n") == {"the-preset-phantom"}

    def test_commands_are_found_wherever_they_stand(self) -> None:
        body = "0 1 * * 0  root  silt -q list\nExecStart=/usr/bin/silt verify\nsilt tar 0/1 | tar -t  # silt is here\nsilt=1"
        found = list(silt_commands(Block("sh", body, 1)))
        assert found == ["silt -q list", "silt verify", "silt tar 0/1"]

    def test_blocks_and_tables_are_read(self) -> None:
        text = "1. a\n\n   ```sh\n   one\n     two\n   ```\n\n| a | b |\n|---|---|\n| `c` | d |\n"
        assert blocks(text, "sh") == [Block("sh", "one\n  two\n", 3)]
        assert table(text, "a", "b") == [["`c`", "d"]]
        with pytest.raises(AssertionError):
            table(text, "no", "table")
