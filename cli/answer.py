"""The answer of a command: one result object with --json, lines for people otherwise, nothing with --quiet.

Rule: the answer is the last thing on stdout, and the only thing there besides JSON events: progress, warnings and
errors go to stderr. It does not decide the exit code.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .options import Options


def answer(options: Options, record: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print the result: `record` (with "type": "result" put before it) or `lines`."""
    if options.json:
        print(json.dumps({"type": "result", **record}))
    elif not options.quiet:
        for line in lines:
            print(line)
