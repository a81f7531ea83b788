"""Timelines: which one follows from which, and on which a place in the WAL lies.

A promotion, or a recovery that stops before the end, opens a new timeline: it shares the WAL of its parent up to the
LSN of the switch. Its history file (`0000000A.history`) has a line for each ancestor, oldest first:

    <ancestor> TAB <LSN at which it was left> TAB <reason, for people>

Rule: pure. A history is believed as it is (archives keep the first one under each name); two that contradict each other
about an ancestor are Malformed when they are put together. The first segment of a timeline repeats its parent's WAL up
to the switch; so for each segment the newest timeline that has begun by then is the one to read, as a server does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn, parse_lsn
from .wal_names import WalSegment, history_name

_LINE = re.compile(r"\s*([0-9]+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)(?:\s+(.*?))?\s*")


class Ancestor(Struct, frozen=True):
    """A timeline that was left at LSN `left`: its WAL counts below that."""

    timeline: int
    left: int
    reason: str = ""


class History(Struct, frozen=True):
    """Where a timeline comes from: its ancestors, the oldest first. Timeline 1 has none, and no history file."""

    timeline: int
    ancestors: tuple[Ancestor, ...] = ()

    @property
    def parent(self) -> Ancestor | None:
        """The timeline that was left for this one, and where."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def start(self) -> int:
        """The LSN from which on this timeline is its own."""
        return self.ancestors[-1].left if self.ancestors else 0


class Span(Struct, frozen=True):
    """WAL of one timeline: from LSN `start` up to `end`, or without an end (None) where it was not left."""

    timeline: int
    start: int
    end: int | None


def parse_history(name: str, timeline: int, text: bytes) -> History:
    """Read the history file of a timeline; `name` is for the errors. Raises Malformed."""
    ancestors: list[Ancestor] = []
    for number, line in enumerate(text.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Malformed(name, f"line {number} is no line of a history: {line[:60]!r}", hint=_HISTORY)
        each = Ancestor(int(match[1]), parse_lsn(match[2]), match[3] or "")
        last = ancestors[-1] if ancestors else Ancestor(0, 0)
        if each.timeline <= last.timeline or each.left < last.left:
            raise Malformed(name, f"line {number} goes back behind the line before", hint=_HISTORY)
        ancestors.append(each)
    if not ancestors or ancestors[-1].timeline >= timeline:
        what = "names no ancestor" if not ancestors else f"names timeline {ancestors[-1].timeline} as an ancestor"
        raise Malformed(name, what, hint=_HISTORY)
    return History(timeline, tuple(ancestors))


_HISTORY = "each line is: timeline, LSN, reason; timelines rise, and are below the file's own"


def format_history(history: History) -> bytes:
    """The history file, as a server writes it."""
    lines = (f"{each.timeline}\t{format_lsn(each.left)}\t{each.reason}\n" for each in history.ancestors)
    return "".join(lines).encode("utf-8", "surrogateescape")


class Timelines:
    """All timelines of a cluster that are known. Those named as ancestors only are known as far as they are named.

    Raises Malformed when two histories contradict each other. Timeline 1 is always known.
    """

    def __init__(self, histories: Iterable[History]) -> None:
        self._known: dict[int, History] = {1: History(1)}
        for history in histories:
            self._add(history)
            for count, ancestor in enumerate(history.ancestors):
                self._add(History(ancestor.timeline, history.ancestors[:count]))

    def __contains__(self, timeline: int) -> bool:
        return timeline in self._known

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._known))

    @property
    def histories(self) -> Mapping[int, History]:
        """What is known, by timeline."""
        return self._known

    @property
    def newest(self) -> int:
        """The highest timeline: what recovery to `latest` follows."""
        return max(self._known)

    def history(self, timeline: int) -> History:
        """Where a timeline comes from. Raises Malformed when its history is missing."""
        if timeline not in self._known:
            raise Malformed(history_name(timeline), "is missing", hint=_MISSING)
        return self._known[timeline]

    def children(self, timeline: int) -> list[History]:
        """The timelines that were opened directly from this one, lowest first."""
        histories = (self._known[each] for each in self)
        return [each for each in histories if each.parent is not None and each.parent.timeline == timeline]

    def spans(self, target: int) -> list[Span]:
        """The WAL that leads to the end of a timeline: its ancestors' parts and its own, oldest first.

        An ancestor that was left where it began has an empty span. Raises Malformed.
        """
        history = self.history(target)
        ends = [each.left for each in history.ancestors]
        timelines = [*(each.timeline for each in history.ancestors), target]
        return [Span(*part) for part in zip(timelines, [0, *ends], [*ends, None], strict=True)]

    def at(self, target: int, lsn: int) -> int:
        """The timeline that holds the WAL at an LSN, on the way to the end of `target`. Raises Malformed."""
        return next(span.timeline for span in reversed(self.spans(target)) if span.start <= lsn)

    def leads_to(self, timeline: int, lsn: int, target: int) -> bool:
        """Whether recovery that stands at an LSN of a timeline can go on to `target`: it must not have passed the
        place where that timeline was left. Raises Malformed.
        """
        spans = {span.timeline: span for span in self.spans(target)}
        span = spans.get(timeline)
        return span is not None and (span.end is None or lsn <= span.end)

    def path(self, timeline: int, lsn: int, target: int, end: int | None = None) -> list[Span]:
        """The WAL from an LSN of a timeline up to LSN `end` (None: all) on the way to `target`, empty parts left out.

        Raises Malformed where that way does not exist: the timeline is no ancestor, or was left before.
        """
        if not self.leads_to(timeline, lsn, target):
            what = f"does not lead from {format_lsn(lsn)} of timeline {timeline} to timeline {target}"
            raise Malformed(history_name(target), what, hint=_BRANCHES)
        parts = []
        for span in self.spans(target):
            if span.timeline < timeline:
                continue
            ends = [each for each in (span.end, end) if each is not None]
            part = Span(span.timeline, max(span.start, lsn), min(ends) if ends else None)
            if part.end is None or part.start < part.end:
                parts.append(part)
        return parts

    def segment(self, target: int, number: int, size: int) -> WalSegment:
        """The segment of this number to read on the way to `target`: of the newest timeline that begins in it or
        before. Raises Malformed.
        """
        spans = reversed(self.spans(target))
        return WalSegment(next(span.timeline for span in spans if span.start // size <= number), number)

    def _add(self, history: History) -> None:
        known = self._known.get(history.timeline)
        if known is None or not known.ancestors:
            self._known[history.timeline] = history
        elif history.ancestors and _places(known) != _places(history):
            name = history_name(history.timeline)
            raise Malformed(name, "contradicts the history of another timeline about its ancestors", hint=_TWICE)


_MISSING = "fetch it from the server (pg_wal) or from a standby; without it the timelines before are unknown"
_BRANCHES = "choose a backup from before the switch, or another target timeline"
_TWICE = "two clusters wrote the same timeline into one archive: give each its deployment"


def _places(history: History) -> list[tuple[int, int]]:
    return [(each.timeline, each.left) for each in history.ancestors]
