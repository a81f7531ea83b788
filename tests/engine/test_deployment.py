"""Deployments: every mistake is named with its line and key, presets hold what they must, paths become roots.

Rule: a mistake is judged by the text that a user would see; roots are looked up in real folders.
"""

import os
from pathlib import Path

import pytest

from siltstone.engine.deployment import Deployment, FileSet, quick_deployment, resolve_deployment
from siltstone.engine.deployment_file import load_deployment, parse_deployment
from siltstone.engine.errors import ConfigError
from siltstone.engine.exclude import SkipRules
from siltstone.engine.presets import PRESETS, starting_file

FULL = r"""
name = "shop"
version = "2.1"
privilege = "unprivileged"
[variables]
BASE = "${ROOT}/shop"
ROOT = "/srv"
PRICE = "$$5"
[defaults]
exclude = ["*.tmp", "[$$]x"]
skip-changed-within = 1.5
[file-sets.data]
paths = ["$BASE/data//x/../", "$ROOT/$PRICE", "relative/*", "~/inside"]
exclude = ["!keep.tmp", "*$$py.class"]
one-file-system = true
skip-patterns = ["*.part"]
[file-sets."a.b"]
paths = ["/"]
skip-sockets = false
skip-caches = true
skip-changed-within = 0
"""

SETS = '[file-sets.f]\npaths = ["/x"]\n'  # what a text needs besides the mistake that it is about

