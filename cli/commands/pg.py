"""`silt pg`: what concerns a PostgreSQL cluster itself. Each command has a module of its own, pg_<name>.

Rule: nothing is done here.
"""

from ..lazy import LazyCommands
from ..options import examples_text

COMMANDS = ("check", "times", "load")

command = LazyCommands(
    "pg",
    COMMANDS,
    prefix="pg_",
    help="PostgreSQL: is a cluster ready; moments; configuration.",
    epilog=examples_text("silt pg check -c deployment.toml"),
)
