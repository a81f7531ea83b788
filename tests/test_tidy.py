"""The rules of the repository that no linter knows: layers, docstrings, sizes, what lies at the root.

Rule: each rule is a function from source text to a list of faults. It runs over every module here, and over small bad
samples, so that the rule itself is known to bite. It reads sources and runs none: an import that is put together at
run time from strings escapes it.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec

ROOT = Path(__file__).parent.parent
LAYERS = ("store", "engine", "cli")  # a layer may use those before it, never one after it
MODULE_LINES = 300
FRONT_DOOR_LINES = 500  # a front door is a table of names, and is as long as what it leads to
FUNCTION_LINES = 60
AT_THE_ROOT = {
    ".ci",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bench",
    "cli",
    "dev",
    "docs",
    "engine",
    "pyproject.toml",
    "setup.py",
    "store",
    "tests",
}
NO_NAME_FOR_A_MODULE = {"common", "helper", "helpers", "misc", "shared", "util", "utils"}  # these grow without end
UNEXPLAINED = re.compile(r"#\s*(type:\s*ignore|noqa|fmt:\s*off)(?!.*#\s*\w+\s+\w+)", re.IGNORECASE)
PROMISES = 120  # characters: in fewer no docstring says what a module is, its rule and what it does not promise


def modules(*folders: str) -> list[Path]:
    """Every Python source under these folders of the repository, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def package_of(path: Path) -> str:
    """The package in which a module of a layer is installed."""
    return ".".join(["siltstone", *path.parent.relative_to(ROOT).parts])


def imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, bool, list[str], list[str]]]:
    """(line, written relatively, dotted module, names) of each import, wherever it stands, made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, False, alias.name.split("."), []
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = node.module.split(".") if node.module else []
            yield node.lineno, node.level > 0, base + module, [alias.name for alias in node.names]


def import_faults(source: str, package: str, doors: dict[str, set[str]]) -> list[str]:
    """What an import in a module of `package` (siltstone.<layer>...) does against the layers.

    `doors` holds, for each layer, the names that its front door offers.
    """
    faults = folder_faults(source)
    own = package.split(".")
    for line, relative, module, names in imports(ast.parse(source), own):
        if module[:1] != ["siltstone"] or (relative and module[:2] == own[:2]):
            continue
        if relative:
            faults.append(f"{line}: relative import out of the layer")
        elif len(module) == 1 or not names:
            faults.append(f"{line}: not of the form 'from siltstone.<layer> import X'")
        elif module[1] == own[1]:
            faults.append(f"{line}: import relatively inside a layer")
        elif LAYERS.index(module[1]) > LAYERS.index(own[1]):
            faults.append(f"{line}: {own[1]} may not use {module[1]}")
        elif len(module) > 2:
            faults.append(f"{line}: past the front door of {module[1]}")
        else:
            faults += [f"{line}: {module[1]} offers no {name}" for name in names if name not in doors[module[1]]]
    return faults


def circles(uses: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The sets of modules that import each other, directly or through others, sorted; `uses` says who imports whom."""
    reached = {name: set(found) for name, found in uses.items()}
    for middle in uses:
        for each in reached.values():
            if middle in each:
                each.update(reached[middle])
    loops = [{other for other in each if name in reached.get(other, ())} for name, each in reached.items()]
    return sorted({tuple(sorted(loop)) for loop in loops if loop})


def folder_faults(source: str) -> list[str]:
    """Imports of a layer by the name of its folder: that would be a second copy of what is installed."""
    absolute = [(line, module[0]) for line, relative, module, _ in imports(ast.parse(source), []) if not relative]
    return [f"{line}: '{name}' is installed as siltstone.{name}" for line, name in absolute if name in LAYERS]


def offered(source: str) -> set[str]:
    """The names that a front door binds: its `__all__` where it has one, else all that do not begin with '_'."""
    bound: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as listed):
                return {str(item.value) for item in listed.elts if isinstance(item, ast.Constant)}
            case ast.ImportFrom() | ast.Import():
                bound |= {alias.asname or alias.name for alias in node.names}
            case ast.FunctionDef() | ast.ClassDef():
                bound.add(node.name)
            case ast.Name(ctx=ast.Store()):
                bound.add(node.id)
    return {name for name in bound if not name.startswith("_")}


