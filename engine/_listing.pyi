# Types of `_listing.c`; what all of it does is said in files_plain.py.

from .files_plain import Lister as Lister
from .files_plain import Listing

def scan_directory(path: bytes | int, small: bool = False, /) -> Listing: ...
def stat_path(path: bytes, /) -> bytes: ...
