"""`silt key list`: the keys of a store, as they say it of themselves.

Rule: it needs no key, since what it shows is not sealed; a key object that is damaged is listed too.
"""

import json

from ..columns import columns
from ..exits import Exit
from ..figures import local_time
from ..key_text import MAY, key_record
from ..opening import store_backend
from ..options import Options, make_command

HEADER = ("ID", "OPENED BY", "MAY", "CREATED", "LABEL")


@make_command(
    "list",
    examples="""
    silt key list
    silt key list --json
    """,
)
def command(options: Options) -> int:
    """List the keys of the store. Nothing proves what a key says of itself before it is opened.

    An outdated key opens what was written before the last 'silt key rotate'. With --json: one array of {"id", "kind",
    "label", "created", "role" (all | write | read), "generation", "outdated"}; a damaged key is {"id", "error"}.
    """
    from siltstone.store import newest_generation, read_config, read_keys

    backend = store_backend(options)
    config = read_config(backend)
    keys = [key for key in read_keys(backend) if key.info is None or key.info.store == config.store_id]
    newest = newest_generation(keys, config.store_id)
    if options.json:
        print(json.dumps([key_record(key, newest=newest) for key in keys]))
    elif not config.encrypted:
        print("the store is not encrypted: it has no keys")
    else:
        rows = []
        for key in keys:
            if key.info is None:
                rows.append((key.id, "damaged", "", "", ""))
                continue
            may = MAY[key.info.role] + (", outdated" if key.info.generation < newest else "")
            rows.append((key.id, key.info.kind, may, local_time(key.info.created_ns), key.info.label))
        for line in columns(HEADER, rows):
            print(line)
    return int(Exit.DAMAGE if any(key.info is None for key in keys) else Exit.DONE)
