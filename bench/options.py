"""The options that the comparisons share: what size, how often, which tools, where to write.

Rule: a command adds its own to the parser before it parses.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path


def comparison_parser(command: str, about: str | None, tools: Sequence[str], scale: float) -> argparse.ArgumentParser:
    """The parser of `./dev bench COMMAND`. `tools`: names of all that are known; `scale`: the default."""
    parser = tools_parser(command, about, tools, scale)
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="add every figure to this file, a JSON line each")
    return parser


def tools_parser(command: str, about: str | None, tools: Sequence[str], scale: float) -> argparse.ArgumentParser:
    """The same of a command that measures once."""
    parser = argparse.ArgumentParser(prog=f"./dev bench {command}", description=about)
    parser.add_argument("--scale", type=float, default=scale, help="of the data (default: %(default)s)")
    parser.add_argument("--tool", action="append", choices=tools, help="silt and only this one; may be repeated")
    parser.add_argument("--bin", type=Path, metavar="DIR", help="where the tools are looked for first")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    return parser


def parse_comparison(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """What was given, with the numbers checked."""
    given = parser.parse_args(arguments)
    if given.scale <= 0 or getattr(given, "repetitions", 1) < 1:
        parser.error("--scale and --repetitions are above 0")
    return given
