"""What lies in the vault of an appliance: attachments in one of two mixes, named by the hash of what they hold.

    usual   by bytes: 40 % mails, 13 % JSON, 12 % logs, 10 % PDFs, 8 % office files, 7 % images, 5 % network captures,
            5 % archives and samples of malware
    worst   30 % PDFs, 30 % images, 20 % captures, 10 % JSON, 10 % logs; nothing is there twice

Rule: shares are those of sizes, for all kinds have the same. A vault holds no file twice, since it names them by hash
(Splunk SOAR, "Vault automation API"). But mails are kept whole: who reports the same campaign, forwards it or answers
sends the same attachment again, under headers and a text of its own. Of what mails carry, COPIED came before: a large
mail service found that keeping each attachment once saves 36 % of everything, of which attachments are 85 % (A. Sumin,
"Efficient storage: how we went down from 50 PB to 32 PB", 2017). An attachment comes again within the next RECENT.
"""

import base64
import random
from collections import deque
from collections.abc import Callable

from bench.content import ATTACHMENTS, capture, messages, photo, prose, scan_pdf, server_log

USUAL, WORST = "usual", "worst"
COPIED = 0.36 / 0.85
RECENT = 500
_BASE64 = 76 / 57 + 1 / 57  # of a byte, with the line's end

_Content = Callable[[int, random.Random, int], bytes]


class Attachments:
    """Makes the attachments of one vault, each in its turn: mails repeat what earlier ones carried."""

    def __init__(self, mix: str) -> None:
        self._carried: deque[tuple[int, int]] = deque(maxlen=RECENT)  # seed and size
        if mix == WORST:
            self._kinds, self._shares = [content for _, content in ATTACHMENTS], None
        else:
            usual: dict[_Content, int] = {self._mail: 40, messages: 13, server_log: 12, scan_pdf: 10}
            usual |= {_office: 8, photo: 7, capture: 5, _archive: 5}
            self._kinds, self._shares = list(usual), list(usual.values())

    def make(self, number: int, chance: random.Random, size: int) -> bytes:
        """The attachment of this number, of about `size` bytes."""
        (content,) = chance.choices(self._kinds, self._shares)
        return content(number, chance, size)

    def _mail(self, number: int, chance: random.Random, size: int) -> bytes:
        """Headers and a text of its own, then what it carries, in base64: something that does not compress."""
        seed, carried = number, round(size / _BASE64)
        if self._carried and chance.random() < COPIED:
            seed, carried = chance.choice(self._carried)
        else:
            self._carried.append((seed, carried))
        name = f"{chance.getrandbits(64):016x}"
        head = f"Message-ID: <{name}@mail.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n"
        text = prose(chance, chance.randint(1500, 6000))
        part = "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        body = base64.encodebytes(random.Random(seed).randbytes(carried))
        return head.encode() + text + part.encode() + body


def _office(_number: int, chance: random.Random, size: int) -> bytes:
    """Parts that are compressed already."""
    return b"PK\3\4\x14\0\6\0\x08\0" + chance.randbytes(size) + b"PK\5\6" + bytes(18)


def _archive(_number: int, chance: random.Random, size: int) -> bytes:
    """Compressed, many of them encrypted."""
    return b"PK\3\4\x14\0\1\0\x63\0" + chance.randbytes(size) + b"PK\5\6" + bytes(18)