# The text, and what the error says: line, key, a part of the message, a part of the hint.
MISTAKES: list[tuple[str, int | None, str | None, str, str]] = [
    (SETS, None, "name", "missing", "name ="),
    ('name = "a b"\n' + SETS, 1, "name", "1 to 64 letters", ""),
    ('name = ".tmp"\n' + SETS, 1, "name", "1 to 64 letters", ""),
    (f'name = "{"x" * 65}"\n' + SETS, 1, "name", "1 to 64 letters", ""),
    ("name = 7\n" + SETS, 1, "name", "must be a string, not a number", 'name = "7"'),
    ('name = "x"\nversion = 4.1\n' + SETS, 2, "version", "must be a string", '"4.1"'),
    ('name = "x"\nvresion = "4.1"\n' + SETS, 2, "vresion", "not known", "'version'"),
    ('name = "x"\nprivilege = "root"\n' + SETS, 2, "privilege", "'root'", "'unprivileged'"),
    ('name = "x"\npreset = "fantom"\n' + SETS, 2, "preset", "no preset 'fantom'", "'phantom'"),
    ('name = "x"\n', None, "file-sets", "no file sets", "[file-sets.NAME]"),
    ('name = "x"\n[[file-sets]]\nname = "f"\n', 2, "file-sets", "tables with a name", "[file-sets.NAME]"),
    ('name = "x"\nfile-sets = 3\n', 2, "file-sets", "must be a table", ""),
    ('name = "x"\n[file-sets]\nf = "/x"\n', 3, "file-sets.f", "must be a table", ""),
    ('name = "x"\n[file-set.f]\npaths = ["/x"]\n', 2, "file-set", "not known", "'file-sets'"),
    ('name = "x"\n[database]\nhost = "db"\n' + SETS, 2, "database", "not known", "known here: "),
    ('name = "x"\n[file-sets."a/b"]\npaths = ["/x"]\n', 2, "file-sets.a/b", "1 to 64 letters", ""),
    ('name = "x"\n[file-sets.f]\npahts = ["/x"]\n', 3, "file-sets.f.pahts", "not known", "'paths'"),
    ('name = "x"\n[file-sets.f]\nexclude = ["x"]\n', 2, "file-sets.f", "no paths", "paths ="),
    ('name = "x"\npreset = "phantom"\n[file-sets.valt]\n', 3, "file-sets.valt", "no paths", "'vault'"),
    ('name = "x"\n[file-sets.f]\npaths = []\n', 3, "file-sets.f.paths", "empty list", ""),
    ('name = "x"\n[file-sets.f]\npaths = "/x"\n', 3, "file-sets.f.paths", "list of strings, not a string", '["/x"]'),
    ('name = "x"\n[file-sets.f]\npaths = [\n"/x",\n5]\n', 5, "file-sets.f.paths", "holds a number", ""),
    ('name = "x"\n[file-sets.f]\npaths = [\n"/x",\n"",\n]\n', 5, "file-sets.f.paths", "an empty path", ""),
    ('name = "x"\n[file-sets.f]\npaths = ["a\\u0000"]\n', 3, "file-sets.f.paths", "zero byte", ""),
    ('name = "x"\n[file-sets.f]\npaths = ["/a/**/b"]\n', 3, "file-sets.f.paths", "'**'", "each level"),
    ('name = "x"\n[file-sets.f]\npaths = ["~no-such-user/x"]\n', 3, "file-sets.f.paths", "no home", "./~"),
    ('name = "x"\n[file-sets.f]\npaths = ["$DAT"]\n[variables]\nDATA = "/"\n', 3, "file-sets.f.paths", "DAT", "'DATA'"),
    ('name = "x"\n' + SETS + 'exclude = ["a", "*$py.class"]\n', 4, "file-sets.f.exclude", "variable 'py'", "$$"),
    ('name = "x"\n' + SETS + 'exclude = ["a",\n"[b"]\n', 5, "file-sets.f.exclude", "'[b'", ""),
    ('name = "x"\n' + SETS + 'exclude = ["#save#"]\n', 4, "file-sets.f.exclude", "does nothing", "\\#"),
    ('name = "x"\n' + SETS + 'exclude = [" "]\n', 4, "file-sets.f.exclude", "does nothing", ""),
    (
        'name = "x"\n[file-sets.f]\npaths = ["/opt/a"]\nexclude = ["/tmp", "/opt/a/tmp"]\n',
        4, "file-sets.f.exclude", "rules begin at each path", "'/tmp'",
    ),
    ('name = "x"\n' + SETS + 'skip-patterns = ["a/b"]\n', 4, "file-sets.f.skip-patterns", "no '/'", "exclude"),
    ('name = "x"\n' + SETS + 'skip-sockets = "yes"\n', 4, "file-sets.f.skip-sockets", "true or false", ""),
    ('name = "x"\n' + SETS + "skip-changed-within = true\n", 4, "file-sets.f.skip-changed-within", "number of sec", ""),
    ('name = "x"\n' + SETS + "skip-changed-within = -1\n", 4, "file-sets.f.skip-changed-within", "0 or more", ""),
    ('name = "x"\n' + SETS + "skip-changed-within = nan\n", 4, "file-sets.f.skip-changed-within", "0 or more", ""),
    ('name = "x"\n' + SETS + "skip-changed-within = 07:30:00\n", 4, "file-sets.f.skip-changed-within", "a date", ""),
    ('name = "x"\n[defaults]\nskip_caches = true\n' + SETS, 3, "defaults.skip_caches", "not known", "'skip-caches'"),
    ('name = "x"\n[defaults]\npaths = ["/"]\n' + SETS, 3, "defaults.paths", "not known", ""),
    ('name = "x"\n[defaults]\nskip-caches = 1\n' + SETS + "skip-caches=true\n", 3, "defaults.skip-caches", "true", ""),
    ('name = "x"\n[variables]\nA-B = "x"\n' + SETS, 3, "variables.A-B", "letters, digits", ""),
    ('name = "x"\n[variables]\nA = 5\n' + SETS, 3, "variables.A", "must be a string", '"5"'),
    ('name = "x"\n[variables]\nA = "x"\nB = "$C"\n' + SETS, 4, "variables.B", "'C'", "known here: A"),
    ('name = "x"\n[variables]\nA = "x$"\n' + SETS, 3, "variables.A", "names no variable", "$$"),
    ('name = "x"\n[variables]\nA = "${B }"\n' + SETS, 3, "variables.A", "names no variable", "$$"),
    ('name = "x"\nname = "y"\n' + SETS, 2, None, "not TOML", ""),
    ('name = "x"\n\n[file-sets.f\n', 3, None, "not TOML", ""),
    ('name = "x"\n[file-sets.f]\npaths = ["/x"', 3, None, "not TOML", ""),
]  # fmt: skip  # a table: one mistake a line


