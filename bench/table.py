"""Figures as Markdown, and their places in docs/performance.md.

Rule: a place is what lies between `<!-- bench:begin NAME -->` and `<!-- bench:end NAME -->` (without a name: the
comparison with other tools); only that is rewritten, and a place that is not there is added at the end. Under every
table stands where it was measured, when, and the command to have it again.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path


def write_place(document: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines between the marks of a place of a document, which need not exist."""
    suffix = f" {name}" if name else ""
    begin, end = f"<!-- bench:begin{suffix} -->", f"<!-- bench:end{suffix} -->"
    text = document.read_text(encoding="utf-8") if document.exists() else "# Performance\n"
    if begin not in text:
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{document}: '{begin}' has no '{end}'")
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(before + "\n".join([begin, *lines, end]) + after, encoding="utf-8")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; every column but the first is aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def origin(machine: str, command: str, versions: Sequence[str] = ()) -> str:
    """The line that says when, where, with what, and how to have it again."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    what = f" {', '.join(versions)}." if versions else ""
    return f"Measured on {today}: {machine}.{what} Again: `{command}`."
