"""The way that recovery takes through an archive to the end of a timeline: which segments follow each other on it.

Rule: pure. Of each segment the newest timeline counts that begins in it or before; what lies behind a fork is another
way. The way ends where a segment is missing, whatever follows. A segment that was open, or its timeline's last, counts
as far as it was stored.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from .archive_catalog import Catalog
from .history import Span, Timelines
from .wal_names import WalSegment


class Way:
    """The way to the end of timeline `target`; a timeline whose history is lost is known only by itself."""

    def __init__(self, catalog: Catalog, timelines: Timelines, target: int) -> None:
        self._catalog = catalog
        spans = timelines.spans(target) if target in timelines else [Span(target, 0, None)]
        self.timelines = [span.timeline for span in spans]
        self._starts = [span.start // catalog.size for span in spans]
        self._last = _last(catalog, spans)
        self._runs = _runs(number for at in range(len(spans)) for number in self._numbers(at))

    def _numbers(self, at: int) -> Iterator[int]:
        """The segments that the archive has of one part of the way."""
        timeline, first = self.timelines[at], self._starts[at]
        files = self._catalog.timelines.get(timeline)
        if files is None:
            return
        end = self._starts[at + 1] if at + 1 < len(self._starts) else files.last + 1
        for number in files.whole | {files.last}:
            if first <= number < end and self._catalog.source_of(WalSegment(timeline, number)) is not None:
                yield number

    def segment(self, number: int) -> WalSegment:
        """The segment of that number on this way."""
        return WalSegment(self.timelines[bisect_right(self._starts, number) - 1], number)

    def after(self, lsn: int) -> tuple[range, WalSegment | None]:
        """The numbers of the segments that follow a backup that ended at that LSN; and, where the archive goes on
        behind a gap, the first that is missing. The segment in which it ends is the backup's own and may be missing.
        """
        first = max(0, lsn - 1) // self._catalog.size
        run = self._run(first) or self._run(first + 1) or range(first, first)
        found = range(max(run.start, first), run.stop)
        missing = max(found.stop, first + 1)
        return found, self.segment(missing) if missing <= self._last else None

    def end(self, lsn: int) -> int:
        """The LSN that recovery of a backup that ended at that LSN gets to, at most: of a `.partial` it is told only
        where another timeline says where this one was left.
        """
        found, _ = self.after(lsn)
        if not found:
            return lsn
        return max(lsn, self._catalog.end_of(self.segment(found[-1])))

    def _run(self, number: int) -> range | None:
        at = bisect_right(self._runs, number, key=lambda run: run.start) - 1
        return self._runs[at] if at >= 0 and number in self._runs[at] else None


def ways(catalog: Catalog, timeline: int, lsn: int) -> list[int]:
    """The timelines to whose ends recovery can go that stands at an LSN of a timeline, in their order."""
    timelines = catalog.known_timelines
    known = {*catalog.timelines, timeline}
    return sorted(each for each in known if each in timelines and timelines.leads_to(timeline, lsn, each))


def _last(catalog: Catalog, spans: list[Span]) -> int:
    """The number of the last segment on the way of which anything is there; what lies behind a fork is another way."""
    numbers = [-1]
    for span in spans:
        files = catalog.timelines.get(span.timeline)
        if files is not None:
            numbers.append(files.last if span.end is None else min(files.last, span.end // catalog.size))
    return max(numbers)


def _runs(numbers: Iterable[int]) -> list[range]:
    found: list[range] = []
    for number in sorted(set(numbers)):
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found
