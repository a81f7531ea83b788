"""The deployment file: TOML, in which each file set is a table `[file-sets.NAME]`.

    name, version, privilege, preset, os          strings
    [hosts.NAME]      see deployment_hosts.py     the hosts of a deployment that has several
    [variables]       NAME = "text"               used as $NAME or ${NAME} in paths and rules
    [defaults]        the options of a file set   where the file set does not give its own
    [file-sets.NAME]  paths, configuration, and   exclude, one-file-system, skip-sockets, skip-caches,
                      the options                 skip-changed-within (seconds), skip-patterns
    [postgres]        dsn, max-rate, checkpoint,  a cluster that is backed up with them: libpq's own words, kB/s,
                      mode, full-read-days,       "fast" or "spread", "auto", "wire" or "local", and a number;
                      config-tables, host,        which host has it, and where a restore puts it
                      external, data-directory
    [hooks]           see hooks.py                what is run before and after a backup
    [schedule]        see schedule.py             when what is run
    [notify]          see notify.py               whom to tell what it came to
    [retention]       keep-groups, keep-daily...  see deployment_retention.py

A table for each file set, and not `[[file-set]]`, because TOML then sees to it that names are unique, and because a
file can change one key of one file set of a preset.

Rule: whatever is not understood is refused, with file, line and key, and a hint. The `exclude` of the defaults comes
before that of a file set; every other option is the file set's own, else the preset's, else the default's.
It does not ask whether paths exist: they may come later.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from .database_info import NOT_IN_PLACE
from .deployment import Database, Deployment, FileSet, Privilege, absolute_path, name_mistake
from .deployment_hosts import PLACE_KEYS, path_in, place_of_set, topology_of
from .deployment_retention import retention_of
from .errors import ConfigError
from .exclude import SkipRules, rule_mistake
from .hooks import hooks_of
from .notify import notify_of
from .postgres.table_name import TableName, parse_table_name
from .presets import PRESETS
from .schedule import schedule_of
from .toml_table import Table, first_with, read_toml
from .topology import check_topology
from .variables import NAME, ExpansionError, did_you_mean, expand, expand_home, resolve_variables

_WORDS = ("name", "version", "privilege", "preset", "os", "parts-within")
_TABLES = ("variables", "defaults", "file-sets", "hosts", "postgres", "hooks", "schedule", "notify", "retention")
_OPTIONS = ("exclude", "one-file-system", "skip-sockets", "skip-caches", "skip-changed-within", "skip-patterns")
_DATABASE_KEYS = (
    "dsn", "max-rate", "checkpoint", "mode", "full-read-days", "config-tables", "host", "external", "data-directory",
)  # fmt: skip
_MODES: Mapping[str, Literal["auto", "wire", "local"]] = {"auto": "auto", "wire": "wire", "local": "local"}
_PRIVILEGES: Mapping[str, Privilege] = {"privileged": "privileged", "unprivileged": "unprivileged"}


def load_deployment(path: str | os.PathLike[str], variables: Mapping[str, str] | None = None) -> Deployment:
    """Read a deployment file; `variables` replace the values of its own. ConfigError for every kind of mistake."""
    source = Path(path)
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        hint = "'silt config new' writes one to start from" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot be read: {error.strerror}", file=source, hint=hint) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8", file=source, line=line) from None
    return parse_deployment(text, source, variables)


def parse_deployment(text: str, source: Path | None = None, variables: Mapping[str, str] | None = None) -> Deployment:
    """The deployment that a text describes. Relative paths begin at the folder of `source`, else the current one."""
    top = read_toml(text, source)
    top.refuse_unknown((*_WORDS, *_TABLES))
    name = _name(top)
    privilege = _privilege(top)
    preset = _preset(top)
    values = _variables(top, preset, variables or {})
    folder = os.path.abspath(os.fsencode(source.parent if source else "."))
    file_sets = tuple(_file_sets(top, preset, values, folder))
    database = _database(top, values, folder)
    deployment = Deployment(
        name,
        file_sets,
        top.string("version"),
        privilege,
        values,
        source,
        database,
        hooks=hooks_of(top),
        schedule=schedule_of(top),
        notify=notify_of(top),
        retention=retention_of(top),
        topology=topology_of(top),
    )
    check_topology(deployment)
    return deployment


def _name(top: Table) -> str:
    if "name" not in top:
        raise top.error("missing", "name", hint='write name = "..." at the top of the file')
    name = top.string("name")
    if mistake := name_mistake(name):
        raise top.error(f"'{name}': {mistake}", "name")
    return name


def _privilege(top: Table) -> Privilege | None:
    if "privilege" not in top:
        return None
    word = top.string("privilege")
    if word not in _PRIVILEGES:
        raise top.error(f"'{word}' is no privilege class", "privilege", hint="write 'privileged' or 'unprivileged'")
    return _PRIVILEGES[word]


def _preset(top: Table) -> Table:
    """The tables of the preset, which are empty if the file names none. Their mistakes have a key and no line."""
    name = top.string("preset")
    if "preset" in top and name not in PRESETS:
        raise top.error(f"there is no preset '{name}'", "preset", hint=did_you_mean(name, PRESETS))
    preset = read_toml(PRESETS.get(name, ""), None)
    return Table(preset.entries, (), None, {})


def _variables(top: Table, preset: Table, given: Mapping[str, str]) -> dict[str, str]:
    own, theirs = top.table("variables"), preset.table("variables")
    for name in own.entries:
        if not NAME.fullmatch(name):
            raise own.error("a variable's name is letters, digits and '_'", name)
    raw = {name: theirs.string(name) for name in theirs.entries} | {name: own.string(name) for name in own.entries}
    for name in given:
        if name not in raw:
            mistake = f"there is no variable '{name}' to replace"
            raise ConfigError(mistake, file=top.source, key="variables", hint=did_you_mean(name, raw))
    try:
        return resolve_variables(raw | dict(given))
    except ExpansionError as error:
        if error.variable in given:
            raise ConfigError(f"{error.variable}={given[error.variable]}: {error}", hint=error.hint) from None
        raise own.error(str(error), error.variable, hint=error.hint) from None


def _database(top: Table, values: Mapping[str, str], folder: bytes) -> Database | None:
    if "postgres" not in top:
        return None
    from .postgres.backup_command import MAX_RATE

    table = top.table("postgres")
    table.refuse_unknown(_DATABASE_KEYS)
    try:
        dsn = expand(table.string("dsn"), values)
    except ExpansionError as error:
        raise table.error(str(error), "dsn", hint=error.hint) from None
    checkpoint = table.string("checkpoint") or "fast"
    if checkpoint not in ("fast", "spread"):
        raise table.error(f"'{checkpoint}' is no kind of checkpoint", "checkpoint", hint="write 'fast' or 'spread'")
    rate = table.number("max-rate")
    if rate is not None and not MAX_RATE[0] <= rate <= MAX_RATE[1]:
        raise table.error(f"servers take {MAX_RATE[0]} to {MAX_RATE[1]} kB/s", "max-rate")
    mode = table.string("mode") or "auto"
    if mode not in _MODES:
        raise table.error(f"'{mode}' is no way to read a cluster", "mode", hint="write 'auto', 'wire' or 'local'")
    days = table.number("full-read-days")
    if days is not None and days < 0:
        raise table.error("must not be negative", "full-read-days", hint="0: everything is read each time")
    return Database(
        dsn,
        rate,
        checkpoint == "spread",
        _MODES[mode],
        _config_tables(table),
        7 if days is None else days,
        table.string("host"),
        table.flag("external", default=False),
        path_in(table, "data-directory", values, folder),
    )


def _config_tables(table: Table) -> tuple[TableName, ...]:
    names = []
    for place, text in enumerate(table.strings("config-tables")):
        try:
            names.append(parse_table_name(text))
        except ValueError as error:
            raise table.error(str(error), "config-tables", place) from None
    return tuple(dict.fromkeys(names))


def _file_sets(top: Table, preset: Table, values: Mapping[str, str], folder: bytes) -> Iterator[FileSet]:
    if isinstance(top.entries.get("file-sets"), list):
        raise top.error("must be tables with a name", "file-sets", hint="write [file-sets.NAME] for each file set")
    own, theirs, defaults = top.table("file-sets"), preset.table("file-sets"), top.table("defaults")
    defaults.refuse_unknown(_OPTIONS)
    _check_options(defaults, values)
    names = dict.fromkeys((*theirs.entries, *own.entries))
    if not names and "postgres" not in top:
        hint = 'write [file-sets.NAME] with paths = ["..."]'
        raise top.error("no file sets: nothing would be backed up", "file-sets", hint=hint)
    for name in names:
        tables = [side.table(name) for side in (own, theirs) if name in side]
        if mistake := name_mistake(name):
            raise tables[0].error(mistake)
        if name in NOT_IN_PLACE and "postgres" in top:
            raise tables[0].error("is how what [postgres] brings is called", hint="choose another name")
        tables[0].refuse_unknown(("paths", "configuration", *PLACE_KEYS, *_OPTIONS))
        if not any("paths" in table for table in tables):
            raise tables[0].error("has no paths", hint=did_you_mean(name, theirs.entries) or 'write paths = ["..."]')
        yield _file_set(name, tables, defaults, values, folder)


def _file_set(name: str, tables: list[Table], defaults: Table, values: Mapping[str, str], folder: bytes) -> FileSet:
    for table in tables:
        _check_options(table, values)
    paths = _paths(first_with("paths", tables), values, folder)
    source = first_with("exclude", tables)
    rules = _rules(source, "exclude", values)
    _refuse_absolute_rules(source, rules, paths)
    exclude = (*_rules(defaults, "exclude", values), *rules)
    configuration = first_with("configuration", tables).flag("configuration", default=False)
    place = place_of_set(tables, values, folder)
    skip = _skip_rules([*tables, defaults], values)
    return FileSet(name, paths, exclude, skip, configuration, place.hosts, place.share)


def _check_options(table: Table, values: Mapping[str, str]) -> None:
    """Every option is checked where it stands, also where another table has the last word."""
    _skip_rules([table], values)
    _rules(table, "exclude", values)


def _skip_rules(tables: list[Table], values: Mapping[str, str]) -> SkipRules:
    return SkipRules(
        one_file_system=first_with("one-file-system", tables).flag("one-file-system", default=False),
        sockets=first_with("skip-sockets", tables).flag("skip-sockets", default=True),
        caches=first_with("skip-caches", tables).flag("skip-caches", default=False),
        changed_within_ns=first_with("skip-changed-within", tables).nanoseconds("skip-changed-within"),
        patterns=_name_rules(first_with("skip-patterns", tables), values),
    )


def _paths(table: Table, values: Mapping[str, str], folder: bytes) -> tuple[bytes, ...]:
    texts = table.strings("paths")
    if not texts:
        raise table.error("an empty list", "paths", hint='write paths = ["..."]')
    paths = []
    for place, text in enumerate(texts):
        try:
            path = absolute_path(os.fsencode(expand_home(text, values)), folder)
        except ExpansionError as error:
            raise table.error(str(error), "paths", place, hint=error.hint) from None
        except ConfigError as error:
            raise table.error(error.what, "paths", place) from None
        if b"**" in path:
            hint = "write a '*' for each level, as in /srv/*/config"
            raise table.error("'**' is not known in paths", "paths", place, hint=hint)
        paths.append(path)
    return tuple(dict.fromkeys(paths))


def _rules(table: Table, key: str, values: Mapping[str, str]) -> tuple[str, ...]:
    rules = []
    for place, text in enumerate(table.strings(key)):
        try:
            rule = expand(text, values)
        except ExpansionError as error:
            raise table.error(str(error), key, place, hint=error.hint) from None
        if not rule.strip(" ") or rule.startswith("#"):
            raise table.error(f"'{rule}' does nothing", key, place, hint="write '\\#' for a name that begins with '#'")
        if mistake := rule_mistake(rule):
            raise table.error(f"'{rule}': {mistake}", key, place)
        rules.append(rule)
    return tuple(rules)


def _name_rules(table: Table, values: Mapping[str, str]) -> tuple[str, ...]:
    rules = _rules(table, "skip-patterns", values)
    for place, rule in enumerate(rules):
        if "/" in rule:
            raise table.error(
                f"'{rule}': patterns of names hold no '/'", "skip-patterns", place, hint="write it in 'exclude'"
            )
    return rules


def _refuse_absolute_rules(table: Table, rules: tuple[str, ...], paths: tuple[bytes, ...]) -> None:
    """A rule that repeats a whole path of its file set. With one component it may be meant: /data/data/cache."""
    for place, rule in enumerate(rules):
        for path in map(os.fsdecode, paths):
            if path.count("/") > 1 and f"{rule.removeprefix('!')}/".startswith(f"{path}/"):
                rest = rule.removeprefix("!").removeprefix(path)
                hint = f"write '{rest}'" if rest.strip("/") else "take the path out of 'paths'"
                mistake = f"'{rule}': rules begin at each path of the file set, and not at /"
                raise table.error(mistake, "exclude", place, hint=hint)
