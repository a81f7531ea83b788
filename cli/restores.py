"""Restores onto other deployments, as the store remembers them: for `silt show` and `silt status`.

Rule: a rule that was overridden is told with what it was about. `restores` in JSON is a list of

    begun (time), host (who), onto (what the destination calls it), configuration (of the destination)
    allowed: [{rule, sentence}], ended (null: it was cut off, or goes on), files, bytes (written), failures
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .figures import counted, duration, local_time, size, utc_time
from .paths import shown

if TYPE_CHECKING:
    from siltstone.engine import RestoreNote


def restore_record(note: "RestoreNote") -> dict[str, Any]:
    """A restore as JSON."""
    ended = note.ended
    return {
        "begun": utc_time(note.begun_ns),
        "host": shown(note.host),
        "onto": shown(note.onto),
        "configuration": note.configuration,
        "allowed": [{"rule": shown(each.rule), "sentence": shown(each.sentence)} for each in note.allowed],
        "ended": utc_time(ended.ended_ns) if ended else None,
        "files": ended.files if ended else None,
        "bytes": ended.bytes if ended else None,
        "failures": ended.failures if ended else None,
    }


def restore_lines(note: "RestoreNote") -> Iterator[str]:
    """A restore for people, without the level that it was of."""
    place = f"{note.onto} of a {note.configuration}" if note.onto else f"a {note.configuration}"
    yield f"restored onto {shown(place)} by {shown(note.host)} on {local_time(note.begun_ns)}: {_came_to(note)}"
    for each in note.allowed:
        yield f"  although {shown(each.rule)}: {shown(each.sentence)}"


def _came_to(note: "RestoreNote") -> str:
    ended = note.ended
    if ended is None:
        return "it was cut off, or goes on"
    failed = f", {counted(ended.failures, 'failure')}" if ended.failures else ""
    took = duration(max(0, ended.ended_ns - note.begun_ns) / 1e9)
    return f"{counted(ended.files, 'file')}, {size(ended.bytes)} written in {took}{failed}"
