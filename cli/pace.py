"""How fast something goes and when it will be done, from samples of how much is done.

Rule: the pace is that of the last ten seconds, so that a change shows soon and one slow file does not. It has no clock:
times are given. It does not know what it counts.
"""

from collections import deque

WINDOW = 10.0  # seconds


class Pace:
    """Samples of (seconds, amount done) over the last WINDOW seconds, and what follows from them."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> None:
        """So much was done at that time; less than before (a new phase) begins anew."""
        samples = self._samples
        if samples and done < samples[-1][1]:
            samples.clear()
        samples.append((now, done))
        while len(samples) > 2 and now - samples[1][0] >= WINDOW:
            samples.popleft()

    def rate(self) -> float:
        """Amount a second, 0 while nothing can be said."""
        if len(self._samples) < 2:
            return 0.0
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def left(self, total: int) -> float | None:
        """Seconds until `total` is done, None while nothing can be said."""
        rate = self.rate()
        return max(0, total - self._samples[-1][1]) / rate if rate > 0 else None