@pytest.mark.parametrize(("text", "line", "key", "message", "hint"), MISTAKES)
def test_a_mistake_is_named(text: str, line: int | None, key: str | None, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_deployment(text, Path("/etc/silt/shop.toml"))
    error = caught.value
    assert (error.line, error.key, error.file) == (line, key, Path("/etc/silt/shop.toml"))
    assert message in error.what
    assert hint in error.hint
    place = "/etc/silt/shop.toml" + (f":{line}" if line else "") + (f": {key}" if key else "")
    assert str(error) == f"{place}: {error.what}"


def test_a_mistake_through_a_preset_has_its_key() -> None:
    with pytest.raises(ConfigError, match=r"variables\.PHANTOM_HOME"):
        parse_deployment('name = "x"\npreset = "phantom"\n[variables]\nPHANTOM_HOME = "$X"\n')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file") as caught:
        load_deployment(tmp_path / "none.toml")
    assert "silt config" in caught.value.hint
    (tmp_path / "latin.toml").write_bytes(b'name = "x"\n# caf\xe9\n')
    with pytest.raises(ConfigError, match=r"latin\.toml:2: is not UTF-8"):
        load_deployment(tmp_path / "latin.toml")


def test_everything_that_a_file_can_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    (tmp_path / "shop.toml").write_text(FULL)
    monkeypatch.chdir(tmp_path)
    folder = os.fsencode(tmp_path)
    assert load_deployment("shop.toml") == Deployment(
        name="shop",
        version="2.1",
        privilege="unprivileged",
        variables={"BASE": "/srv/shop", "ROOT": "/srv", "PRICE": "$5"},
        source=Path("shop.toml"),
        file_sets=(
            FileSet(
                "data",
                (b"/srv/shop/data", b"/srv/$5", folder + b"/relative/*", b"/home/ann/inside"),
                ("*.tmp", "[$]x", "!keep.tmp", "*$py.class"),
                SkipRules(one_file_system=True, changed_within_ns=1_500_000_000, patterns=("*.part",)),
            ),
            FileSet("a.b", (b"/",), ("*.tmp", "[$]x"), SkipRules(sockets=False, caches=True)),
        ),
    )


def test_variables_can_be_replaced() -> None:
    deployment = parse_deployment(FULL, None, {"ROOT": "/mnt"})
    assert deployment.file_sets[0].paths[:2] == (b"/mnt/shop/data", b"/mnt/$5")
    with pytest.raises(ConfigError, match="no variable 'ROTO'") as unknown:
        parse_deployment(FULL, None, {"ROTO": "/mnt"})
    assert "'ROOT'" in unknown.value.hint
    with pytest.raises(ConfigError, match=r"ROOT=\$X: unknown variable 'X'"):
        parse_deployment(FULL, None, {"ROOT": "$X"})


PHANTOM = {
    "misc_files": [
        "/opt/phantom/keystore/private_key.pem",
        "/opt/phantom/www/phantom_ui/secret_key.py",
        "/opt/phantom/www/phantom_ui/secret_key.pyc",
        "/etc/nginx/conf.d/default.conf",
        "/opt/phantom/etc/cacerts.pem",
        "/opt/phantom/splunk/etc/apps/splunk_httpinput/local/inputs.conf",
        "/opt/phantom/etc/enable",
        "/opt/phantom/www/phantom_ui/auth_backends/saml2_xml",
    ],
    "apps": ["/opt/phantom/apps"],
    "ssl": ["/opt/phantom/etc/ssl"],
    "certs": ["/opt/phantom/etc/certs"],
    "playbooks": ["/opt/phantom/scm"],
    "nginx_keys": ["/var/cache/nginx/.ssh"],
    "vault": ["/opt/phantom/vault"],
    "app_states": ["/opt/phantom/local_data/app_states"],
    "playbook_states": ["/opt/phantom/tmp"],
}


def test_the_preset_phantom_is_the_table_of_the_product() -> None:
    deployment = parse_deployment('name = "x"\npreset = "phantom"\n')
    assert {one.name: [os.fsdecode(path) for path in one.paths] for one in deployment.file_sets} == PHANTOM
    options = {one.name: (one.exclude, one.skip) for one in deployment.file_sets}
    streaming = SkipRules(changed_within_ns=60_000_000_000, patterns=("*.part", "*.partial", "*.tmp"))
    assert options.pop("vault") == (("/tmp/*",), streaming)
    assert set(options.values()) == {((), SkipRules())}


def test_a_preset_gives_way_key_by_key() -> None:
    text = """
        name = "x"
        preset = "phantom"
        [variables]
        PHANTOM_HOME = "/home/phantom"
        [defaults]
        exclude = ["*.bak"]
        one-file-system = true
        skip-changed-within = 5
        [file-sets.vault]
        paths = ["/mnt/vault"]
        skip-patterns = []
        [file-sets.reports]
        paths = ["$PHANTOM_HOME/reports"]
    """
    sets = {one.name: one for one in parse_deployment(text).file_sets}
    assert list(sets) == [*PHANTOM, "reports"]
    assert sets["vault"].paths == (b"/mnt/vault",)
    assert sets["vault"].exclude == ("*.bak", "/tmp/*")
    assert sets["vault"].skip == SkipRules(one_file_system=True, changed_within_ns=60_000_000_000)
    assert sets["reports"].paths == (b"/home/phantom/reports",)
    assert sets["apps"].paths == (b"/home/phantom/apps",)
    assert sets["apps"].skip == SkipRules(one_file_system=True, changed_within_ns=5_000_000_000)


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_starting_files_parse_and_change_nothing(preset: str | None) -> None:
    deployment = parse_deployment(starting_file(preset))
    assert all(one.skip == SkipRules() for one in deployment.file_sets if one.name != "vault")
    if preset:
        bare = parse_deployment(f'name = "x"\npreset = "{preset}"\n')
        assert deployment.file_sets == bare.file_sets
        assert all(f" {one.name}" in starting_file(preset) for one in bare.file_sets)


@pytest.fixture
def tree(tmp_path: Path) -> bytes:
    """Files at a/b/c, a/.hid, a-b, [x], "x y" and a name that is not UTF-8, and a link that points nowhere."""
    (tmp_path / "a/b").mkdir(parents=True)
    for name in (b"a/b/c", b"a/.hid", b"a-b", b"[x]", b"x", b"x y", b"\xff"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()
    (tmp_path / "link").symlink_to("nowhere")
    return os.fsencode(tmp_path) + b"/"


def file_set(tree: bytes, *paths: bytes, exclude: tuple[str, ...] = ()) -> FileSet:
    return FileSet("f", tuple(tree + path for path in paths), exclude)


def below(tree: bytes, paths: tuple[bytes, ...]) -> list[bytes]:
    return [path.removeprefix(tree) for path in paths]


def test_globs_become_roots_in_path_order(tree: bytes) -> None:
    roots = file_set(tree, b"*").roots()
    assert below(tree, roots.found) == [b"[x]", b"a", b"a-b", b"link", b"x", b"x y", b"\xff"]
    assert below(tree, file_set(tree, b"a/*").roots().found) == [b"a/.hid", b"a/b"]


def test_a_name_that_looks_like_a_glob_is_taken_as_both(tree: bytes) -> None:
    assert below(tree, file_set(tree, b"[x]").roots().found) == [b"[x]", b"x"]


def test_what_is_not_there_is_told_apart(tree: bytes) -> None:
    roots = file_set(tree, b"none", b"x/below-a-file", b"no*", b"link", b"x").roots()
    assert below(tree, roots.missing) == [b"none", b"x/below-a-file"]
    assert below(tree, roots.unmatched) == [b"no*"]
    assert below(tree, roots.found) == [b"link", b"x"]


def test_roots_inside_roots_are_nested(tree: bytes) -> None:
    roots = file_set(tree, b"a/b/c", b"a-b", b"a", b"a/*").roots()
    assert below(tree, roots.found) == [b"a", b"a-b"]
    assert below(tree, roots.nested) == [b"a/.hid", b"a/b", b"a/b/c"]
    assert FileSet("f", (b"/", tree[:-1])).roots()[:2] == ((b"/",), (tree[:-1],))


def test_a_path_that_is_named_and_excluded_is_refused(tree: bytes) -> None:
    with pytest.raises(ConfigError, match=r"file-sets\.f: .*a/b/c lies inside .*a, and an exclude rule"):
        file_set(tree, b"a", b"a/b/c", exclude=("b/",)).roots()
    assert file_set(tree, b"a", b"a/*", exclude=("b/",)).roots().found == (tree + b"a",)  # a glob names nothing
    assert file_set(tree, b"a", b"a/b/c", exclude=("x",)).roots().nested == (tree + b"a/b/c",)


def test_a_quick_deployment_takes_paths_as_they_are(tree: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.fsdecode(tree))
    deployment = quick_deployment(["a/../a", b"\xff", "a", "//$x"], "host.example", exclude=["*.o"])
    [resolved] = resolve_deployment(deployment)
    assert (deployment.name, resolved.file_set.name, resolved.file_set.exclude) == ("host.example", "files", ("*.o",))
    assert below(tree, resolved.file_set.paths) == [b"a", b"\xff", b"/$x"]
    assert below(tree, resolved.roots.found) == [b"a", b"\xff"]
    assert resolved.roots.missing == (b"/$x",)


@pytest.mark.parametrize(
    ("paths", "name", "exclude", "message"),
    [
        (["/x"], "..", [], "cannot name a deployment"),
        (["/x"], "-x", [], "cannot name a deployment"),
        (["/x"], "x\n", [], "cannot name a deployment"),
        ([], "x", [], "no paths"),
        ([""], "x", [], "an empty path"),
        (["/x"], "x", ["["], "exclude rule"),
    ],
)
def test_a_quick_deployment_refuses_mistakes(paths: list[str], name: str, exclude: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quick_deployment(paths, name, exclude=exclude)
