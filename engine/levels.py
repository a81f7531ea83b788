"""Groups and levels: what a store holds of each deployment, and what the root of each level says.

A level lives under `backups/<deployment>/<group>/<level>`; until every host has sent its part, each part is a root of
its own under `parts/` (see parts.py). A full backup opens the next group at level 0; incremental
and differential ones add a level. Every level restores by itself; `parent` is only what it was compared with. Rule:
choosing a level is pure; `Level` is what a root says. A number is given once: that of a level which was forgotten is
not used again, so that 0/3 means one level for ever.
"""

from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from siltstone.store import ChunkId, Corrupt, NewerFormat, NoKey, ObjectMissing, Store, asked_of

from .database_info import DatabaseInfo, database_from_root, database_to_root
from .hosts import Part
from .origin import Origin, origin_from_root, origin_to_root

ROOT_FORMAT = 1
LEVELS = "backups/"
PARTS = "parts/"
ABSENT = "absent/"  # below it, a note of each level that was forgotten; see forgotten.py
CONFIG_SUFFIX = ".config"  # behind a deployment's name: the deployment of its configuration-only backups
Kind = Literal["full", "incr", "diff"]

# Warnings kept in the root; the rest is counted.
KEPT_WARNINGS = 1000

# In the stats of a level: the newest condemnation that its session had read.
GENERATION = "generation"


class SetInfo(Struct, frozen=True):
    """One file set of a level: `roots` are the paths that were walked; `index` leads to the manifest. `host`: whose it
    is, in a deployment that names its hosts; several hosts may each have one of the same name.
    """

    name: str
    roots: tuple[bytes, ...]
    index: tuple[tuple[ChunkId, int], ...]
    entries: int
    files: int
    bytes: int
    host: str = ""


Names = dict[int, str]


class LevelRef(Struct, frozen=True, order=True):
    """The name of a level, which needs no key to be read."""

    deployment: str
    group: int
    level: int

    @property
    def name(self) -> str:
        """The root's object name."""
        return self.below(LEVELS)

    def below(self, folder: str) -> str:
        """The name of the object that another folder has for this level."""
        return f"{folder}{self.deployment}/{self.group}/{self.level}"

    @property
    def tar_name(self) -> str:
        """The name under which the level is listed and exported."""
        return f"{self.deployment}_backup_group_{self.group}_level_{self.level}.tar"

    def __str__(self) -> str:
        return f"{self.group}/{self.level}"


class Level(Struct, frozen=True):
    """A committed level. Times in nanoseconds since 1970. `stats` counts what was seen, read and stored."""

    ref: LevelRef
    kind: Kind
    parent: int | None
    started_ns: int
    finished_ns: int
    host: str
    product_version: str
    privilege: str
    sets: tuple[SetInfo, ...]
    stats: dict[str, int]
    warnings: tuple[tuple[str, str, str], ...]
    owners: Names
    groups: Names
    database: DatabaseInfo | None = None
    archive: SetInfo | None = None  # the tar archive from which it was imported: one entry, its content
    origin: Origin | None = None  # of a level that was backed up
    names_on: dict[str, tuple[Names, Names]] = field(default_factory=dict)  # host -> its owners and groups, of several
    part: Part | None = None  # of a part of a level, which is no level yet
    expected: tuple[Part, ...] = ()  # all parts that the level is to have
    damage: str = ""  # why the root could not be read; everything else is empty then
    sealed: bool = False  # the key that opened the store does not open the root; everything else is empty then

    @property
    def deployment(self) -> str:
        return self.ref.deployment

    @property
    def group(self) -> int:
        return self.ref.group

    @property
    def level(self) -> int:
        return self.ref.level

    @property
    def all_sets(self) -> tuple[SetInfo, ...]:
        """Whatever references chunks: the file sets, and the archive from which the level was imported."""
        return (*self.sets, self.archive) if self.archive else self.sets

    @property
    def name(self) -> str:
        return part_object(self.ref, self.part) if self.part else self.ref.name

    @property
    def tar_name(self) -> str:
        return self.ref.tar_name

    def names_of(self, host: str | None) -> tuple[Names, Names]:
        """The owners and groups by number, as that host calls them."""
        return self.names_on.get(host or "", (self.owners, self.groups))


def part_object(ref: LevelRef, part: Part) -> str:
    """The name of the root of a part."""
    return f"{ref.below(PARTS)}/{part.host}/{part.set_name}"


def level_refs(store: Store, folder: str = LEVELS) -> list[LevelRef]:
    """Every level of the store by name, sorted; or those that another folder names alike. Objects under other names are
    none of ours.
    """
    refs = []
    for name in store.root_names(folder):
        parts = name.split("/")
        if len(parts) == 4 and parts[2].isdecimal() and parts[3].isdecimal():
            refs.append(LevelRef(parts[1], int(parts[2]), int(parts[3])))
    return sorted(refs)


