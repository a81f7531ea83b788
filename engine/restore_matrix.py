"""Where a level may be restored: the documented table, as a pure function.

    version-mismatch      origin and destination run the same version of the product
    privilege-mismatch    privileged never goes to unprivileged, nor the other way
    configuration         a documented configuration goes to a documented one: any of the five to any of the five
    os-mismatch           where both files say the operating system, it is of the same family
    incomplete            all parts of the level are there
    no-place              the destination says where each path of the level goes

Rule: values in, refusals out; each names its rule. A rule is overridden by naming it, and by nothing else.
"""

from collections.abc import Sequence

from msgspec import Struct

from .hosts import CONFIGURATIONS, Part

RULES = ("version-mismatch", "privilege-mismatch", "configuration", "os-mismatch", "incomplete", "no-place")

# Who may go where. The documented table has no holes but between privilege classes: a row is every configuration.
MATRIX = {origin: frozenset(CONFIGURATIONS) for origin in CONFIGURATIONS}


class Nature(Struct, frozen=True):
    """What the table asks of an origin or a destination; an empty text is not known. `os`: such as "rhel 8"."""

    configuration: str
    version: str = ""
    privilege: str = ""
    os: str = ""


class Refusal(Struct, frozen=True):
    """A rule that is broken, and how."""

    rule: str
    sentence: str


def judge(origin: Nature, destination: Nature, missing: Sequence[Part] = ()) -> list[Refusal]:
    """Every rule that restoring an origin onto a destination would break, in the order of RULES."""
    found = []
    if origin.version != destination.version:
        found.append(_differs("version-mismatch", "version", origin.version, destination.version))
    if origin.privilege != destination.privilege:
        found.append(_differs("privilege-mismatch", "privilege class", origin.privilege, destination.privilege))
    if destination.configuration not in MATRIX.get(origin.configuration, ()):  # type: ignore[call-overload]  # any text
        found.append(_differs("configuration", "configuration", origin.configuration, destination.configuration))
    if origin.os and destination.os and _family(origin.os) != _family(destination.os):
        found.append(_differs("os-mismatch", "operating system", origin.os, destination.os))
    if missing:
        parts = ", ".join(map(str, missing))
        found.append(Refusal("incomplete", f"the level is incomplete: {parts} were never sent"))
    return found


def remarks(origin: Nature, destination: Nature) -> list[str]:
    """What somebody should know, and no rule forbids."""
    if origin.os and destination.os and origin.os != destination.os and _family(origin.os) == _family(destination.os):
        return [f"the operating system differs: {origin.os} in the level, {destination.os} at the destination"]
    return []


def _differs(rule: str, what: str, origin: str, destination: str) -> Refusal:
    here, there = (text or "not known" for text in (origin, destination))
    return Refusal(rule, f"the {what} of the level is {here}, and that of the destination {there}")


def _family(os: str) -> str:
    return os.split(maxsplit=1)[0].lower()
