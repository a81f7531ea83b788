"""`ibackup`: the words of the old backup program of phantom deployments, for cron lines and fingers that know them.

Rule: each is said in `silt`'s words and done by `silt`, and nothing is done here that `silt` cannot do: the lines that
begin with '+' are the commands that it stands for. Paths of the deployment file, key and settings are /etc/silt's
unless the settings file of the user names others.
"""

import os
import re
import shlex
import sys
from pathlib import Path

import click

from .main import run
from .mistake import Mistake
from .settings import Settings, load_settings

FOLDER = Path("/etc/silt")
_TABLE = re.compile(r"^\s*\[")
_LIMIT = re.compile(r"^\s*keep-groups\s*=")


@click.command("ibackup", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--setup", is_flag=True, help="Prepare deployment file, key, store, database and schedule.")
@click.option("--backup", is_flag=True, help="Make a backup.")
@click.option("--backup-type", type=click.Choice(["full", "incr"]), default="full", show_default=True)
@click.option("--config-only", is_flag=True, help="With --backup: configuration only, without a stop.")
@click.option("--restore", metavar="LEVEL|FILE", help="Restore a level (0/1, latest), or a tar file of the old tool.")
@click.option("--to", metavar="DIR", help="With --restore: into this folder, and not in place.")
@click.option("--set-full-backup-limit", "limit", type=click.IntRange(min=1), metavar="N", help="Keep N groups.")
@click.option("--list-backups", is_flag=True, help="List groups and levels.")
@click.option("--store", metavar="STORE", help="With --setup: where the store is, or is to be made.")
@click.option("--dsn", metavar="DSN", help="With --setup: the database, in libpq's words.")
@click.option("--home", metavar="DIR", help="With --setup: PHANTOM_HOME, where it is not /opt/phantom.")
@click.option("--folder", metavar="DIR", default=str(FOLDER), show_default=True, help="With --setup: for its files.")
def command(
    setup: bool,
    backup: bool,
    backup_type: str,
    config_only: bool,
    restore: str | None,
    to: str | None,
    limit: int | None,
    list_backups: bool,
    store: str | None,
    dsn: str | None,
    home: str | None,
    folder: str,
) -> int:
    """The old words for `silt`.

    \b
    ibackup --setup --store /mnt/backup/store --dsn 'host=/run/postgresql user=postgres'
    ibackup --backup --backup-type full
    ibackup --backup --backup-type incr
    ibackup --set-full-backup-limit 3
    ibackup --list-backups
    ibackup --restore 0/2
    """
    wanted = [setup, backup, restore is not None, limit is not None, list_backups]
    if sum(wanted) != 1:
        raise Mistake(
            "say one thing to do",
            hint="--setup, --backup, --restore, --set-full-backup-limit or --list-backups",
        )
    if setup:
        return _set_up(Path(folder), store, dsn, home)
    settings = load_settings(os.environ)
    if backup:
        kind = ["--config-only"] if config_only else ["--type", backup_type]
        return _silt("backup", "-c", _file(settings), *kind)
    if restore is not None:
        return _restore(restore, to)
    if limit is not None:
        return _set_limit(Path(_file(settings)), limit)
    return _silt("list")


def _silt(*words: str) -> int:
    print(f"+ silt {shlex.join(words)}", flush=True)
    return run(words)


def _file(settings: Settings) -> str:
    """The deployment file. Mistake where there is none."""
    file = settings.get("deployment") or str(FOLDER / "phantom.toml")
    if not os.path.exists(file):
        raise Mistake(f"{file}: there is no deployment file", hint="'ibackup --setup --store STORE' writes one")
    return file


def _restore(what: str, to: str | None) -> int:
    where = ["--to", to] if to else ["--in-place"]
    if not what.endswith(".tar"):
        return _silt("restore", what, *where)
    from siltstone.engine import parse_tar_name

    name = parse_tar_name(Path(what))
    if code := _silt("import", what):
        return code
    return _silt("restore", f"{name.ref.deployment}:{name.ref}", *where)


# ---- the limit


def _set_limit(file: Path, limit: int) -> int:
    """Write it into the deployment file: the next backup goes by it. Nothing is removed now."""
    from siltstone.engine import parse_deployment, replace_text

    text = with_limit(file.read_text(encoding="utf-8"), limit)
    parse_deployment(text, file)
    replace_text(file, text)
    print(f"{file}: keep-groups = {limit}; the next backup removes the oldest groups beyond it")
    return 0


def with_limit(text: str, limit: int) -> str:
    """The text of a deployment file with this limit in its [retention]; all else stays as it is."""
    line = f"keep-groups = {limit}"
    lines = text.splitlines()
    starts = [number for number, each in enumerate(lines) if each.strip() == "[retention]"]
    if not starts:
        return "\n".join([*lines, "", "[retention]", line]) + "\n"
    at = starts[0] + 1
    end = next((n for n in range(at, len(lines)) if _TABLE.match(lines[n])), len(lines))
    old = next((n for n in range(at, end) if _LIMIT.match(lines[n])), None)
    lines[at if old is None else old : at if old is None else old + 1] = [line]
    return "\n".join(lines) + "\n"


# ---- setting up


def _set_up(folder: Path, store: str | None, dsn: str | None, home: str | None) -> int:
    """Whatever is there already is left as it is. Runs to the end; the exit code is that of the first that failed."""
    from .commands.schedule import runs_systemd

    settings = load_settings(os.environ)
    store = store or os.environ.get("SILT_STORE") or settings.get("store")
    if not store:
        raise Mistake(
            "nothing says where the store is", hint="--store /mnt/backup/store, on other storage than the data"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(f"{folder}: {error.strerror}", hint="be root, or name another folder with --folder") from error
    file, key = folder / "phantom.toml", folder / "phantom.key"
    _write_deployment(file, dsn, home)
    codes = []
    if not key.exists():
        codes.append(_silt("key", "new", str(key)))
    if "://" in store or not os.path.exists(os.path.join(store, "config")):
        codes.append(_silt("init", store, "--key-file", str(key)))
    _write_settings(settings, store, key, file)
    if dsn:
        codes.append(_silt("pg", "check", "-c", str(file), "--mend"))
        if codes[-1] not in (0, 3):
            print("the database is not ready: see to what is said above, and run the same line again")
    if runs_systemd():
        codes.append(_silt("schedule", "install", "-c", str(file), "--store", store, "--key-file", str(key)))
    else:
        print("there is no systemd on this host; for cron:")
        codes.append(_silt("schedule", "show", "--cron", "-c", str(file), "--store", store, "--key-file", str(key)))
    print(f"keep a copy of {key} in another place: without it nothing can be restored")
    return next((code for code in codes if code not in (0, 3)), 3 if 3 in codes else 0)


def _write_deployment(file: Path, dsn: str | None, home: str | None) -> None:
    from siltstone.engine import starting_file

    if file.exists():
        print(f"{file}: is there, and stays as it is")
        return
    text = starting_file("phantom")
    if home:
        text = re.sub(r'(?m)^PHANTOM_HOME = "[^"]*"', f"PHANTOM_HOME = {_toml(home)}", text)
    if dsn:
        text += f"\n[postgres]\ndsn = {_toml(dsn)}\n"
    text += '\n[schedule]\nfull = "Sun 02:00"\nincremental = "Mon..Sat 02:00"\nverify = "05:00"\ngc = "Sun 06:00"\n'
    if dsn:
        text += "wal-stream = true\n"
    file.write_text(with_limit(text, 3), encoding="utf-8")
    print(f"{file}: written; look at PHANTOM_HOME and the schedule in it")


def _write_settings(settings: Settings, store: str, key: Path, file: Path) -> None:
    """The settings file of the user, where there is none: from here on `silt` and `ibackup` need no options."""
    if settings.source is not None:
        print(f"{settings.source}: is there, and stays as it is")
        return
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    place = Path(base) / "silt" / "config.toml"
    place.parent.mkdir(parents=True, exist_ok=True)
    where = store if "://" in store else os.path.abspath(store)
    words = {"store": where, "key_file": str(key), "deployment": str(file)}
    place.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in words.items()), encoding="utf-8")
    print(f"{place}: written")


def _toml(text: str) -> str:
    """A text as TOML writes it; JSON's form is a part of TOML's."""
    import json

    return json.dumps(text, ensure_ascii=False)


def main() -> None:
    """The entry point."""
    from .failure import answer_failure

    try:
        code = command.main(sys.argv[1:], "ibackup", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # here errors become lines and exit codes
        code = answer_failure(error, command=None, as_json=False, debug=bool(os.environ.get("SILT_DEBUG")))
    sys.exit(int(code or 0))