def docstring_faults(source: str, least: int) -> list[str]:
    """A module without a docstring, or with one of fewer than `least` characters."""
    text = ast.get_docstring(ast.parse(source)) or ""
    if not text:
        return ["1: no docstring"]
    return [] if len(text) >= least else [f"1: says not what it is, its rule, what it does not promise: {text!r}"]


def size_faults(source: str) -> list[str]:
    """A module or a function that has grown too long. A function's own docstring is not counted."""
    lines = len(source.splitlines())
    most = FRONT_DOOR_LINES if "\n_FROM = {\n" in source else MODULE_LINES
    faults = [f"{lines}: {lines} lines in one module"] if lines > most else []
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    lengths = {node: function_lines(node) for node in functions}
    return faults + [f"{node.lineno}: {n} lines in {node.name}()" for node, n in lengths.items() if n > FUNCTION_LINES]


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        length -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return length


def silenced_faults(source: str) -> list[str]:
    """A checker that is silenced without a second comment saying why."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return [f"{token.start[0]}: {token.string} (why?)" for token in comments if UNEXPLAINED.search(token.string)]


def root_faults(names: set[str], ignored: list[str]) -> list[str]:
    """What lies at the root and is neither expected nor ignored (`ignored`: the lines of .gitignore)."""
    spec = GitIgnoreSpec.from_lines(ignored)
    return sorted(name for name in names - AT_THE_ROOT if not spec.match_file(name) and not spec.match_file(name + "/"))


def refuse(faults: dict[Path, list[str]]) -> None:
    """Fails with one line a fault, as file:line: what."""
    lines = [f"{path.relative_to(ROOT)}:{fault}" for path, found in faults.items() for fault in found]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


DOORS: dict[str, set[str]] = {"store": {"Store"}, "engine": {"backup"}, "cli": set()}  # of the samples


class TestRepository:
    """The rules, held against what is here."""

    def test_layers_import_downwards_and_through_the_front_door(self) -> None:
        doors = {layer: offered((ROOT / layer / "__init__.py").read_text()) for layer in LAYERS}
        refuse({path: import_faults(path.read_text(), package_of(path), doors) for path in modules(*LAYERS)})

    @pytest.mark.parametrize("layer", ["engine", "cli"])  # a place of a store may lead to another kind of place
    def test_no_modules_import_each_other(self, layer: str) -> None:
        uses: dict[str, set[str]] = {}
        for path in modules(layer):
            package = package_of(path)
            found = imports(ast.parse(path.read_text()), package.split("."))
            if path.stem != "__init__":
                names = {".".join([*module, name]) for _, _, module, names in found for name in ["", *names]}
                uses[f"{package}.{path.stem}"] = {name.rstrip(".") for name in names}
        assert len(uses) > 50
        assert not circles(uses)

    def test_no_module_hides_a_name_of_its_front_door(self) -> None:
        for door in (path for layer in LAYERS for path in (ROOT / layer).rglob("__init__.py")):
            beside = {path.stem for path in door.parent.iterdir() if path.suffix == ".py" or path.is_dir()}
            assert not offered(door.read_text()) & beside, door

    def test_tests_and_bench_use_what_is_installed(self) -> None:
        refuse({path: folder_faults(path.read_text()) for path in modules("tests", "bench")})

    def test_modules_say_what_they_are(self) -> None:
        faults = {path: docstring_faults(path.read_text(), PROMISES) for path in modules(*LAYERS)}
        faults |= {path: docstring_faults(path.read_text(), 1) for path in modules("tests", "bench")}
        refuse(faults)

    def test_modules_and_functions_stay_small(self) -> None:
        refuse({path: size_faults(path.read_text()) for path in modules(*LAYERS, "tests", "bench")})

    def test_silenced_checkers_have_a_reason(self) -> None:
        refuse({path: silenced_faults(path.read_text()) for path in modules(*LAYERS, "tests", "bench")})

    def test_no_module_is_a_drawer(self) -> None:
        names = [path for path in modules(*LAYERS, "tests", "bench") if path.stem in NO_NAME_FOR_A_MODULE]
        assert not names

    def test_siltstone_is_a_namespace(self) -> None:
        assert not (ROOT / "__init__.py").exists()
        assert not (ROOT / "siltstone").exists()

    def test_every_package_is_installed(self) -> None:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
        assert {package_of(path) for path in modules(*LAYERS)} == set(declared)

    def test_root_holds_nothing_unexpected(self) -> None:
        ignored = (ROOT / ".gitignore").read_text().splitlines()
        assert not root_faults({path.name for path in ROOT.iterdir()}, ignored)


class TestRules:
    """Each rule finds what it is for, and leaves alone what is right."""

    @pytest.mark.parametrize(
        ("package", "source"),
        [
            ("siltstone.store", "from siltstone.engine import backup"),
            ("siltstone.engine", "def late():\n    from siltstone.cli import main"),
            ("siltstone.engine", "if TYPE_CHECKING:\n    from siltstone.cli import main"),
            ("siltstone.engine", "from siltstone.store.pack import Pack"),
            ("siltstone.engine", "from siltstone.store import _hidden"),
            ("siltstone.engine", "from siltstone.store import *"),
            ("siltstone.engine", "import siltstone.store"),
            ("siltstone.engine", "from siltstone import store"),
            ("siltstone.engine", "from siltstone.engine.scan import scan"),
            ("siltstone.engine", "from ..store import Store"),
            ("siltstone.engine", "from .. import store"),
            ("siltstone.engine.postgres", "from ...store import Store"),
            ("siltstone.engine", "import store"),
            ("siltstone.cli", "from engine.scan import scan"),
        ],
    )
    def test_a_wrong_import_is_found(self, package: str, source: str) -> None:
        assert len(import_faults(source, package, DOORS)) == 1

    @pytest.mark.parametrize(
        ("package", "source"),
        [
            ("siltstone.cli", "from siltstone.engine import backup\nfrom siltstone.store import Store"),
            ("siltstone.engine", "from .scan import scan\nfrom . import cut\nimport os, stat"),
            (
                "siltstone.engine.postgres",
                "from ..scan import scan\nfrom .wal import Wal",
            ),
        ],
    )
    def test_a_right_import_is_left_alone(self, package: str, source: str) -> None:
        assert import_faults(source, package, DOORS) == []

    def test_a_circle_is_found(self) -> None:
        assert circles({"a": {"b"}, "b": {"c", "x"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
        assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []

    def test_a_front_door_offers_what_it_lists_or_binds(self) -> None:
        assert offered("from .a import one, two as zwei\n_no = 1\ndef yes(): ...") == {"one", "zwei", "yes"}
        assert offered("from .a import one, two\n__all__ = ['one']") == {"one"}

    def test_a_missing_or_empty_docstring_is_found(self) -> None:
        assert docstring_faults("x = 1", 1)
        assert docstring_faults('"""Tools."""', PROMISES)
        assert not docstring_faults('"""Tools."""', 1)
        assert not docstring_faults(f'"""{"word " * 40}"""', PROMISES)

    def test_length_is_found(self) -> None:
        body = "    x = 1\n"
        assert not size_faults("def f():\n" + body * (FUNCTION_LINES - 1))
        assert size_faults("def f():\n" + body * FUNCTION_LINES)
        assert size_faults("class A:\n  async def f():\n" + body * FUNCTION_LINES)
        assert not size_faults('def f():\n    """One\n\n    two."""\n' + body * (FUNCTION_LINES - 1))
        assert not size_faults("x = 1\n" * MODULE_LINES)
        assert size_faults("x = 1\n" * (MODULE_LINES + 1))

    def test_a_silenced_checker_needs_a_reason(self) -> None:
        assert silenced_faults("x = y  # type: " + "ignore[attr-defined]")
        assert silenced_faults("x = y  # no" + "qa: E501")
        assert not silenced_faults("x = y  # type: " + "ignore[attr-defined]  # the module has no types")
        assert not silenced_faults("x = 'no" + "qa'")

    def test_a_stray_file_at_the_root_is_found(self) -> None:
        assert root_faults({"store", "notes.txt", ".venv"}, ["/.venv/"]) == ["notes.txt"]
        assert root_faults({"pyproject.toml", "x.so"}, ["*.so"]) == []