def list_levels(store: Store, deployment: str | None = None) -> list[Level]:
    """Every level (of a deployment), sorted. One whose root is damaged is there with `damage` saying how; one that the
    key does not open is there by its name alone; one that is forgotten meanwhile is not.
    """

    def read(ref: LevelRef) -> Level | None:
        try:
            return read_level_or_damage(store, ref, ref.name)
        except ObjectMissing:
            return None

    refs = [ref for ref in level_refs(store) if deployment in (None, ref.deployment)]
    return [level for level in asked_of(store.backend, read, refs) if level is not None]


def read_level_or_damage(store: Store, ref: LevelRef, name: str) -> Level:
    """What the root under that name says of a level; or how it is damaged, or that it is sealed. ObjectMissing."""
    try:
        return read_level(store, ref, name)
    except (Corrupt, NewerFormat) as error:
        return _unread(ref, damage=str(error))
    except NoKey:
        return _unread(ref, sealed=True)


def _unread(ref: LevelRef, *, damage: str = "", sealed: bool = False) -> Level:
    return Level(ref, "full", None, 0, 0, "", "", "", (), {}, (), {}, {}, damage=damage, sealed=sealed)


def read_level(store: Store, ref: LevelRef, name: str = "") -> Level:
    """What a root says, which may lie under another name by now. Raises ObjectMissing, Corrupt, NewerFormat, NoKey."""
    name = name or ref.name
    return level_from_root(ref, name, store.read_root(name, written_as=ref.name))


def level_from_root(ref: LevelRef, name: str, root: dict[str, Any]) -> Level:
    """The level, or the part of one, that a root under that name says. Raises Corrupt, NewerFormat."""
    if root.get("format", 0) > ROOT_FORMAT:
        raise NewerFormat(f"{name}: a level of format {root['format']}", hint="upgrade silt on this host")
    try:
        return from_root(ref, root)
    except (KeyError, TypeError, ValueError):
        raise Corrupt(name, "the root lacks what a level needs") from None


def from_root(ref: LevelRef, root: dict[str, Any]) -> Level:
    """The level that a root tells of. Raises KeyError, TypeError, ValueError where it lacks what a level needs."""
    sets = tuple(map(_set_from_root, root["sets"]))
    archive = _set_from_root(root["archive"]) if "archive" in root else None
    plain = {key: root[key] for key in _PLAIN}
    warnings = tuple((w[0], w[1], w[2]) for w in root["warnings"])
    database = database_from_root(root["postgres"]) if "postgres" in root else None
    origin = origin_from_root(root["origin"]) if "origin" in root else None
    names_on = {host: (owners, groups) for host, (owners, groups) in root.get("names_on", {}).items()}
    part = Part(*root["part"]) if "part" in root else None
    return Level(
        ref, sets=sets, warnings=warnings, database=database, archive=archive, origin=origin, names_on=names_on,
        part=part, expected=tuple(Part(*each) for each in root.get("expected", ())), **plain,
    )  # fmt: skip


def _set_from_root(row: dict[str, Any]) -> SetInfo:
    index = tuple((ChunkId(chunk), size) for chunk, size in row["index"])
    host = row.get("host", "")
    return SetInfo(row["name"], tuple(row["roots"]), index, row["entries"], row["files"], row["bytes"], host)


def _set_to_root(files: SetInfo) -> dict[str, Any]:
    index = [list(item) for item in files.index]
    row = {**asdict(files), "roots": list(files.roots), "index": index}
    if not files.host:
        del row["host"]
    return row


_PLAIN = (
    "kind", "parent", "started_ns", "finished_ns", "host", "product_version", "privilege", "stats", "owners", "groups",
)  # fmt: skip


def to_root(level: Level) -> dict[str, Any]:
    """The content of a level's root."""
    plain = {key: getattr(level, key) for key in _PLAIN}
    sets, warnings = list(map(_set_to_root, level.sets)), [list(warning) for warning in level.warnings]
    root = {"format": ROOT_FORMAT, "sets": sets, "warnings": warnings, **plain}
    if level.archive is not None:
        root["archive"] = _set_to_root(level.archive)
    if level.database is not None:
        root["postgres"] = database_to_root(level.database)
    if level.origin is not None:
        root["origin"] = origin_to_root(level.origin)
    if level.names_on:
        root["names_on"] = {host: list(names) for host, names in level.names_on.items()}
    if level.part is not None:
        root["part"] = list(level.part)
        root["expected"] = [list(part) for part in level.expected]
    return root
