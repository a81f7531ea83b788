"""The quick ways of `silt wal push` and `silt wal fetch`: a file that an earlier call took along costs only Python's
own start, 20 ms, and not the third of a second in which the store is opened. `silt-wal` (silt_wal.c) does the same
without a Python.

A push leaves a process behind that archives what else is ready ahead of PostgreSQL's requests, and notes each file in
the state folder after the store's commit: inode, times and size of the file, and of the object that stands for it. A
later call waits while that process is at work, and compares both with what is there. So it
says "archived" only while the very object is in the very store (its config is looked at, too) and the file is the one
that was read; anything else takes the long way, where bytes are compared. A fetch moves what a call before it laid into
the spool, whose name holds the store's config, the cluster and this boot of the machine: a spool that was written
without waiting for the disk does not outlive a crash. What is beyond the archive's end is in a note in the spool, of
who fills it and proved it less than two seconds before; nothing may have come into the archive since.

Rule: imports nothing but what the interpreter has loaded anyway. It promises nothing for a store that is only named in
the settings file, or that is no directory: each call takes the long way then.
"""

import fcntl
import os
import sys
import time

NOT_ARCHIVED = 44  # PostgreSQL takes 1 to 125 for "there is none"; this one says that it was proved
FAILED = 200  # and what is added to other exit codes: from 126 on PostgreSQL stops
VALUED = ("--store", "--key-file", "--system")
# Seconds for a file that somebody archives ahead, or lays into the spool; then it is archived or fetched here as well.
# Who is waited for may be stopped, or wait itself for a disk that does not answer: a batch takes some seconds.
LONGEST_WAIT = 20.0
LONGEST_LAYING = 10.0
WAITED = "--waited"  # silt-wal hands this on: it has waited that long, and nobody is to wait as long again
LEAST_AHEAD = 4  # files left in the spool when the next ones are fetched
SEGMENT, HISTORY = 24, 16  # how long names are
BEYOND = ".beyond"  # the note: spool.py says what is in it
NOTED_NS = 2_000_000_000  # as long a note may count
STILL_NS = 2_000_000_000  # so old is a folder's time when another change would show: some keep whole seconds


def asked(arguments: list[str]) -> tuple[str, list[str], str, str]:
    """(push, fetch or '', its plain words, --store, --system) of a command line; no words if there are other options.

    A store that is not said is that of SILT_STORE.
    """
    words: list[str] = []
    given = {"--store": "", "--system": ""}
    plain, at = True, 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word in VALUED and at < len(arguments):
            given[word] = arguments[at]
            at += 1
        elif word.startswith("--store="):
            given["--store"] = word.partition("=")[2]
        elif word.startswith("-"):
            plain = plain and (word in ("-q", "--quiet") or word.startswith("--key-file="))
        else:
            words.append(word)
    if len(words) < 2 or words[0] != "wal" or words[1] not in ("push", "fetch"):
        return "", [], "", ""
    store = given["--store"] or os.environ.get("SILT_STORE") or ""
    return words[1], words[2:] if plain else [], store, given["--system"]


def state_folder() -> str:
    """Where notes and spools are: XDG_STATE_HOME/silt/wal, by default in ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "silt", "wal")


def place_of(store: str, data: str, system: str = "") -> str:
    """What the notes and the spool of a store and a cluster are called.

    OSError where one of the two is not there, or the data directory is not that of the cluster `system`, if given.
    """
    with open(os.path.join(store, "config"), "rb") as file:
        config = file.read()
    with open(os.path.join(data, "global", "pg_control"), "rb") as file:
        found = str(int.from_bytes(file.read(8), sys.byteorder))
    if system not in ("", found):
        raise FileNotFoundError(f"{data} is of the cluster {found}")
    return f"{config[-16:].hex()}-{found}"


def note(path: str, file: tuple[int, ...], object_path: str) -> str:
    """The line that says: this file is archived as this object. OSError if there is no such object."""
    status = os.stat(object_path)
    known = (*file, status.st_ino, status.st_mtime_ns, status.st_size)
    return " ".join([os.path.basename(path), *map(str, known)])


def is_archived(path: str, store: str, system: str = "") -> bool:
    """Whether a note says so of this file, and all is still as it was then."""
    try:
        data = os.path.dirname(os.path.dirname(os.path.abspath(path)))
        place = place_of(store, data, system)
        name = os.path.basename(path)
        now = os.stat(path)
        target = os.path.join(store, "wal", place.partition("-")[2], name[:8], name)
        line = note(path, (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size), target)
        with open(os.path.join(state_folder(), f"{place}.archived"), encoding="utf-8", errors="replace") as file:
            return f"\n{line}\n" in file.read()
    except OSError:
        return False


def becomes_archived(path: str, store: str, system: str = "") -> bool:
    """The same, waiting while a process of an earlier call is at work."""
    try:
        lock = lock_of(path, store)
    except OSError:
        return False
    end = time.monotonic() + LONGEST_WAIT
    while True:
        busy = is_held(lock)  # first: a note that came after the look at the notes is looked at once more
        if is_archived(path, store, system):
            return True
        if not busy or time.monotonic() > end:
            return False
        time.sleep(0.002)


def lock_of(path: str, store: str) -> str:
    """What a process holds that archives ahead from the data directory of a segment into a store. OSError."""
    place = place_of(store, os.path.dirname(os.path.dirname(os.path.abspath(path))))
    return os.path.join(state_folder(), f"{place}.ahead")


def write_notes(place: str, lines: list[str]) -> None:
    """Put the notes of one push in the place of the last one's. OSError."""
    folder = state_folder()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{place}.archived")
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in ["silt wal push, 1", *lines]))
    os.rename(file.name, path)


