"""Numbers and times as people read them.

Rule: sizes are IEC (1 KiB = 1024 bytes) with three figures; times are local on a terminal and UTC in JSON. Nothing
here rounds what a program will read: JSON carries plain bytes.
"""

from datetime import UTC, datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float) -> str:
    """Bytes: 512 B, 1.23 GiB, 123 MiB."""
    unit = 0
    while abs(count) >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    if unit == 0:
        return f"{count:.0f} B"
    return f"{count:.{2 if abs(count) < 9.995 else 1 if abs(count) < 99.95 else 0}f} {_UNITS[unit]}"


def rate(bytes_a_second: float) -> str:
    """Bytes a second: 450 MiB/s."""
    return f"{size(bytes_a_second)}/s"


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 pack, 12,345 packs; a plural is given where it takes more than an s."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def share(part: float, whole: float) -> str:
    """Part of a whole in per cent: 45 %; of nothing it is 100 %."""
    return f"{100 * part / whole if whole else 100:.0f} %"


def duration(seconds: float) -> str:
    """0.42 s, 12.3 s, 3 min 07 s, 2 h 05 min, 3 d 04 h."""
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 9.995 else 1}f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def time_left(seconds: float) -> str:
    """A duration that is only guessed: whole seconds."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(max(60, seconds))


def local_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as 2025-11-23 17:42:10 where the user is."""
    return datetime.fromtimestamp(nanoseconds // 10**9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as 2025-11-23T16:42:10.123456Z, cut to microseconds."""
    moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC).replace(microsecond=nanoseconds % 10**9 // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def lsn_text(lsn: int) -> str:
    """A place in the WAL, as PostgreSQL writes it."""
    from siltstone.engine import format_lsn

    return format_lsn(lsn)
