"""What a level came to, in the words of `silt backup` and `silt show`.

Rule: the numbers are those that the engine counted (the "stats" of a level), and every line says what it counts:
entries are files, directories, links and all else; sizes are of contents before they are packed, "added" is after.
"""

from collections.abc import Mapping

from .figures import count, duration, rate, size

ENTRIES = ("new", "changed", "unchanged", "gone")


def summary(stats: Mapping[str, int], *, stored: bool = True) -> list[tuple[str, str]]:
    """Names and values for `columns.facts`; without `stored` (a dry run) nothing is said of the store's growth."""
    seconds = stats.get("duration_ns", 0) / 1e9
    read, new, added, skipped = (stats.get(n, 0) for n in ("read_bytes", "new_bytes", "stored_bytes", "skipped"))
    speed = f", {rate(read / seconds)}" if read and seconds > 0 else ""
    packed = f", {new / added:.1f} to 1" if 0 < added < new else ""
    return [
        ("files", f"{count(stats.get('files', 0))}, {size(stats.get('bytes', 0))}"),
        ("entries", ", ".join(f"{count(stats.get(name, 0))} {name}" for name in ENTRIES)),
        ("read", f"{size(read)} in {duration(seconds)}{speed}"),
        ("new", f"{size(new)} that the store did not have"),
        ("added", f"{size(added)} to the store{packed}" if stored else ""),
        ("skipped", f"{count(skipped)} (sockets, caches, files still being written)" if skipped else ""),
        ("warnings", count(stats["warnings"]) if stats.get("warnings") else ""),
    ]
