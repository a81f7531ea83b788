"""The pages say what is there: their examples run or parse, their tables equal the program's own, their links lead on.

Rule: a fenced block `sh run` is run, all of a page in one sandbox and in order; any other `sh` block is at least shell,
and every `silt` in it parses. A table that repeats the program (exit codes, keys, variables, constants, the preset) is
compared with it in both directions, so that neither changes alone. Prose is not checked.
"""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from siltstone.cli.exits import MEANING
from siltstone.cli.main import COMMANDS
from siltstone.cli.settings import KEYS, parse_settings
from siltstone.engine import (
    PRESETS,
    ConfigError,
    Nature,
    configuration_name,
    judge,
    parse_deployment,
    parts_of,
    resolve_deployment,
    starting_file,
)
from siltstone.engine.exclude import rule_mistake
from tests.cli.test_commands import parse
from tests.pages import Block, anchors, blocks, coded, link_faults, links, runnable, silt_commands, table

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "": 1}
PHANTOM = parse_deployment('name = "x"\npreset = "phantom"')
DEPLOYMENT = 'name = "d"\n[file-sets.d]\npaths = ["a"]\n'


def read(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.fixture
def sandbox(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user, whose PATH begins with `silt`."""
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
        start_new_session=True,  # no terminal, even where the tests have one
        timeout=100,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def in_class(text: str, privilege: str) -> str:
    """A deployment file of the page for the other privilege class, by what the page says that changes."""
    if privilege == "privileged":
        return text
    (block,) = blocks(read("docs/deployments.md"), "toml unprivileged")
    said, _, variables = block.body.partition("\n\n")
    assert text.count('privilege = "privileged"') == 1
    return text.replace('privilege = "privileged"', said) + "\n" + variables


class TestExamples:
    @BY_PAGE
    def test_shell_is_shell_and_every_silt_parses(self, page: Path) -> None:
        for block in blocks(page.read_text(), "sh", "sh run", "ini", "crontab"):
            if block.info.startswith("sh"):
                checked = subprocess.run(["bash", "-n", "-c", block.body], capture_output=True, text=True)
                assert not checked.stderr, f"{page.name}, line {block.line}"
            for line in silt_commands(block):
                try:
                    parse(line)
                except click.ClickException as error:
                    pytest.fail(f"{page.name}, line {block.line}: {line}: {error.format_message()}", pytrace=False)

    @pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=lambda page: page.stem)
    def test_runnable_blocks_run(self, page: Path, sandbox: dict[str, str]) -> None:
        run(runnable(page.read_text()), sandbox)

    def test_five_minutes_bring_everything_back(self, sandbox: dict[str, str]) -> None:
        said = run(runnable(read("README.md")), sandbox)
        documents = Path(sandbox["HOME"]) / "trial" / "documents"
        restored = documents.parent / "restored" / str(documents).lstrip("/")
        numbers = "".join(f"{number}\n" for number in range(1, 200_001))
        assert (documents / "numbers").read_text() == (restored / "numbers").read_text() == numbers
        assert (restored / "note").read_text() == "a first note\n"
        assert (documents / "note").read_text() == "a first note\na second note\n"
        assert "no damage found" in said

    def test_the_next_backup_heals_and_a_repair_tidies(self, sandbox: dict[str, str]) -> None:
        assert "The next backup heals what is still on the disk" in read("docs/operations.md")
        home = Path(sandbox["HOME"])
        sandbox["SILT_STORE"] = str(home / "store")
        (home / "deployment.toml").write_text(DEPLOYMENT)
        run("seq 100000 > a; silt init --no-encryption; silt backup -c deployment.toml", sandbox)
        (pack,) = (path for path in (home / "store" / "packs").rglob("*") if path.is_file())
        content = bytearray(pack.read_bytes())
        content[1000] ^= 1
        pack.write_bytes(content)
        run("silt scrub || test $? = 4", sandbox)
        run("silt backup -c deployment.toml || test $? = 3", sandbox)
        assert "will: " in run("silt repair --yes", sandbox)
        assert "no damage found" in run("silt verify --read-data all", sandbox)
        assert not pack.exists()
        run('silt restore 0/0 --to out; cmp a "out$PWD/a"', sandbox)

    def test_deployment_files_parse(self) -> None:
        found = blocks(read("docs/deployments.md"), "toml")
        assert len(found) >= 4
        for block in found:
            parse_deployment(block.body)

    @pytest.mark.parametrize("privilege", ["privileged", "unprivileged"])
    @pytest.mark.parametrize("configuration", ["standalone", "external-database", "external-shares", "cluster"])
    def test_each_of_the_eight_configurations_has_a_file(self, configuration: str, privilege: str) -> None:
        """Its file is what it says that it is, on every host of it; and it goes onto each other one of its class."""
        files = {}
        for block in blocks(read("docs/deployments.md"), "toml"):
            if named := re.match(r"# ([a-z-]+)", block.body):
                files[named[1]] = parse_deployment(in_class(block.body, privilege))
        found = files[configuration]
        assert (configuration_name(found), found.privilege) == (configuration, privilege)
        assert {file_set.name for file_set in found.file_sets} == {each.name for each in PHANTOM.file_sets}
        assert found.database is not None
        resolve_deployment(found)  # nothing of it is here, and that is no mistake
        hosts = [host.name for host in found.topology.hosts] or [""]
        assert {part.host for part in parts_of(found)} == set(hosts)
        origin, *others = (
            Nature(configuration_name(each), each.version, each.privilege or "") for each in (found, *files.values())
        )
        assert len(others) == 4
        assert not [refusal for other in others for refusal in judge(origin, other)]
        (refusal,) = judge(origin, replace(origin, privilege="another"))
        assert refusal.rule == "privilege-mismatch"

    def test_settings_files_parse(self) -> None:
        (block,) = blocks(read("docs/operations.md"), "toml settings")
        assert tuple(parse_settings(block.body, "the page")) == KEYS

    def test_exclude_rules_are_what_the_page_says(self) -> None:
        text = read("docs/deployments.md")
        for rule, _ in table(text, "rule", "leaves out"):
            assert not any(map(rule_mistake, coded(rule)))
        refused = re.search(r"A rule that can match nothing is refused.*?closed", text, re.DOTALL)
        assert refused
        examples = coded(refused[0])[1:]  # the first is `silt`
        assert len(examples) >= 4
        assert all(map(rule_mistake, examples))

    def test_every_command_has_an_example(self) -> None:
        shown = {
            line.split()[1]
            for page in PAGES
            for block in blocks(page.read_text(), "sh", "sh run")
            for line in silt_commands(block)
        }
        assert set(COMMANDS) - shown == {"completion"}  # its help says where the script goes


class TestTables:
    """What a page repeats of the program, in both directions."""

    def test_exit_codes(self) -> None:
        documented = {int(code): meaning for code, meaning in table(read("docs/operations.md"), "code", "meaning")}
        assert documented == {int(code): meaning for code, meaning in MEANING.items()}

    @pytest.mark.parametrize("where", ["", "[defaults]\n", "[file-sets.a]\n"], ids=["top", "defaults", "file set"])
    def test_keys_of_the_deployment_file(self, where: str) -> None:
        """What is accepted, the parser tells itself: its hint about a key that is like no other lists all it knows."""
        with pytest.raises(ConfigError) as refused:
            parse_deployment(f'name = "x"\n{where}qqqqqqqq = 1\n')
        accepted = set(refused.value.hint.removeprefix("known here: ").split(", "))
        head = ("key", "value", "default", "meaning") if where else ("key", "value", "meaning")
        documented = {key for row in table(read("docs/deployments.md"), *head) for key in coded(row[0])}
        assert (
            documented - ({"paths", "configuration", "host", "hosts", "share"} if "defaults" in where else set())
            == accepted
        )

    def test_defaults_of_the_options(self) -> None:
        """They are those of the file that `silt config new` writes, which says so of itself."""
        text = starting_file().partition("[defaults]\n")[2].partition("\n\n")[0]
        written = dict(re.findall(r"^([a-z-]+) = (\S+)", text, re.MULTILINE))
        rows = table(read("docs/deployments.md"), "key", "value", "default", "meaning")
        assert {coded(key)[0]: coded(default)[0] for key, _, default, _ in rows if default} == written

    def test_the_preset(self) -> None:
        """The tables, written as a deployment file, say what the preset says."""
        text = read("docs/deployments.md")
        variables = {coded(row[0])[0]: coded(row[1])[0] for row in table(text, "variable", "value", "")}
        sets = {coded(row[0])[0]: coded(row[2]) for row in table(text, "file set", "what", "paths")}
        spelled = "[variables]\n" + "".join(f'{name} = "{value}"\n' for name, value in variables.items())
        spelled += "".join(f"[file-sets.{name}]\npaths = {paths}\n" for name, paths in sets.items())
        (preset,) = PRESETS.values()
        documented, real = (parse_deployment(f'name = "x"\n{each}') for each in (spelled, preset))
        assert documented.variables == real.variables
        assert {each.name: each.paths for each in documented.file_sets} == {
            each.name: each.paths for each in real.file_sets
        }

    def test_keys_of_the_settings_file(self) -> None:
        assert tuple(coded(row[0])[0] for row in table(read("docs/operations.md"), "key", "meaning")) == KEYS

    def test_variables_of_the_environment(self) -> None:
        sources = [path.read_text() for path in (ROOT / "cli").rglob("*.py")]
        used = {name for source in sources for name in re.findall(r"\"(SILT_[A-Z_]+)", source)}
        assert {coded(row[0])[0] for row in table(read("docs/operations.md"), "variable", "meaning")} == used

    def test_constants(self) -> None:
        rows = table(read("docs/performance.md"), "constant", "where", "value", "why")
        assert len(rows) > 10
        for constant, where, value, _ in rows:
            module = import_module("siltstone." + coded(where)[0].removesuffix(".py").replace("/", "."))
            number, _, unit = value.replace(",", "").partition(" ")
            assert getattr(module, coded(constant)[0]) == int(number) * UNITS[unit], f"{constant} in {where}"

    @pytest.mark.parametrize(
        "place",
        [
            "comparison:{}",
            "bench:{}",
            "bench:{} limits",
            "bench:{} index",
            "bench:{} tree",
            "bench:{} days",
            "bench:{} tar",
        ],
    )
    def test_places_for_figures_are_there(self, place: str) -> None:
        text = read("README.md" if "comparison" in place else "docs/performance.md")
        begin, end = (f"<!-- {place.format(word)} -->" for word in ("begin", "end"))
        assert text.count(begin) == text.count(end) == 1
        assert text.index(begin) < text.index(end)


class TestLinks:
    @BY_PAGE
    def test_links_lead_somewhere(self, page: Path) -> None:
        assert link_faults(page, page.read_text()) == []

    def test_every_page_is_linked_from_the_first(self) -> None:
        linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(read("README.md"))}
        assert set(ROOT.glob("docs/*.md")) <= linked


class TestChecks:
    """The checks themselves find what they are for."""

    def test_a_wrong_link_is_found(self) -> None:
        page = ROOT / "README.md"
        assert link_faults(page, "[a](docs/absent.md)") == ["docs/absent.md: there is no such file"]
        assert link_faults(page, "[a](docs/concepts.md#x)") == ["docs/concepts.md#x: there is no such heading"]
        assert link_faults(page, "[a](docs/concepts.md#the-words) [b](https://example.org/x)\n```\n[c](d)\n```") == []
        assert anchors("# The preset `phantom`\n```sh\n# no heading\n```\n") == {"the-preset-phantom"}

    def test_commands_are_found_wherever_they_stand(self) -> None:
        lines = (
            "0 1 * * 0  root  silt -q list",
            "ExecStart=/usr/bin/silt verify",
            "silt tar 0/1 | tar -t  # silt is here",
        )
        found = list(silt_commands(Block("sh", "\n".join(lines), 1)))
        assert found == ["silt -q list", "silt verify", "silt tar 0/1"]

    def test_blocks_and_tables_are_read(self) -> None:
        text = "1. a\n\n   ```sh\n   one\n     two\n   ```\n\n| a | b |\n|---|---|\n| `c` | d |\n"
        assert blocks(text, "sh") == [Block("sh", "one\n  two\n", 3)]
        assert table(text, "a", "b") == [["`c`", "d"]]
        with pytest.raises(AssertionError):
            table(text, "no", "table")
