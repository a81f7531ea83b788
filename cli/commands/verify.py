"""`silt verify`: whether everything is there and whole, and if not, which files of which levels that concerns.

Rule: damage is the answer of this command, so it is told on stdout, --quiet or not, and makes the exit code 4. People
get the first files of each level; --json has all.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, counted, local_time, lsn_text, share, size, utc_time
from ..opening import Opening
from ..options import Options, make_command
from ..paths import about, path_record, shown
from ..reading import reading_options

if TYPE_CHECKING:
    from siltstone.engine import Damage, Shortened, Stretch, VerifyResult

KEPT_PATHS = 10  # of each level and damaged object


@make_command(
    "verify",
    examples="""
    silt verify                              # structure: every object, index and manifest
    silt verify --read-data all              # and every byte
    silt verify --read-data 10%              # a tenth of the packs, the longest unread first
    silt verify --read-data 5% --max-age 30d # and whatever was not read for 30 days
    silt verify --read-data all --shard 2/8  # of the packs, the second of eight parts: one for each of eight hosts
    silt verify --read-data 50GiB --json
    """,
)
@click.option(
    "--read-data",
    "amount",
    metavar="AMOUNT",
    default="none",
    show_default=True,
    help="How much of the packs is read too: all, a share (10%) or a size (50GiB).",
)
@reading_options
def command(options: Options, amount: str, max_age: str | None, shard: str | None) -> int:
    """Verify the store. Which packs were read is remembered in it, so that small amounts go round.

    With --json the result has "levels", "entries", "wal_files", "chunks", "packs", "bytes", "packs_read", "bytes_read"
    (numbers), "wal_gaps", "unreferenced", "unreferenced_bytes" (packs of no level), "coverage": {"days", "share",
    "oldest"}, and "damaged": [{"object", "error", "chunks" (lost), "copies", "levels": {LEVEL: [{path}]}, "unlisted":
    {LEVEL: [{"set", "first", "after", "entries"}]}, "wal": [CLUSTER/FILE], "reach": {LEVEL: [{"timeline", "lsn" (that
    recovery gets to), "was", "moment"}]}}].
    """
    opening = Opening(options, cached=False)
    from siltstone.engine import Reading, verify_store

    from ..reporter import make_reporter

    reading = Reading.parse(amount, max_age, shard)
    store = opening.store()
    with make_reporter(options, at_once=True) as reporter:
        result = verify_store(store, reading=reading, report=reporter.report)
    answer(options, _record(result), _lines(result))
    if options.quiet and not options.json:
        for line in _damage_lines(result):
            print(line)
    return int(Exit.DAMAGE if result.damaged else Exit.DONE)


def _record(result: "VerifyResult") -> dict[str, Any]:
    numbers = ("levels", "entries", "wal_files", "chunks", "packs", "bytes", "packs_read", "bytes_read")
    coverage = result.coverage
    return {
        **{name: getattr(result, name) for name in numbers},
        "wal_gaps": result.wal_gaps,
        "unreferenced": result.unreferenced,
        "unreferenced_bytes": result.unreferenced_bytes,
        "coverage": {
            "days": coverage.days,
            "share": coverage.share,
            "oldest": None if coverage.oldest_ns is None else utc_time(coverage.oldest_ns),
        },
        "damaged": [_damage_record(damage) for damage in result.damaged],
    }


def _damage_record(damage: "Damage") -> dict[str, Any]:
    return {
        "object": damage.object,
        "error": shown(damage.error),
        "chunks": damage.chunks,
        "copies": damage.copies,
        "levels": {level: [path_record(path) for path in paths] for level, paths in damage.levels.items()},
        "unlisted": {level: [_stretch_record(each) for each in some] for level, some in damage.unlisted.items()},
        "wal": damage.wal,
        "reach": {level: [_reach_record(each) for each in some] for level, some in damage.reach.items()},
    }


def _reach_record(reach: "Shortened") -> dict[str, Any]:
    moment = None if reach.moment is None else utc_time(reach.moment * 1000)
    return {"timeline": reach.timeline, "lsn": lsn_text(reach.end), "was": lsn_text(reach.was), "moment": moment}


def _stretch_record(stretch: "Stretch") -> dict[str, Any]:
    ends = {"first": stretch.first, "after": stretch.after}
    record: dict[str, Any] = {"set": stretch.set_name, "entries": stretch.entries}
    for name, path in ends.items():
        record |= {name: None} if path is None else path_record(path, name)
    return record


def _lines(result: "VerifyResult") -> Iterator[str]:
    yield counted(len(result.damaged), "damaged object") if result.damaged else "no damage found"
    coverage = result.coverage
    since = f"; all of them since {local_time(coverage.oldest_ns)}" if coverage.oldest_ns is not None else ""
    read = f"{counted(result.packs_read, 'pack')}, {size(result.bytes_read)}"
    unused = f"{counted(result.unreferenced, 'pack')}, {size(result.unreferenced_bytes)}, of a backup that was cut off"
    yield from facts(
        [
            ("levels", f"{count(result.levels)} with {counted(result.entries, 'entry', 'entries')}"),
            ("WAL", counted(result.wal_files, "file") if result.wal_files else ""),
            ("gaps", "; ".join(result.wal_gaps)),
            ("packs", f"{count(result.packs)}, {size(result.bytes)}, {counted(result.chunks, 'chunk')}"),
            ("read", read if result.packs_read else "none"),
            ("coverage", f"{share(coverage.share, 1)} of the packs read within {coverage.days} days{since}"),
            ("unused", unused if result.unreferenced else ""),
        ]
    )
    yield from _damage_lines(result)


def _damage_lines(result: "VerifyResult") -> Iterator[str]:
    for damage in result.damaged:
        yield f"damaged: {about(damage.object, damage.error)}"
        if damage.chunks:
            copies = f"; of {count(damage.copies)} more there is another copy" if damage.copies else ""
            yield f"  {counted(damage.chunks, 'chunk')} lost{copies}"
        yield from _level_lines(damage.levels)
        for level, stretches in damage.unlisted.items():
            yield from (f"  {level}: {_stretch_words(each)}" for each in stretches)
        yield from _wal_lines(damage)


def _wal_lines(damage: "Damage") -> Iterator[str]:
    if damage.wal:
        yield f"  WAL: {counted(len(damage.wal), 'file')}"
        yield from (f"    {shown(name)}" for name in damage.wal[:KEPT_PATHS])
        if len(damage.wal) > KEPT_PATHS:
            yield f"    and {count(len(damage.wal) - KEPT_PATHS)} more (--json tells all)"
    for level, reaches in damage.reach.items():
        for each in reaches:
            commit = f", its last commit of {local_time(each.moment * 1000)}" if each.moment is not None else ""
            to = f"to {lsn_text(each.end)}{commit}; it was {lsn_text(each.was)}"
            yield f"  {level}: recovery on timeline {each.timeline} gets {to}"


def _level_lines(levels: Mapping[str, list[bytes]]) -> Iterator[str]:
    for level, paths in levels.items():
        if not paths:  # what is lost there cannot even be listed
            continue
        yield f"  {level}: {counted(len(paths), 'path')}"
        yield from (f"    {shown(path)}" for path in paths[:KEPT_PATHS])
        if len(paths) > KEPT_PATHS:
            yield f"    and {count(len(paths) - KEPT_PATHS)} more (--json tells all)"


def _stretch_words(stretch: "Stretch") -> str:
    amount = "entries" if stretch.entries is None else counted(stretch.entries, "entry", "entries")
    where = f" of file set {stretch.set_name}" if stretch.set_name else ""
    first = f" from {shown(stretch.first)}" if stretch.first is not None else ""
    after = f" before {shown(stretch.after)}" if stretch.after is not None else ""
    return f"{amount}{where}{first}{after} cannot be listed any more"
