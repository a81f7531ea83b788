"""What a measurement was taken on: processor, memory, kernel, file system. Facts to print beside figures.

Rule: facts that cannot be had are named unknown, never guessed. No name of the machine, no path of it.
"""

import os
import platform
from pathlib import Path


def describe(folder: Path) -> str:
    """One line about this machine, and the file system on which `folder` lies."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    facts = (
        f"{cores} core{'s' * (cores != 1)} of {processor()}",
        f"{memory:.0f} GiB of memory",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        file_system(folder),
        f"Python {platform.python_version()}",
    )
    return ", ".join(facts)


def processor() -> str:
    """The model of the processor as the kernel names it, with family and model numbers, for names may be vague."""
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    name = facts.get("model name", platform.machine() or "unknown processor")
    numbers = [facts[key] for key in ("cpu family", "model") if key in facts]
    return f"{name} (family {numbers[0]}, model {numbers[1]})" if len(numbers) == 2 else name


def file_system(folder: Path) -> str:
    """The type of the file system that holds a folder."""
    there = os.path.realpath(folder)
    best, found = "", "unknown file system"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.encode("latin-1", "surrogateescape").decode("unicode_escape")
        if len(point) >= len(best) and (there + "/").startswith(point.rstrip("/") + "/"):
            best, found = point, kind
    return found
