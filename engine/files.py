"""Many small files at once: listing a directory with the stat of each entry, reading files, creating files.

Rule: this is the front. The work is done by `_files.c` and `_listing.c` without the interpreter lock where they were
built, else by their twins in plain Python, `files_plain` and `files_plain_write`, whose docstrings say what each
function does and refuses.
It promises nothing that they do not: nothing is synced, and a signal is seen only after the batch is done.
"""

from .files_plain import HEAD_BYTES, STAT, Listing, open_to_read, short_path, stat_of, unexamined

try:
    from ._files import probe_directory, read_files, write_files
    from ._listing import Lister, scan_directory, stat_path

    COMPILED = True
except ImportError:
    from .files_plain import Lister, probe_directory, read_files, scan_directory, stat_path
    from .files_plain_write import write_files

    COMPILED = False

__all__ = [
    "COMPILED",
    "HEAD_BYTES",
    "STAT",
    "Lister",
    "Listing",
    "open_to_read",
    "probe_directory",
    "read_files",
    "scan_directory",
    "short_path",
    "stat_of",
    "stat_path",
    "unexamined",
    "write_files",
]
