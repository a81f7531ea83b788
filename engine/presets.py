"""Deployments that Siltstone knows by name, and the commented files that `silt config` writes.

Rule: a preset is what a deployment file could say itself, as TOML: variables and file sets. A file that names a preset
says only what differs: each variable, and each key of a file set, replaces that of the preset.
A preset says nothing about versions: the paths are those of phantom 4.8 to 4.10.7.
"""

from collections.abc import Mapping

PRESETS: Mapping[str, str] = {
    "phantom": """\
[variables]
PHANTOM_HOME = "/opt/phantom"
PHANTOM_ETC = "/etc"
PHANTOM_VAR = "/var"

[file-sets.misc_files]
configuration = true
paths = [
    "$PHANTOM_HOME/keystore/private_key.pem",
    "$PHANTOM_HOME/www/phantom_ui/secret_key.py",
    "$PHANTOM_HOME/www/phantom_ui/secret_key.pyc",
    "$PHANTOM_ETC/nginx/conf.d/default.conf",
    "$PHANTOM_HOME/etc/cacerts.pem",
    "$PHANTOM_HOME/splunk/etc/apps/splunk_httpinput/local/inputs.conf",
    "$PHANTOM_HOME/etc/enable",
    "$PHANTOM_HOME/www/phantom_ui/auth_backends/saml2_xml",
]

[file-sets.apps]
paths = ["$PHANTOM_HOME/apps"]

[file-sets.ssl]
configuration = true
paths = ["$PHANTOM_HOME/etc/ssl"]

[file-sets.certs]
configuration = true
paths = ["$PHANTOM_HOME/etc/certs"]

[file-sets.playbooks]
paths = ["$PHANTOM_HOME/scm"]

[file-sets.nginx_keys]
configuration = true
paths = ["$PHANTOM_VAR/cache/nginx/.ssh"]

[file-sets.vault]
paths = ["$PHANTOM_HOME/vault"]
# Apps write a file into tmp and then hand it to the vault. The folder itself is kept, or restored apps could not write.
exclude = ["/tmp/*"]
# A file that is streaming in is written to at least every few seconds; the next level takes it.
skip-changed-within = 60
skip-patterns = ["*.part", "*.partial", "*.tmp"]

[file-sets.app_states]
paths = ["$PHANTOM_HOME/local_data/app_states"]

[file-sets.playbook_states]
paths = ["$PHANTOM_HOME/tmp"]
""",
}

_OPTIONS = """\
# What holds for every file set that does not say otherwise. These are the values without this table.
[defaults]
exclude = []                # gitignore rules; those of a file set come after them
one-file-system = false     # true: do not enter other file systems mounted below a path
skip-sockets = true
skip-caches = false         # true: leave out what lies in folders marked with a CACHEDIR.TAG
skip-changed-within = 0     # seconds; files changed more recently are still being written, and wait for the next level
skip-patterns = []          # names of files still streaming in, such as "*.part"
"""

_RETENTION = """\
# What stays when a backup has been made; without this table all stays. A level stays when any rule keeps it, pinned
# levels and the newest one stay anyway; what goes can be undeleted. `silt forget -c FILE --dry-run` draws it.
#
# [retention]
# keep-groups = 3             # all levels of the 3 newest groups
# keep-daily = 14             # and the newest level of each of 14 days; keep-last, -hourly, -weekly, -monthly, -yearly
# keep-within = "30d"         # and what is no older than the newest level by that; h, d, w, m (31 days), y
# minimum-age = "1d"          # nothing goes that is younger than that
# undelete-window = "7d"
"""

_DATABASE = """\
# A PostgreSQL cluster (13 to 18) that is backed up with the file sets, over its own protocol: 'silt pg check' says
# whether it is ready. Passwords belong into ~/.pgpass.
#
# [postgres]
# dsn = "host=db.example user=backup"   # in libpq's words
# mode = "auto"                         # "wire"; "local": read on this host; "auto": that where it is possible
# checkpoint = "fast"                   # "spread": over minutes, and not at once
# max-rate = 51200                      # kB/s over the wire
# full-read-days = 7                    # a server of 17 and later may say itself what changed, for so long; 0: never
"""

_PLAIN = f"""\
# A deployment: what Siltstone backs up together. `silt config check` checks this file, `silt config show` shows what it
# resolves to.

name = "my-deployment"      # letters, digits, '.', '_' and '-'; levels are listed under it
# version = "1.0"           # of the product that is backed up; recorded with each level
# privilege = "privileged"  # or "unprivileged"; recorded with each level, too
# preset = "phantom"        # brings the file sets of a known product

# Used as $NAME or ${{NAME}} in paths and rules ($$ is a plain dollar sign); `silt ... -D NAME=VALUE` replaces them.
[variables]
DATA = "/srv/data"

{_OPTIONS}
{_DATABASE}
# A file set: a name, and the paths that it holds with all that lies below them. They may overlap: what lies in two file
# sets is listed in both and stored once. Paths are absolute, begin at a home folder (~) or at the folder of this file,
# and may be globs (* ? [...]). Rules are those of gitignore, from each of the paths; a path itself is always taken.
[file-sets.etc]
paths = ["/etc"]

[file-sets.data]
paths = ["$DATA", "/var/spool/cron/*"]
exclude = ["*.tmp", "/scratch/", "!important.tmp"]
{_RETENTION}"""

_PHANTOM = f"""\
# A phantom deployment. `silt config check` checks this file, `silt config show` shows what it resolves to.

name = "phantom"            # letters, digits, '.', '_' and '-'; levels are listed under it
version = "4.10.7"          # of the product; recorded with each level
privilege = "privileged"    # or "unprivileged"; recorded with each level, too

# Brings nine file sets: misc_files, apps, ssl, certs, playbooks, nginx_keys, vault, app_states, playbook_states.
preset = "phantom"

# Used as $NAME or ${{NAME}} in paths and rules ($$ is a plain dollar sign); `silt ... -D NAME=VALUE` replaces them.
[variables]
PHANTOM_HOME = "/opt/phantom"  # on a tar-file installation the home folder of its account, such as "~phantom"
PHANTOM_ETC = "/etc"
PHANTOM_VAR = "/var"

{_OPTIONS}
{_DATABASE}
# A key given here replaces that of the preset's file set; other names add file sets.
#
# [file-sets.vault]
# paths = ["/mnt/share/vault"]
# skip-changed-within = 300
#
# [file-sets.reports]
# paths = ["$PHANTOM_HOME/reports"]
# exclude = ["*.tmp"]
{_RETENTION}"""

_STARTING_FILES: Mapping[str | None, str] = {None: _PLAIN, "phantom": _PHANTOM}


def starting_file(preset: str | None = None) -> str:
    """A commented deployment file to start from, which parses as it stands. KeyError for an unknown preset."""
    return _STARTING_FILES[preset]
