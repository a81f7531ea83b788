"""Amounts of bytes as people write them: `500`, `50GiB`, `1.5 MB`.

Rule: K, M, G, T, P and KiB ... count in 1024s, kB, MB ... in 1000s; upper and lower case mean the same.
"""

import re

_UNITS = {"": 1, "b": 1}
_UNITS |= {prefix: 1024**power for power, prefix in enumerate("kmgtp", 1)}
_UNITS |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)}
_UNITS |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def parse_amount(text: str) -> int | None:
    """The number of bytes, or None where the text is no amount."""
    match = _AMOUNT.fullmatch(text.strip().lower())
    return round(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None