def spool_of(place: str) -> str:
    """The folder of the spool."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return os.path.join(state_folder(), f"{place}-{file.read().strip()}")


def lock_spool(spool: str) -> int | None:
    """A descriptor that holds the spool until it is closed, None when somebody else does."""
    return hold(os.path.join(spool, ".lock"))


def hold(lock: str) -> int | None:
    """A descriptor that holds a lock until it is closed, None when somebody else does. OSError."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(lock: str) -> bool:
    """Whether somebody holds a lock."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def from_spool(name: str, target: str, store: str, system: str = "") -> tuple[str, int] | None:
    """Move a segment out of the spool, waiting while somebody fills it: the spool, and 0, or NOT_ARCHIVED where a note
    says so; None when it does not come. Of histories there are notes alone.
    """
    try:
        spool = spool_of(place_of(store, os.getcwd(), system))
        lock, idle = os.path.join(spool, ".lock"), os.path.join(spool, ".idle")
        end = time.monotonic() + LONGEST_LAYING
        while True:
            # Who is at work lays segments and writes the note before he is idle, or lets the lock go.
            waiting = len(name) == SEGMENT and time.monotonic() < end and is_held(lock) and not os.path.exists(idle)
            if _move(os.path.join(spool, name), target):
                return spool, 0
            if is_beyond(spool, name, store):
                return spool, NOT_ARCHIVED
            if not waiting:
                return None
            time.sleep(0.002)
    except OSError:
        return None


def archive_state(store: str, system: int) -> list[str] | None:
    """`<time of change, ns> <folder>` of every folder of a cluster's archive: one changes with each file that comes.

    None where one was changed so recently that a further change might leave it the same time. OSError.
    """
    folder = os.path.join("wal", str(system))
    below = sorted(os.listdir(os.path.join(store, folder)))
    found = []
    for each in (folder, *(os.path.join(folder, name) for name in below)):
        changed = os.stat(os.path.join(store, each)).st_mtime_ns
        if changed > time.time_ns() - STILL_NS:
            return None
        found.append(f"{changed} {each}")
    return found


def is_beyond(spool: str, name: str, store: str) -> bool:
    """Whether a note that still counts says that the archive ends before a file."""
    try:
        with open(os.path.join(spool, BEYOND), encoding="ascii") as file:
            until, *lines = file.read().split("\n")
        left = int(until) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        states = [line.split(" ", 1) for line in lines if " " in line]
        same = all(os.stat(os.path.join(store, folder)).st_mtime_ns == int(changed) for changed, folder in states)
    except (OSError, ValueError):
        return False
    return bool(states) and same and name in lines[:-1] and 0 < left <= NOTED_NS


def _move(source: str, target: str) -> bool:
    """Give a file its place; False if there is none."""
    if not os.path.exists(source):
        return False
    try:
        os.rename(source, target)
    except OSError:  # another file system
        temporary = f"{target}.silt"
        with open(source, "rb") as old, open(temporary, "wb") as new:
            while data := old.read(1 << 20):
                new.write(data)
        os.unlink(source)
        os.rename(temporary, target)
    return True


def running_low(spool: str, name: str) -> bool:
    """Whether few files are left behind this one."""
    return sum(each > name and each[:8] == name[:8] for each in os.listdir(spool)) < LEAST_AHEAD


def detach() -> None:
    """Go on in the background: nobody waits for us, and nothing is written to anybody."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
