"""`silt key`: the keys of a store, and key files. Each command has a module of its own, key_<name>.

Rule: nothing is done here. The commands that change keys refuse a key that may not, before they ask for anything.
"""

from ..lazy import LazyCommands
from ..options import examples_text

COMMANDS = ("new", "list", "add", "change", "remove", "rotate", "export")

command = LazyCommands(
    "key",
    COMMANDS,
    prefix="key_",
    help="The keys of a store, and key files.",
    epilog=examples_text("silt key list"),
)
