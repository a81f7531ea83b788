"""The demonstration: real trees are backed up, changed, backed up again, restored, proved equal, and damage is named.

Rule: it drives the `silt` command as a user would, and judges by `picture`, which shares no code with it. The first
thing that is not as promised ends it with exit code 1. It works in a new folder and removes it, unless told to keep it.
It measures nothing to be compared with other tools: `./dev bench` does.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import zstandard

from bench.demo_trees import LEFT_OUT, change_trees, make_trees
from bench.picture import Picture, differences, take_picture

PASSPHRASE = "the passphrase of the demonstration"
DEPLOYMENT = """\
name = "demo"

[file-sets.library]
paths = ["{folder}/library"]

[file-sets.attachments]
paths = ["{folder}/attachments"]
exclude = ["*{left_out}"]
"""


class NotAsPromisedError(Exception):
    """What the demonstration found to be other than promised, in one sentence."""


class Demonstration:
    """One run in one folder. Each method is a chapter and prints what it does."""

    def __init__(self, folder: Path, *, tiny: bool) -> None:
        self.folder = folder
        self.tiny = tiny
        self.chapters = 0
        self.pictures: dict[str, dict[str, Picture]] = {}
        self.sizes: dict[str, tuple[int, int, int]] = {}  # of each level: tar, tar | zstd -1, the store up to here

    def run(self) -> None:
        """All chapters in order."""
        self.make()
        self.back_up("0/0", "full")
        self.change()
        self.back_up("0/1", "incr")
        self.look()
        for level in self.pictures:
            self.restore(level)
        self.verify()
        self.damage()
        self.account()

    def make(self) -> None:
        self.title("Real trees, and a store")
        for line in make_trees(self.folder, tiny=self.tiny):
            print(f"(this machine does not let us make {line})")
        text = DEPLOYMENT.format(folder=self.folder, left_out=LEFT_OUT)
        (self.folder / "deployment.toml").write_text(text)
        print(f"\ndeployment.toml:\n\n{text}")
        self.silt("init", "store")

    def back_up(self, level: str, kind: str) -> None:
        self.title(f"Backup {level}: {kind}")
        self.pictures[level] = self.take_pictures(self.folder)
        self.silt("backup", "-c", "deployment.toml", "--type", kind)
        plain, packed = archive_sizes(self.folder, ["library", "attachments"])
        self.sizes[level] = plain, packed, stored_size(self.folder / "store")

    def change(self) -> None:
        self.title("A day's work in the trees")
        before = self.pictures["0/0"]
        change_trees(self.folder)
        for name, picture in self.take_pictures(self.folder).items():
            changed = {path for path in picture.keys() & before[name].keys() if picture[path] != before[name][path]}
            added, deleted = picture.keys() - before[name].keys(), before[name].keys() - picture.keys()
            print(f"{name}: {len(changed)} entries changed, {len(added)} added, {len(deleted)} deleted")

    def look(self) -> None:
        self.title("What is in the store")
        self.silt("list")
        self.silt("ls", "0/1", f"{self.folder}/attachments")
        self.silt("find", "*.bin")

    def restore(self, level: str) -> None:
        """Into a folder, where everything lies under its original path; then the judge compares."""
        self.title(f"Restore {level}, and prove that it is equal")
        target = self.folder / f"out-{level.replace('/', '-')}"
        self.silt("restore", level, "--to", target.name)
        restored = self.take_pictures(target / self.folder.relative_to("/"))
        for name, picture in self.pictures[level].items():
            found = differences(picture, restored[name])
            self.expect(not found, f"{level}, {name}: {len(found)} differences:\n  " + "\n  ".join(found[:20]))
            print(f"{name}: {len(picture)} entries, all equal: {', '.join(COMPARED)}")
        image = target / self.folder.relative_to("/") / "attachments" / "disk.img"
        taken, length = image.stat().st_blocks * 512, image.stat().st_size
        self.expect(taken < length // 4, f"{image}: holes were filled, it takes {shown_size(taken)}")
        print(f"disk.img: {shown_size(length)} long, and takes {shown_size(taken)}: its holes are holes")

    def verify(self) -> None:
        self.title("Verify everything")
        self.silt("verify", "--read-data", "all")

    def damage(self) -> None:
        """One flipped bit in a copy of the store: verify names it, and the rest is still restored."""
        self.title("Flip one bit in a copy of the store")
        shutil.copytree(self.folder / "store", self.folder / "damaged", symlinks=True)
        pack = max(
            (self.folder / "damaged" / "packs").rglob("*"), key=lambda path: path.stat().st_size * path.is_file()
        )
        place = flip_a_bit(pack)
        print(f"bit 0 of byte {place} of pack {pack.name} is flipped\n")
        said = self.silt("--store", "damaged", "verify", "--read-data", "all", code=4, captured=True)
        self.expect(pack.name in said, f"verify did not name pack {pack.name}")
        print("verify named it. What is not concerned still comes back:")
        self.silt("--store", "damaged", "restore", "0/1", "--to", "out-damaged", code=None, captured=True)
        restored = self.take_pictures(self.folder / "out-damaged" / self.folder.relative_to("/"))
        self.judge_the_rest(restored)

    def judge_the_rest(self, restored: dict[str, Picture]) -> None:
        """Of the damaged store: what came back is whole, and what did not come back is not there under its name."""
        for name, picture in self.pictures["0/1"].items():
            back = picture.keys() & restored[name].keys()
            wrong = [path for path in back if picture[path].content != restored[name][path].content]
            self.expect(not wrong, f"{name}: {len(wrong)} files came back with other contents: {wrong[:5]}")
            print(f"{name}: {len(back)} of {len(picture)} entries came back, every one of them whole")

    def account(self) -> None:
        self.title("What was saved")
        rows: list[tuple[str, ...]] = [("", "tar", "tar | zstd -1", "the store")]
        for level, sizes in self.sizes.items():
            rows.append((f"after {level}", *map(shown_size, sizes)))
        kept = [sum(column) for column in zip(*self.sizes.values(), strict=True)]
        store = self.sizes["0/1"][2]
        rows.append(("to keep both", shown_size(kept[0]), shown_size(kept[1]), shown_size(store)))
        for row in rows:
            print("".join(f"{cell:>16}" for cell in row))
        print(f"\nThe store holds both levels in {store / kept[1]:.0%} of two compressed archives, encrypted.")

    # --- what the chapters are written with

    def title(self, text: str) -> None:
        self.chapters += 1
        print(f"\n=== {self.chapters}. {text}\n")

    def silt(self, *words: str, code: int | None = 0, captured: bool = False) -> str:
        """Run `silt`, see that it ends with this exit code (None: any), and return what it said if captured."""
        print(f"$ silt {shlex.join(words)}", flush=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SILT_")}
        environment |= {"SILT_PASSPHRASE": PASSPHRASE, "SILT_STORE": "store", "XDG_CONFIG_HOME": str(self.folder)}
        begun = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).with_name("silt"), *words],
            check=False,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if captured else None,
            stderr=subprocess.STDOUT if captured else None,
            text=True,
        )
        if captured:
            print(done.stdout, end="")
        print(f"(exit code {done.returncode}, {time.monotonic() - begun:.1f} s)\n", flush=True)
        self.expect(code is None or done.returncode == code, f"'silt {words[0]}' should have ended with {code}")
        return done.stdout or ""

    def take_pictures(self, folder: Path) -> dict[str, Picture]:
        def left_out(name: bytes) -> bool:
            return name.endswith(LEFT_OUT.encode())

        return {
            name: take_picture(
                os.fsencode(folder / name), left_out=left_out if folder == self.folder else lambda _: False
            )
            for name in ("library", "attachments")
        }

    def expect(self, true: bool, otherwise: str) -> None:
        if not true:
            raise NotAsPromisedError(otherwise)


COMPARED = ("contents", "modes", "owners", "mtimes to the ns", "links", "devices", "xattrs")


def flip_a_bit(path: Path) -> int:
    """Flip the lowest bit of the middle byte, and say which byte that was."""
    place = path.stat().st_size // 2
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    return place


def stored_size(store: Path) -> int:
    """The bytes of all objects of a store."""
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def archive_sizes(folder: Path, names: list[str]) -> tuple[int, int]:
    """How long `tar` makes these trees (holes and hard links kept as such), plain and after `zstd -1`."""
    command = ["tar", "--create", "--sparse", "--xattrs", f"--exclude=*{LEFT_OUT}", "--directory", str(folder), *names]
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    plain = packed = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout is not None
        while piece := tar.stdout.read(1 << 20):
            plain += len(piece)
            packed += len(compressor.compress(piece))
    return plain, packed + len(compressor.flush())


def shown_size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration. 0 if everything was as promised, else 1."""
    parser = argparse.ArgumentParser(prog="./dev demo", description="Back up, change, restore and prove equality.")
    parser.add_argument(
        "folder", nargs="?", type=Path, help="where to work: must not exist (default: a temporary folder)"
    )
    parser.add_argument("--keep", action="store_true", help="do not remove the folder at the end")
    parser.add_argument("--tiny", action="store_true", help="a few megabytes instead of some hundred")
    given = parser.parse_args(arguments)
    folder = given.folder.absolute() if given.folder else Path(tempfile.mkdtemp(prefix="silt-demo-"))
    folder = folder.resolve()
    folder.mkdir(exist_ok=given.folder is None, parents=True)
    try:
        Demonstration(folder, tiny=given.tiny).run()
    except NotAsPromisedError as error:
        print(f"\nNOT AS PROMISED: {error}", file=sys.stderr)
        return 1
    finally:
        if given.keep:
            print(f"\nkept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("\nEverything came back.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
