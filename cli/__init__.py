"""The command line: turns words into calls of the engine, and the engine's events into lines, progress or JSON.

Rule: it decides nothing; what is backed up, restored or found damaged is the engine's word. `main` is light and every
command imports what it needs when it runs, because `silt --help` and shell completion have 150 ms.
It promises no Python interface: programs use `--json`, whose records `siltstone.cli.records` describes.

The words of this layer, besides those of the store and the engine:

options     what stands on the command line for every command: store, key file, how to answer
settings    the defaults of a user or machine, from one TOML file
mistake     something wrong in the command line or in a configuration; exit code 2
reporter    what shows the events of a long command: a live display, plain lines, JSON lines, or nothing
"""

import gc

# Loading modules makes many objects and no garbage: looking for cycles among them was a quarter of the start (220 ms of
# CPU instead of 165). What a backup makes later, rows and extents, holds no cycles either.
gc.set_threshold(100_000, 50, 50)
