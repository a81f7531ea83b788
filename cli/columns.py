"""A table as plain lines, the same on a terminal and in a pipe.

Rule: columns are as wide as their widest cell and two blanks apart; numbers stand to the right. It does not fold or cut
cells, and counts a character as one column (rich could do better, and would cost 60 ms of every `silt list`).
"""

from collections.abc import Iterator, Sequence


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[str] = frozenset()
) -> Iterator[str]:
    """The header and the rows as lines; the columns named in `right` are aligned to the right."""
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def facts(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names and values as lines, the values below each other; a pair without a value is left out."""
    width = max((len(name) for name, value in pairs if value), default=0)
    for name, value in pairs:
        if value:
            yield f"  {name.ljust(width)}  {value}"
