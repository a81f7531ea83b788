# Types of `_tar_plain.c`. Of the member whose headers these are: path, mode, head, size, owner, length of the headers.

from .tar_plain import Usual

def usual(_headers: memoryview, /) -> Usual | None: ...
