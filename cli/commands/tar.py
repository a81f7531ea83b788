"""`silt tar`: a level, or what paths and globs select of it, as a tar archive on stdout.

Rule: nothing but the archive goes to stdout, and never to a terminal; progress, and events with --json, go to stderr.
"""

import sys

import click

from ..exits import Exit
from ..mistake import Mistake
from ..opening import Opening
from ..options import Options, make_command
from ..selecting import selection_of


@make_command(
    "tar",
    examples="""
    silt tar 0/1 > phantom_backup_group_0_level_1.tar
    silt tar latest /opt/phantom/apps | ssh other 'tar -xf - -C /'
    silt tar latest --set vault '*.pdf' > pdf.tar
    """,
)
@click.argument("level")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--set", "set_name", metavar="NAME", help="Only this file set.")
@click.option("--host", metavar="NAME", help="Only what this host had; needed where the level is of several hosts.")
def command(options: Options, level: str, paths: tuple[str, ...], set_name: str | None, host: str | None) -> int:
    """Write a level to stdout as a tar archive.

    PATHs select as in 'silt restore'. GNU tar restores all of it with tar --xattrs --xattrs-include='*' -xpf.
    """
    if sys.stdout.isatty():
        raise Mistake("an archive is nothing for a terminal", hint="write it to a file: silt tar LEVEL > x.tar")
    selection = selection_of(paths, set_name)

    opening = Opening(options)
    from siltstone.engine import of_host, resolve, write_tar

    from ..reporter import make_reporter

    store = opening.store()
    found = resolve(store, level)
    found = of_host(found, host) if host else found
    with make_reporter(options, out=sys.stderr) as reporter:
        write_tar(store, found, selection, sys.stdout.buffer, report=reporter.report)
    return int(Exit.WARNINGS if reporter.warnings else Exit.DONE)
