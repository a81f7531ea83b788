"""What stands on a page of the docs: fenced blocks, the command lines of `silt` in them, tables, links and headings.

Rule: plain functions of text, for `test_docs`. They know as much Markdown as our pages use, and no more.
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_ENDS = ("|", ">", "&&", "||", "&", ";")  # what a shell reads as the end of a command's arguments


class Block(Struct, frozen=True):
    """A fenced block: what stands after the fence, the text without its indent, the line of its fence."""

    info: str
    body: str
    line: int


def blocks(text: str, *infos: str) -> list[Block]:
    """The fenced blocks of a page; those of the given infos, if any are given."""
    found = [
        Block(match["info"], textwrap.dedent(match["body"]), text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if not infos or block.info in infos]


def runnable(text: str) -> str:
    """The blocks of a page that are to be run, as one script."""
    return "\n".join(block.body for block in blocks(text, "sh run"))


def silt_commands(block: Block) -> Iterator[str]:
    """The command lines of `silt` in a block, wherever in a line they stand (cron, systemd, pipes)."""
    for line in block.body.replace("\\\n", " ").splitlines():
        words = shlex.split(line.replace("(", " ").replace(")", " ").replace(";", " ; "), comments=True)
        for at, word in enumerate(words):
            if word == "silt" or word.endswith("/bin/silt"):
                rest = words[at + 1 :]
                end = next((number for number, each in enumerate(rest) if each in _ENDS), len(rest))
                yield shlex.join(["silt", *rest[:end]])


def table(text: str, *head: str) -> list[list[str]]:
    """The cells of the table that has this head. AssertionError when the page has none, or two."""
    lines = text.splitlines()
    places = [at for at, line in enumerate(lines) if tuple(_cells(line)) == head]
    assert len(places) == 1, f"{len(places)} tables with the head {head}"
    rows = []
    for line in lines[places[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(_cells(line))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def coded(cell: str) -> list[str]:
    """What stands in a text as code."""
    return _CODE.findall(cell)


def links(text: str) -> list[str]:
    """Where the links of a page lead."""
    return _LINK.findall(_FENCE.sub("", text))


def link_faults(page: Path, text: str) -> list[str]:
    """Links of a page to files or headings that are not there. Links to other sites are not followed."""
    faults = []
    for link in links(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file():
            faults.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target.read_text()):
            faults.append(f"{link}: there is no such heading")
    return faults


def anchors(text: str) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", text))]
    return {heading.strip().replace(" ", "-") for heading in plain}
