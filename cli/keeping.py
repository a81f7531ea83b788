"""The words that say which levels stay: options as restic's users know them, or the deployment file's `[retention]`.

Rule: rules come from one place: options, or a file. Options judge every deployment of the store, each by itself, or
the one that is named; a file judges its own. What the rules mean is the engine's word.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .mistake import Mistake
from .settings import Settings

if TYPE_CHECKING:
    from siltstone.engine import KeepRules, Retention

F = TypeVar("F", bound=Callable[..., Any])

_COUNTS = {
    "groups": "All levels of the N newest groups.",
    "last": "The N newest levels.",
    "hourly": "The newest level of each of the N newest hours that have one.",
    "daily": "The same with days,",
    "weekly": "weeks,",
    "monthly": "months,",
    "yearly": "and years.",
}
_SPANS = {
    "keep-within": "What is no older than that, counted back from the newest level: 30d, 36h, 1y6m.",
    "minimum-age": "Remove nothing that is younger than that, whatever the rules say.",
}


def keep_options(command: F) -> F:
    """Add the options of the rules; they arrive as keyword arguments, None where they were not given."""
    for name, said in reversed(_SPANS.items()):
        command = click.option(f"--{name}", metavar="SPAN", help=said)(command)
    for name, said in reversed(_COUNTS.items()):
        command = click.option(f"--keep-{name}", type=click.IntRange(min=1), metavar="N", help=said)(command)
    return command


def rules_given(given: Mapping[str, Any]) -> "KeepRules | None":
    """The rules that options make; None where none was given. Mistake for a minimum age alone, ConfigError."""
    from siltstone.engine import KeepRules, parse_span

    if all(value is None for value in given.values()):
        return None
    counts = {name: given[f"keep_{name}"] for name in _COUNTS if given[f"keep_{name}"] is not None}
    within, age = (parse_span(given[name] or "0") for name in ("keep_within", "minimum_age"))
    rules = KeepRules(**counts, within_ns=within, minimum_age_ns=age)
    if not rules:
        raise Mistake("no rule keeps anything: this would forget all but the newest level", hint="add a --keep-...")
    return rules


def default_window(settings: Settings) -> int | None:
    """How long what is forgotten can be undeleted, as the settings say, in nanoseconds. ConfigError."""
    from siltstone.engine import parse_span

    said = settings.get("undelete_window")
    return None if said is None else parse_span(said)


def retention_record(retention: "Retention | None") -> dict[str, Any] | None:
    """A deployment's retention as `silt config show --json` tells it; spans in seconds, 0 or null: no such rule."""
    if retention is None:
        return None
    rules = retention.rules
    spans = {
        "keep_within": rules.within_ns,
        "minimum_age": rules.minimum_age_ns,
        "undelete_window": retention.window,
    }
    counts = {f"keep_{name}": getattr(rules, name) for name in _COUNTS}
    return {**counts, **{name: span / 1e9 for name, span in spans.items()}}


def retention_lines(retention: "Retention") -> Iterator[str]:
    """A deployment's retention for people."""
    from siltstone.engine import span_text

    rules = retention.rules
    for name in _COUNTS:
        if number := getattr(rules, name):
            yield f"keep-{name} {number}"
    if rules.within_ns:
        yield f"keep-within {span_text(rules.within_ns)}"
    if rules.minimum_age_ns:
        yield f"nothing goes that is younger than {span_text(rules.minimum_age_ns)}"
    yield f"what goes can be undeleted for {span_text(retention.window)}"
