"""The errors of the WAL archive: what was refused, what is known to be missing, and what is proved to be absent.

Rule: NotArchived is the one error on which recovery may end, so it is raised only where the names in the store prove
that the file is beyond the end of what was archived. A gap is never taken for that end.
"""

from ..errors import EngineError


class OtherBytes(EngineError):
    """A WAL file is in the archive with other bytes. `kept` is the object under which these bytes were kept aside."""

    def __init__(self, name: str, kept: str) -> None:
        hint = (
            f"what is in the archive was not touched, and these bytes are kept as {kept}: two servers write into one"
            " archive (a restored copy beside its original?): give one of them another store, or archive_mode = off"
        )
        super().__init__(f"{name}: the archive holds other bytes under this name", hint=hint)
        self.name, self.kept = name, kept


class WalGap(EngineError):
    """WAL that recovery needs is missing although what follows it is there, or is known to have been."""


class NotArchived(EngineError):
    """The file is not in the archive, and nothing that follows it is: this is the end."""
