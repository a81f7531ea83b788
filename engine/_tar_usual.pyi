# Types of `_tar_usual.c`, which makes what row_member of archive_header.py makes.

from collections.abc import Mapping

from .archive_header import UsualMember

def usual_member(
    _row: bytes, _owners: Mapping[int, bytes], _groups: Mapping[int, bytes], _before: int, /
) -> UsualMember | None: ...
