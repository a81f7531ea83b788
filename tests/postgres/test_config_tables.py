"""Configuration-only backups: settings and tables of a running server, of one moment, and back into a running one."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import (
    ConfigError,
    LevelTables,
    back_up,
    compare_settings,
    configuration_of,
    list_levels,
    parse_deployment,
    resolve,
    restore_level,
    write_settings,
    write_tables,
)
from siltstone.engine.postgres.errors import PostgresError
from siltstone.engine.postgres.table_name import TableName, parse_table_name
from siltstone.engine.selection import Selection
from siltstone.store import Store
from tests.backed_up import ignore, new_store

from .servers import Server


@pytest.fixture
def app(any_source: Server) -> Server:
    """A server with two tables that refer to each other, and one whose name and columns are odd."""
    any_source.sql(
        "CREATE TABLE groups (id serial PRIMARY KEY, name text)",
        "CREATE TABLE users (id serial PRIMARY KEY, in_group int REFERENCES groups, note text)",
        'CREATE TABLE "Odd name" ("a ""quoted\n"" column" text, "b" bytea)',
        "INSERT INTO groups (name) SELECT 'group ' || n FROM generate_series(1, 50) n",
        "INSERT INTO users (in_group, note)"
        """ SELECT 1 + n % 50, E'line\\n"quote", ' || n FROM generate_series(1, 2000) n""",
        "INSERT INTO \"Odd name\" VALUES (NULL, decode('00ff0a22', 'hex')), ('', NULL), (E'\\\\N', '')",
        "ALTER SYSTEM SET work_mem = '7MB'",
        "ALTER SYSTEM SET search_path = public, pg_catalog",
        "SELECT pg_reload_conf()",
    )
    return any_source


def deployment(server: Server, place: Path) -> str:
    (place / "etc").mkdir(exist_ok=True)
    (place / "etc" / "app.conf").write_text("a = 1")
    (place / "data").mkdir(exist_ok=True)
    (place / "data" / "large").write_text("not configuration")
    return f"""
name = "app"
[file-sets.etc]
paths = ["{place / "etc"}"]
configuration = true
[file-sets.data]
paths = ["{place / "data"}"]
[postgres]
dsn = "{server.dsn()}"
config-tables = ["public.groups", "postgres.public.Odd name", "public.users"]
"""


def picture(server: Server) -> dict[str, Any]:
    return {
        "groups": server.sql("SELECT * FROM groups ORDER BY id"),
        "users": server.sql("SELECT * FROM users ORDER BY id"),
        "odd": server.sql('SELECT "a ""quoted\n"" column", encode(b, \'hex\') FROM "Odd name" ORDER BY 1, 2'),
    }


def kept(store: Store, spec: str, names: tuple[str, ...]) -> dict[TableName, Any]:
    tables = LevelTables(store, resolve(store, spec))
    paths = {name: f"/postgres-config/postgres/{name}.csv".encode() for name in names}
    return {parse_table_name(name): partial(tables.content, path) for name, path in paths.items()}


ALL = ("public.groups", "public.Odd name", "public.users")


def test_out_and_back(app: Server, tmp_path: Path) -> None:
    store = new_store()
    whole = parse_deployment(deployment(app, tmp_path))
    back_up(store, configuration_of(whole), report=ignore)
    again = back_up(store, configuration_of(whole), report=ignore)
    assert again.level is not None
    assert [level.deployment for level in list_levels(store)] == ["app.config", "app.config"]
    assert [files.name for files in again.level.sets] == ["etc", "postgres-config"]
    before = picture(app)
    app.sql(
        "DELETE FROM users WHERE id % 3 = 0",
        "UPDATE groups SET name = 'wrong'",
        'DROP TABLE "Odd name"',
        'CREATE TABLE "Odd name" (more int, "b" bytea, "a ""quoted\n"" column" text)',  # another order of columns
        "INSERT INTO groups (name) VALUES ('new')",
    )
    rows = write_tables(app.dsn(), kept(store, "0/1", ALL))
    assert list(rows.values()) == [50, 3, 2000]
    assert picture(app) == before
    app.sql("INSERT INTO users (in_group) VALUES (1)")  # its number comes from a sequence that went on


def test_all_or_nothing(app: Server, tmp_path: Path) -> None:
    store = new_store()
    back_up(store, configuration_of(parse_deployment(deployment(app, tmp_path))), report=ignore)
    app.sql(
        "CREATE TABLE others (id int REFERENCES users)",
        "INSERT INTO others VALUES (7)",
        "DELETE FROM users WHERE id = 8",
    )
    before = picture(app)
    with pytest.raises(PostgresError, match="foreign key"):
        write_tables(app.dsn(), kept(store, "latest", ALL))
    assert picture(app) == before


def test_settings_are_compared_and_set(app: Server, tmp_path: Path) -> None:
    store = new_store()
    back_up(store, configuration_of(parse_deployment(deployment(app, tmp_path))), report=ignore)
    text = b"".join(LevelTables(store, resolve(store, "latest")).content(b"/postgres-config/settings.json"))
    assert compare_settings(app.dsn(), text) == []
    app.sql("ALTER SYSTEM SET work_mem = '9MB'", "ALTER SYSTEM SET search_path = public", "SELECT pg_reload_conf()")
    app.sql("SELECT pg_sleep(0.2)")
    changes = compare_settings(app.dsn(), text)
    assert [(change.name, change.now, change.kept, change.restart) for change in changes] == [
        ("search_path", "public", "public, pg_catalog", False),
        ("work_mem", "9216", "7168", False),
    ]
    write_settings(app.dsn(), changes)
    app.sql("SELECT pg_sleep(0.2)")
    assert app.sql("SHOW work_mem") == [("7MB",)]
    assert app.sql("SHOW search_path") == [("public, pg_catalog",)]


def test_as_files_and_not_in_place(app: Server, tmp_path: Path) -> None:
    store = new_store()
    result = back_up(store, configuration_of(parse_deployment(deployment(app, tmp_path))), report=ignore)
    assert result.level is not None
    out = tmp_path / "out"
    restore_level(store, result.level, target=str(out).encode(), report=ignore)
    assert (out / "postgres-config/postgres/public.groups.csv").read_text().startswith("id,name\n1,group 1\n")
    restore_level(store, result.level, target=None, selection=Selection(), report=ignore)
    assert not Path("/postgres-config").exists()


def test_what_cannot_be_read_is_said(app: Server, tmp_path: Path) -> None:
    text = deployment(app, tmp_path).replace("public.users", "public.nowhere")
    with pytest.raises(PostgresError, match="nowhere"):
        back_up(new_store(), configuration_of(parse_deployment(text)), report=ignore)


@pytest.mark.parametrize("name", ["users", "a.b.c.d", ".users", 'public."x"', "public."])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        parse_table_name(name)


def test_a_deployment_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing of deployment app is configuration"):
        configuration_of(parse_deployment(f'name = "app"\n[file-sets.data]\npaths = ["{tmp_path}"]'))
