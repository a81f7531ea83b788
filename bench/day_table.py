"""The figures of `bench days` as Markdown: `silt` beside each way of the old kind, and what their parts took.

Rule: a day of a way is the sum of its parts on that day; medians and the worst are of these sums. A ratio is a way's
figure divided by that of `silt`: above 1, `silt` takes less.
"""

from collections.abc import Iterator
from statistics import median

from bench.daily import Daily, DayFigure
from bench.day_ways import GROUPS, RESTIC, TAR
from bench.table import markdown
from bench.tools import OURS

MIB = 1 << 20
_DATABASE = "pgbackrest-zst"
_WAYS = {f"{TAR.name} + pgBackRest": (TAR.name, _DATABASE), f"{RESTIC.name} + pgBackRest": (RESTIC.name, _DATABASE)}


class DayTable:
    """The tables of one measurement."""

    def __init__(self, daily: Daily) -> None:
        self._daily = daily
        self._of: dict[tuple[str, int], DayFigure] = {(each.part, each.day): each for each in daily.figures}
        self._days = sorted({each.day for each in daily.figures if each.day >= 0})
        parts = {each.part for each in daily.figures}
        self._parts = [name for name in (OURS, TAR.name, RESTIC.name, _DATABASE) if name in parts]
        self._ways = {OURS: (OURS,)} | {name: way for name, way in _WAYS.items() if parts.issuperset(way)}

    def lines(self) -> list[str]:
        """All of them, with what has to be said."""
        daily = self._daily
        head = [OURS] + [cell for name in self._ways if name != OURS for cell in (name, f"{name} : {OURS}")]
        parts = [[name, *cells] for name in self._parts for cells in [self._cells(self._column((name,)))]]
        size = f"{daily.files:,} files, {daily.bytes / MIB:,.0f} MiB, and a database of {daily.database / MIB:,.0f} MiB"
        kept = f"at the end of {len(self._days)} days, {GROUPS} groups kept"
        return [
            f"{size} {kept}. Seconds of wall time, and of CPU in parentheses.",
            "",
            *markdown(["", *head], list(self._rows())),
            "",
            "The parts by themselves:",
            "",
            *markdown(["", *_LABELS], parts),
            *[f"- {note}" for note in daily.notes],
        ]

    def _rows(self) -> Iterator[list[str]]:
        columns = {name: self._column(way) for name, way in self._ways.items()}
        ours = columns.pop(OURS)
        for at, label in enumerate(_LABELS):
            row = [label, self._cells(ours)[at]]
            for column in columns.values():
                row += [self._cells(column)[at], _ratio(column[at], ours[at])]
            yield row

    def _column(self, way: tuple[str, ...]) -> list[tuple[float, ...]]:
        """For each label, one figure or (wall, CPU)."""

        def total(day: int) -> tuple[float, float]:
            found = [self._of[part, day] for part in way]
            return sum(each.wall for each in found), sum(each.cpu for each in found)

        days = [total(day) for day in self._days]
        walls, cpus = zip(*days, strict=True)
        later = [total(day) for day in self._days if day % 7] or days
        store = sum(self._of[part, self._days[-1]].store for part in way) / MIB
        largest = max(sum(self._of[part, day].store for part in way) for day in self._days) / MIB
        typical = tuple(median(each[at] for each in later) for at in (0, 1))
        return [(store,), (largest,), typical, (max(walls), max(cpus)), (sum(walls), sum(cpus)), total(-1)]

    @staticmethod
    def _cells(column: list[tuple[float, ...]]) -> list[str]:
        return [f"{cell[0]:,.1f}" if len(cell) == 1 else f"{cell[0]:.2f} ({cell[1]:.2f})" for cell in column]


_LABELS = (
    "store at the end, MiB",
    "store at its largest, MiB",
    "an incremental day, median",
    "the worst day",
    "all days",
    "restore of the newest level",
)


def _ratio(theirs: tuple[float, ...], ours: tuple[float, ...]) -> str:
    ratios = [their / our if our else 0.0 for their, our in zip(theirs, ours, strict=True)]
    return f"**{ratios[0]:.1f}**" + (f" ({ratios[1]:.1f})" if len(ratios) > 1 else "")
