"""What stays and what goes, drawn for people and as JSON.

Rule: every level that was judged is there, with its reasons, group by group; costs stand beside them where they are
known. It decides nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .columns import columns
from .figures import counted, local_time, size

if TYPE_CHECKING:
    from siltstone.engine import Costs, Judgement

HEADER = ("LEVEL", "STARTED", "TYPE", "OWN", "", "WHY")
RIGHT = frozenset({"OWN"})


def judgement_lines(judged: "Sequence[Judgement]", known: "Costs") -> Iterator[str]:
    """A table for each deployment: its groups and levels, what becomes of them, why, and what only they use."""
    for deployment, mine in groupby(judged, key=lambda each: each.ref.deployment):
        of_one = list(mine)
        staying = sum(each.stays for each in of_one)
        yield f"{deployment}: {staying} of {counted(len(of_one), 'level')} stay"
        rows = [row for group, levels in by_group(of_one) for row in _group_rows(deployment, group, levels, known)]
        yield from (f"  {line}" for line in columns(HEADER, rows, right=RIGHT))
        yield ""
    yield "OWN is what a level or a group takes in the store and no other shares."
    yield f"Without what goes, {size(known.going)} would be free."


def _group_rows(
    deployment: str, group: int, levels: "Sequence[Judgement]", known: "Costs"
) -> Iterator[tuple[str, ...]]:
    yield (f"group {group}", "", "", size(known.groups.get((deployment, group), 0)), _fate(levels), "")
    for each in levels:
        level = each.level
        started, own = "", ""
        if not level.damage:
            started, own = local_time(level.started_ns), size(known.levels.get(each.ref, 0))
        kind = "damaged" if level.damage else level.kind
        yield (f"  {each.ref}", started, kind, own, _fate([each]), ", ".join(each.decision.reasons))


def _fate(levels: "Sequence[Judgement]") -> str:
    staying = {each.stays for each in levels}
    return "stays" if staying == {True} else "goes" if staying == {False} else "stays in part"


def by_group(judged: "Sequence[Judgement]") -> "Iterator[tuple[int, list[Judgement]]]":
    """The groups of one deployment with their levels."""
    return ((group, list(levels)) for group, levels in groupby(judged, key=lambda each: each.ref.group))


def judgement_records(judged: "Sequence[Judgement]", known: "Costs | None") -> dict[str, Any]:
    """ "levels" and "groups" as `silt forget --json` tells them."""
    from .records import name_record

    levels = [
        {**name_record(each.ref), "stays": each.stays, "reasons": each.decision.reasons}
        | ({"own_bytes": known.levels.get(each.ref, 0)} if known else {})
        for each in judged
    ]
    groups = [
        {"deployment": deployment, "group": group, "levels": len(mine), "staying": sum(each.stays for each in mine)}
        | ({"own_bytes": known.groups.get((deployment, group), 0)} if known else {})
        for deployment, of_one in groupby(judged, key=lambda each: each.ref.deployment)
        for group, mine in by_group(list(of_one))
    ]
    return {"levels": levels, "groups": groups} | ({"free_bytes": known.going} if known else {})
