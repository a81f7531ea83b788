"""The files of a phantom deployment, made from seeds: nine file sets of about the shapes they have, and their days.

    vault                  attachments (attachments.py), named by the hash of their bytes    60,000 files, 15 GiB
    apps                   Python and JSON of apps, several versions of each                120,000 files
    scm (playbooks)        Python and JSON                                                   40,000 files
    app_states             JSON that is rewritten as apps go on                              35,000 files
    tmp (playbook_states)  JSON and text                                                     45,000 files
    misc_files, ssl, certs, nginx_keys                                                       a few files each

Rule: those are the numbers at scale 1: 300,000 files in 20 GiB. The same scale gives the same bytes, day after day.
Folders have some 20 files each; those of the vault, named by four digits of a hash, one or two. A day changes a share
of the files: of these three in five are edited or rewritten, one is removed, one is new; the vault only gains and loses
files, as it is addressed by content.
"""

import hashlib
import random
from pathlib import Path
from typing import NamedTuple

from bench.attachments import USUAL, Attachments
from bench.content import MIB, prose

FILES = 300_000
LARGEST = 64 * MIB
_PRESET = Path("opt/phantom"), Path("etc"), Path("var")


class _Shape(NamedTuple):
    folder: str
    share: float  # of all files
    typical: int  # size in bytes; the median
    suffixes: tuple[str, ...]


VAULT = _Shape("vault", 0.2, 110_000, ())
_TEXTS = (
    _Shape("apps", 0.4, 9_000, ("py", "json", "html", "pyc")),
    _Shape("scm", 0.133, 9_000, ("py", "json")),
    _Shape("local_data/app_states", 0.117, 16_000, ("json",)),
    _Shape("tmp", 0.15, 12_000, ("json", "txt")),
)
# The preset names these paths one by one.
_SINGLE = (
    "opt/phantom/keystore/private_key.pem",
    "opt/phantom/www/phantom_ui/secret_key.py",
    "opt/phantom/www/phantom_ui/secret_key.pyc",
    "opt/phantom/www/phantom_ui/auth_backends/saml2_xml/metadata.xml",
    "opt/phantom/etc/cacerts.pem",
    "opt/phantom/etc/enable",
    "opt/phantom/etc/ssl/server.crt",
    "opt/phantom/etc/certs/https.crt",
    "opt/phantom/splunk/etc/apps/splunk_httpinput/local/inputs.conf",
    "etc/nginx/conf.d/default.conf",
    "var/cache/nginx/.ssh/id_ed25519",
)


class Appliance:
    """A deployment's files below a folder: PHANTOM_HOME is opt/phantom in it, and etc and var lie beside that."""

    def __init__(self, top: Path, *, attachments: str = USUAL) -> None:
        self.top = top
        self._attachments = Attachments(attachments)
        self.home, self.etc, self.var = (top / path for path in _PRESET)
        self._files: dict[str, list[Path]] = {shape.folder: [] for shape in (*_TEXTS, VAULT)}
        self._made = 0

    @property
    def files(self) -> int:
        """How many files there are, but for the single ones."""
        return sum(map(len, self._files.values()))

    def make(self, scale: float) -> None:
        """Write all of it."""
        chance = random.Random(11)
        for path in _SINGLE:
            (self.top / path).parent.mkdir(parents=True, exist_ok=True)
            (self.top / path).write_bytes(prose(chance, 3000))
        for shape in (*_TEXTS, VAULT):
            for _ in range(max(3, round(FILES * scale * shape.share))):
                self._add(shape, chance)

    def pass_day(self, number: int, share: float) -> None:
        """Change this share of the files, in each file set; at least one."""
        chance = random.Random(1000 + number)
        for shape in (*_TEXTS, VAULT):
            files = self._files[shape.folder]
            for turn in range(max(1, round(len(files) * share))):
                if turn % 5 < 3 and shape is not VAULT:
                    _edit(files[chance.randrange(len(files))], chance)
                elif turn % 2:
                    files.pop(chance.randrange(len(files))).unlink()
                else:
                    self._add(shape, chance)

    def _add(self, shape: _Shape, chance: random.Random) -> None:
        self._made += 1
        size = int(min(LARGEST, max(200, chance.lognormvariate(0, 1.2) * shape.typical)))
        if shape is VAULT:
            data = self._attachments.make(self._made, chance, size)
            name = _hashed(data)
        else:
            name, data = _text(shape, self._made, size, chance)
        path = self.home / shape.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._files[shape.folder].append(path)


def _hashed(data: bytes) -> str:
    name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    return f"{name[:2]}/{name[2:4]}/{name}"


def _text(shape: _Shape, number: int, size: int, chance: random.Random) -> tuple[str, bytes]:
    suffix = shape.suffixes[number % len(shape.suffixes)]
    data = chance.randbytes(size // 2) + prose(chance, size // 2) if suffix == "pyc" else prose(chance, size)
    return f"{number // 200:05d}/{number // 20 % 10}/{number:07d}.{suffix}", data


def _edit(path: Path, chance: random.Random) -> None:
    """Other bytes in the middle of a file, and some at its end."""
    data = path.read_bytes()
    at = len(data) // 2
    path.write_bytes(data[:at] + prose(chance, 200) + data[at + 150 :] + prose(chance, 50))
