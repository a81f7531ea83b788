"""The table `[retention]` of a deployment file: which levels stay when the next backup has been made.

    keep-groups, keep-last, keep-hourly, keep-daily, keep-weekly, keep-monthly, keep-yearly     whole numbers from 1
    keep-within, minimum-age, undelete-window                                                   spans, such as "30d"

Rule: a table that keeps nothing by any rule is refused, since it would say nothing. What the rules mean is in
retention.py; this module only reads them.
"""

from .keep_rules import KeepRules, Retention
from .toml_table import Table

COUNTS = ("groups", "last", "hourly", "daily", "weekly", "monthly", "yearly")
_KEYS = (*(f"keep-{name}" for name in COUNTS), "keep-within", "minimum-age", "undelete-window")


def retention_of(top: Table) -> Retention | None:
    """What a deployment file says of retention; None where it has no such table. Raises ConfigError."""
    if "retention" not in top:
        return None
    table = top.table("retention")
    table.refuse_unknown(_KEYS)
    counts = {name: _count(table, f"keep-{name}") for name in COUNTS if f"keep-{name}" in table}
    within, age = table.span("keep-within"), table.span("minimum-age")
    rules = KeepRules(**counts, within_ns=within, minimum_age_ns=age)
    if not rules:
        raise table.error("no rule keeps anything", hint="write for example keep-groups = 3, or keep-daily = 14")
    return Retention(rules, table.span("undelete-window") if "undelete-window" in table else None)


def _count(table: Table, key: str) -> int:
    number = table.number(key)
    if number is None or number < 1:
        raise table.error("must be 1 or more", key, hint="leave it out if this rule is not wanted")
    return number
