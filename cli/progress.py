"""What a progress event says to people, in words: how much of what, how fast, and how long it will take.

Rule: pure. What shows them, on a terminal or line by line, is elsewhere.
"""

from siltstone.engine import Progress

from .figures import count, counted, rate, size, time_left
from .pace import Pace

# What the phases of commands on whole stores count; all others count files.
COUNTED = {
    "structure": ("pack", ""),
    "packs": ("pack", ""),
    "levels": ("entry", "entries"),
    "objects": ("object", ""),
    "stripes": ("stripe", ""),
    "marks": ("range", ""),
}


def progress_words(now: Progress, pace: Pace) -> list[str]:
    """What a progress event says, in parts: files, bytes read, new bytes, rate, time left; what is 0 is left out."""
    amount = counted(now.total_files or now.files, *COUNTED.get(now.phase, ("file", "")))
    words = [f"{count(now.files)} of {amount}" if now.total_files else amount]
    if now.total_bytes:
        words.append(f"{size(now.bytes)} of {size(now.total_bytes)}")
    elif now.bytes:
        words.append(f"{size(now.bytes)} read")
    if now.new_bytes:
        words.append(f"{size(now.new_bytes)} new")
    if pace.rate() > 0:
        words.append(rate(pace.rate()))
    left = pace.left(now.total_bytes) if now.total_bytes else None
    if left is not None:
        words.append(f"{time_left(left)} left")
    return words
