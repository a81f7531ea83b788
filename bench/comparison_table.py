"""The comparison with other tools as Markdown: times and their ratios, sizes, peak memory, and how noisy it was.

Rule: medians over the repetitions. A ratio is a peer's figure divided by ours: above 1 means that `silt` takes less.
The spread of the repetitions, and what other processes took, is printed and marked, so that a table from a noisy
machine shows itself; nothing is corrected for it, and no repetition is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from bench.cycles import GROWING, STEPS, Comparison, Figure
from bench.table import markdown
from bench.tools import OURS

MIB = 1 << 20
# Spread, or CPUs taken by others, beyond which a figure is marked: what two quiet runs differ by is about a tenth.
WIDE, BUSY = 0.2, 0.2
MARK = "~"


class ComparisonTables:
    """The tables of a comparison."""

    def __init__(self, comparison: Comparison, steps: Sequence[str] = STEPS, growing: Sequence[str] = GROWING) -> None:
        self._notes, self._steps, self._growing = comparison.notes, steps, growing
        self._cells: dict[tuple[str, str, str], list[Figure]] = {}
        for figure in comparison.figures:
            self._cells.setdefault((figure.corpus, figure.step, figure.tool), []).append(figure)
        self._corpora = list(dict.fromkeys(corpus for corpus, _, _ in self._cells))
        self._peers = [name for name in dict.fromkeys(tool for _, _, tool in self._cells) if name != OURS]
        self._peers.sort(key=lambda name: name != "restic")  # the one that the floors are about first

    def lines(self) -> list[str]:
        """All of them, with what has to be said."""
        return [
            "Seconds of wall time, and of CPU in parentheses. Ratios: a peer's figure divided by silt's.",
            "",
            *self._times(),
            "",
            "The store after each step in MiB, and what the step added.",
            "",
            *self._sizes(),
            "",
            "Peak resident memory of the largest process in MiB.",
            "",
            *self._peaks(),
            "",
            *self._noise(),
            *[f"- {note}" for note in self._notes],
        ]

    def _times(self) -> list[str]:
        head = ["", OURS]
        for peer in self._peers:
            head += [peer, f"{peer} : {OURS}"]
        rows = []
        for corpus, step in self._lines(self._steps):
            row = [f"{corpus}, {step}", self._time(corpus, step, OURS)]
            for peer in self._peers:
                row += [self._time(corpus, step, peer), self._ratio(corpus, step, peer)]
            rows.append(row)
        return markdown(head, rows)

    def _sizes(self) -> list[str]:
        rows = []
        for corpus in self._corpora:
            before = dict.fromkeys([OURS, *self._peers], 0.0)
            for step in self._growing:
                if (corpus, step, OURS) not in self._cells:
                    continue
                row = [f"{corpus}, {step}"]
                for tool in before:
                    size = self._median(corpus, step, tool, lambda figure: figure.store / MIB)
                    row.append("" if size is None else f"{size:.1f} (+{size - before[tool]:.1f})")
                    before[tool] = size or 0.0
                rows.append(row)
        return markdown(["", OURS, *self._peers], rows)

    def _peaks(self) -> list[str]:
        rows = []
        for corpus, step in self._lines(self._steps):
            peaks = [
                self._median(corpus, step, tool, lambda figure: figure.peak / MIB) for tool in [OURS, *self._peers]
            ]
            rows.append([f"{corpus}, {step}", *("" if peak is None else f"{peak:.0f}" for peak in peaks)])
        return markdown(["", OURS, *self._peers], rows)

    def _noise(self) -> Iterator[str]:
        spreads = {cell: _spread(figures) for cell, figures in self._cells.items()}
        cell, worst = max(spreads.items(), key=lambda item: item[1])
        repetitions = max(len(figures) for figures in self._cells.values())
        if repetitions > 1:
            yield (
                f"Medians of {repetitions}. Spread, (longest - shortest) / median: {median(spreads.values()):.0%} in "
                f"the middle, {worst:.0%} at most ({', '.join(cell)})."
            )
        busiest = max(figure.others / figure.wall for figures in self._cells.values() for figure in figures)
        yield (
            f"Everything else on the machine took at most {busiest:.2f} CPUs during a step. `{MARK}` marks a spread of "
            f"more than {WIDE:.0%}, or others with more than {BUSY} CPUs."
        )

    def _lines(self, steps: Sequence[str]) -> Iterator[tuple[str, str]]:
        for corpus in self._corpora:
            yield from ((corpus, step) for step in steps if (corpus, step, OURS) in self._cells)

    def _time(self, corpus: str, step: str, tool: str) -> str:
        figures = self._cells.get((corpus, step, tool))
        if not figures:
            return ""
        is_noisy = _spread(figures) > WIDE or median(each.others / each.wall for each in figures) > BUSY
        wall, cpu = median(each.wall for each in figures), median(each.cpu for each in figures)
        return f"{MARK * is_noisy}{wall:.2f} ({cpu:.2f})"

    def _ratio(self, corpus: str, step: str, peer: str) -> str:
        ratios = []
        for of in (lambda figure: figure.wall, lambda figure: figure.cpu):
            ours, theirs = (self._median(corpus, step, tool, of) for tool in (OURS, peer))
            if not ours or theirs is None:
                return ""
            ratios.append(theirs / ours)
        return f"**{ratios[0]:.1f}** ({ratios[1]:.1f})"

    def _median(self, corpus: str, step: str, tool: str, of: Callable[[Figure], float]) -> float | None:
        figures = self._cells.get((corpus, step, tool))
        return median(map(of, figures)) if figures else None


def _spread(figures: Sequence[Figure]) -> float:
    walls = [figure.wall for figure in figures]
    return (max(walls) - min(walls)) / median(walls)
