"""Plain members of tar archives, read by our own reader and by Python's tarfile alone: the same members, or the same
refusal; of archives of every format, and of archives that were damaged.
"""

import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from siltstone.engine import SourceError, tar_members, tar_plain
from siltstone.engine.tar_member import Member
from siltstone.engine.tar_members import Members
from siltstone.engine.tar_plain import plain_member
from siltstone.engine.tar_window import WINDOW, TarWindow

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = ("a", "folder/b", "./c", "/root/d", "n" * 100, "long/" * 30 + "name", "über", "x\udcff", "..", "a//b/", "end ")


def archive(path: Path, form: int, seed: int, headers: dict[str, str] | None = None, largest: int = 5000) -> None:
    chance = random.Random(seed)
    with tarfile.open(path, "w", format=form, encoding="utf-8", errors="surrogateescape", pax_headers=headers) as out:
        for number in range(60):
            info = tarfile.TarInfo(f"{number}/{chance.choice(NAMES)}")
            info.type = chance.choice((tarfile.REGTYPE,) * 4 + (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE))
            info.mode, info.uid, info.gid = chance.randrange(0o10000), chance.randrange(70000), chance.randrange(9)
            info.mtime = chance.choice((0, 1_700_000_000, 1_700_000_000.25))
            if form != tarfile.PAX_FORMAT:
                info.mtime = int(info.mtime)
            info.uname, info.gname = chance.choice(("", "root", "jürgen")), "staff"
            info.linkname = chance.choice(NAMES[:4]) if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            data = chance.randbytes(chance.choice((0, 1, 512, largest))) if info.isreg() else b""
            info.size = len(data)
            if info.type == tarfile.REGTYPE and form == tarfile.PAX_FORMAT and number % 7 == 0:
                info.pax_headers = {"SCHILY.xattr.user.a": "b"}
            if form == tarfile.USTAR_FORMAT and len(os.fsencode(info.name)) > 100:
                info.name = f"{number}/" + "long/" * 25 + "name"
            out.addfile(info, io.BytesIO(data))


def found(path: Path) -> tuple[list[Member], str]:
    """The members up to the first refusal, and which it was."""
    members: list[Member] = []
    with path.open("rb") as file:
        try:
            with TarWindow(file.fileno()) as window:
                for member in Members(path).read(window):
                    members.append(member)  # noqa: PERF402  # those before an error are wanted
        except SourceError as error:
            return members, str(error)
    return members, ""


def found_in_python(path: Path) -> tuple[list[Member], str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar_plain, "usual", lambda _headers: None)
        return found(path)


def found_by_tarfile(path: Path) -> tuple[list[Member], str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar_members, "plain_member", lambda _view, _at: None)
        return found(path)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_members(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.tar"
    archive(path, FORMATS[form], 1, largest=WINDOW // 4)
    members, said = found(path)
    assert (members, said) == found_by_tarfile(path) == found_in_python(path)
    assert len(members) == 60
    with path.open("rb") as file, TarWindow(file.fileno()) as window:
        plain = [member for member in members if plain_member(window.view, member.begin)]
    assert len(plain) > 30


def test_headers_of_the_whole_archive_hold_for_every_member(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    archive(path, tarfile.PAX_FORMAT, 2, {"gname": "everybody"})
    members, _ = found(path)
    assert members == found_by_tarfile(path)[0]
    assert "everybody" in {member.owner[3] for member in members}


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_headers(tmp_path: Path, form: str) -> None:
    """Bytes of headers that became others, and archives that were cut off."""
    path = tmp_path / "a.tar"
    archive(path, FORMATS[form], 3)
    whole, places = path.read_bytes(), [member.begin for member in found(path)[0]]
    chance = random.Random(4)
    for _ in range(60):
        data = bytearray(whole)
        at = chance.choice(places[1:]) + chance.randrange(512)
        data[at] = chance.choice((0, 0x20, 0x38, 0xFF, data[at] ^ 1))
        path.write_bytes(data if chance.random() < 0.8 else data[: at + 1])
        assert found(path) == found_by_tarfile(path) == found_in_python(path)
