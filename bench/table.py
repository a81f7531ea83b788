"""Figures as Markdown, and their places in docs/performance.md.

Rule: a place is what lies between `<!-- bench:begin NAME -->` and `<!-- bench:end NAME -->` (without a name: the
comparison with other tools); only that is rewritten, and a place that is not there is added at the end. Ratios are a
peer's figure divided by ours: above 1 means that `silt` takes less. Medians over the repetitions; their spread is
printed, so that a table from a noisy machine shows itself.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.compare import STEPS, Comparison, Figure
from bench.tools import OURS

MIB = 1 << 20
# Spread, or CPUs taken by others, beyond which a figure is marked: what two quiet runs differ by is about a tenth.
WIDE, BUSY = 0.2, 0.2
MARK = "~"


def write_place(document: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines between the marks of a place of a document, which need not exist."""
    suffix = f" {name}" if name else ""
    begin, end = f"<!-- bench:begin{suffix} -->", f"<!-- bench:end{suffix} -->"
    text = document.read_text(encoding="utf-8") if document.exists() else "# Performance\n"
    if begin not in text:
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{document}: '{begin}' has no '{end}'")
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(before + "\n".join([begin, *lines, end]) + after, encoding="utf-8")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; every column but the first is aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def origin(machine: str, command: str, versions: Sequence[str] = ()) -> str:
    """The line that says when, where, with what, and how to have it again."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    what = f" {', '.join(versions)}." if versions else ""
    return f"Measured on {today}: {machine}.{what} Again: `{command}`."


class ComparisonTables:
    """The tables of a comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self._notes = comparison.notes
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
        for corpus, step in self._lines(STEPS):
            row = [f"{corpus}, {step}", self._time(corpus, step, OURS)]
            for peer in self._peers:
                row += [self._time(corpus, step, peer), self._ratio(corpus, step, peer)]
            rows.append(row)
        return markdown(head, rows)

    def _sizes(self) -> list[str]:
        rows = []
        for corpus in self._corpora:
            before = dict.fromkeys([OURS, *self._peers], 0.0)
            for step in ("backup", "unchanged", "changed"):
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
        for corpus, step in self._lines(STEPS[1:]):
            peaks = [self._median(corpus, step, tool, lambda figure: figure.peak / MIB) for tool in [OURS, *self._peers]]
            rows.append([f"{corpus}, {step}", *("" if peak is None else f"{peak:.0f}" for peak in peaks)])
        return markdown(["", OURS, *self._peers], rows)

    def _noise(self) -> Iterator[str]:
        spreads = {cell: _spread(figures) for cell, figures in self._cells.items()}
        cell, worst = max(spreads.items(), key=lambda item: item[1])
        repetitions = max(len(figures) for figures in self._cells.values())
        if repetitions > 1:
            yield (
                f"Medians of {repetitions}. Spread, (longest - shortest) / median: {median(spreads.values()):.0%} in the "
                f"middle, {worst:.0%} at most ({', '.join(cell)})."
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
