"""The command BASE_BACKUP and its options, in the two grammars that servers have had: 13 and 14, and 15 to 18.

Rule: the server is asked neither to verify page checksums nor for anything but CRC-32C in its manifest: both would be
its processor's time, and we do the one ourselves and hash anyway. What a version cannot do is refused here and never
left out in silence. Nothing is sent here.
"""

from msgspec import Struct

from .errors import PostgresError
from .quoting import quoted_text

FRAMED_SINCE = 150000  # since then the grammar has parentheses, and one COPY carries everything
INCREMENTAL_SINCE = 170000
MAX_RATE = (32, 1 << 20)  # kB/s: what the server takes


class BackupOptions(Struct, frozen=True, kw_only=True):
    """`max_rate` is in kB/s. `fast`: a checkpoint at once and not spread over minutes. `tablespace_map`: links stand in
    the file of that name and not in the tar. `wal`: the WAL that makes the backup consistent comes with it.
    `wait_for_archive`: at the end until the server's own archive_command has taken that WAL.
    `incremental`: only what changed since the manifest that upload_manifest() sent over the same connection.
    """

    label: str = "siltstone"
    fast: bool = True
    max_rate: int | None = None
    tablespace_map: bool = True
    manifest: bool = True
    wal: bool = False
    wait_for_archive: bool = False
    incremental: bool = False


def backup_command(options: BackupOptions, version_num: int) -> str:
    """The command in the grammar of a server's version. Raises PostgresError for what that version cannot do."""
    if options.max_rate is not None and not MAX_RATE[0] <= options.max_rate <= MAX_RATE[1]:
        raise PostgresError(f"a rate of {options.max_rate} kB/s: servers take {MAX_RATE[0]} to {MAX_RATE[1]}")
    if options.incremental:
        refuse_incremental(version_num)
    if any(ord(character) < 0x20 for character in options.label):
        raise PostgresError("a label with control characters would break the file backup_label")
    label = quoted_text(options.label)
    if version_num < FRAMED_SINCE:
        return _old_command(options, label)
    words = [f"LABEL {label}", "PROGRESS true", f"CHECKPOINT '{'fast' if options.fast else 'spread'}'"]
    words += [f"WAL {_bool(options.wal)}", f"WAIT {_bool(options.wait_for_archive)}"]
    words += [f"MAX_RATE {options.max_rate}"] if options.max_rate is not None else []
    words += [f"TABLESPACE_MAP {_bool(options.tablespace_map)}", "VERIFY_CHECKSUMS false"]
    words += ["MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'CRC32C'"] if options.manifest else ["MANIFEST 'no'"]
    words += ["INCREMENTAL true"] if options.incremental else []
    return f"BASE_BACKUP ({', '.join(words)})"


def refuse_incremental(version_num: int) -> None:
    """Raises PostgresError where a server's version knows no incremental backups."""
    if version_num < INCREMENTAL_SINCE:
        raise PostgresError("the server knows no incremental backups: PostgreSQL 17 is the first that does")


def _old_command(options: BackupOptions, label: str) -> str:
    words = ["BASE_BACKUP", f"LABEL {label}", "PROGRESS"]
    words += ["FAST"] if options.fast else []
    words += ["WAL"] if options.wal else []
    words += [] if options.wait_for_archive else ["NOWAIT"]
    words += [f"MAX_RATE {options.max_rate}"] if options.max_rate is not None else []
    words += ["TABLESPACE_MAP"] if options.tablespace_map else []
    words += ["NOVERIFY_CHECKSUMS"]
    words += ["MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'CRC32C'"] if options.manifest else []
    return " ".join(words)


def _bool(value: bool) -> str:
    return "true" if value else "false"
