"""Runs one command and prints what it took, as JSON: the part of `measure` that must itself take next to nothing.

    python -I -S launch.py SECONDS LOG COMMAND...      working directory and environment are handed on

Rule: it is run as a program of its own and imports little. Linux counts the peak memory of the process that starts a
command as the command's own, so the figures would else be those of the benchmark. Fields: wall, cpu (user and system
time of the command and of all descendants that it waited for, seconds), peak (resident, largest single process, bytes),
others (CPU seconds that everything else on the machine took meanwhile), code (exit code; negative: the signal).
A command that takes longer than SECONDS is killed with its process group. What the floor of `peak` is (a bare
interpreter, about 9 MiB) cannot be told apart from a command that takes less.
"""

import json
import os
import signal
import sys
import time


def machine_cpu() -> float:
    """Seconds of CPU that all processes have taken since the start: user, nice, system, irq, softirq."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:8]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def launch(seconds: int, log: str, command: list[str]) -> dict[str, float]:
    """Run it to its end."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    busy, begun = machine_cpu(), time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setpgroup=0)

    def kill(*_: object) -> None:
        os.killpg(child, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, kill)
    signal.alarm(seconds)
    _, status, used = os.wait4(child, 0)
    wall, cpu = time.monotonic() - begun, used.ru_utime + used.ru_stime
    return {
        "wall": wall,
        "cpu": cpu,
        "peak": used.ru_maxrss * 1024,
        "others": max(0.0, machine_cpu() - busy - cpu),
        "code": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    print(json.dumps(launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])))
