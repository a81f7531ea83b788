"""`silt find`: paths and globs over all levels.

Rule: each version of a path is told once, with the levels that have it. What is damaged is a warning, the rest is found
all the same, and then the exit code is 4. Finding nothing is an answer, not an error.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..exits import Exit
from ..opening import Opening
from ..options import Options, make_command
from ..paths import path_record
from ..selecting import pattern_of

if TYPE_CHECKING:
    from siltstone.engine import Found, Level, LevelRef


@make_command(
    "find",
    examples="""
    silt find '*.pem'
    silt find /opt/phantom/etc/cacerts.pem          # when did it change?
    silt find 'ssl/**/*.key' --level 0/1 --level latest
    """,
)
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
@click.option("--level", "specs", multiple=True, metavar="LEVEL", help="Only in this level; repeat.")
@click.option("--host", metavar="NAME", help="Only what this host had.")
def command(options: Options, patterns: tuple[str, ...], specs: tuple[str, ...], host: str | None) -> int:
    """Find paths in all levels.

    Every version of each is told, and the levels that have it. A PATTERN is a path or a glob (*, ?, [abc], ** for any
    folders); one that does not begin with '/' may begin at any folder. Where hosts have names, each is told by itself.
    With --json one object for each path: "type": "found", "deployment", "host" (empty where hosts have no names),
    "path", "differs" (whether its content is not always the same), "versions": [the entry as in 'ls --json', and
    "levels": [{"group", "level", "tar"}]]; then the result, with "paths" (how many).
    """
    opening = Opening(options)
    from siltstone.engine import find, hosts_of, list_levels, of_host, resolve

    from ..reporter import make_reporter

    wanted = [pattern_of(text) for text in patterns]
    store = opening.store()
    levels = [resolve(store, spec) for spec in specs] if specs else list_levels(store)
    if host is not None:
        levels = [of_host(level, host) for level in levels if specs or host in hosts_of(level)]
    by_ref = {level.ref: level for level in levels}
    several = len({level.deployment for level in levels}) > 1
    number = 0
    with make_reporter(options, at_once=True, live=False) as reporter:
        for found in find(store, wanted, levels=list(by_ref.values()), report=reporter.report):
            number += 1
            for line in [_record(found, by_ref)] if options.json else _lines(found, by_ref, several):
                print(line)
    if options.json:
        print(json.dumps({"type": "result", "paths": number}))
    elif not number and not options.quiet:
        print("nothing found", file=sys.stderr)
    return int(Exit.DAMAGE if reporter.warnings["damaged"] else Exit.DONE)


def _lines(found: "Found", levels: "Mapping[LevelRef, Level]", several: bool) -> Iterator[str]:
    from siltstone.engine import of_host

    from ..entries import entry_line

    for version in found.versions:
        refs = version.levels
        span = str(refs[0]) if len(refs) == 1 else f"{refs[0]}..{refs[-1]}"
        where = f"{found.deployment}:{span}" if several else span
        where += f"@{found.host}" if found.host else ""
        yield f"{where:<9}  {entry_line(version.entry, of_host(levels[refs[0]], found.host))}"


def _record(found: "Found", levels: "Mapping[LevelRef, Level]") -> str:
    from siltstone.engine import of_host

    from ..entries import entry_record

    versions: list[dict[str, Any]] = []
    for version in found.versions:
        refs = [{"group": ref.group, "level": ref.level, "tar": ref.tar_name} for ref in version.levels]
        level = of_host(levels[version.levels[0]], found.host)
        versions.append({**entry_record(version.entry, level), "levels": refs})
    record = {
        "deployment": found.deployment,
        "host": found.host,
        **path_record(found.path),
        "differs": found.differs,
        "versions": versions,
    }
    return json.dumps({"type": "found", **record})
