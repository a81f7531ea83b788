"""What a backup looks at before it begins: are the paths there that it is to read, and is the store somewhere else?

Rule: it warns, and refuses only where nothing at all is there, or a share is not mounted. It looks at paths and at
nothing below them.
"""

import os
from collections.abc import Iterable

from siltstone.store import Store

from .deployment import Deployment, ResolvedSet
from .errors import SourceError
from .events import Noted, Report, Warned, show_path
from .mounts import mount_fault
from .scan import same_device


def check_sources(store: Store, sets: Iterable[ResolvedSet], deployment: Deployment, report: Report) -> None:
    """Tell of paths that are not there, or not what they seem to be. Raises SourceError when nothing
    is there, or a share is not mounted.
    """
    for each in sets:
        if each.file_set.share is not None and (fault := mount_fault(each.file_set.share)):
            raise SourceError(f"file set {each.file_set.name}: {fault}", hint="mount the share; nothing was backed up")
    spoken = deployment.source is None  # paths that were named for this very backup
    roots = [root for each in sets for root in each.roots.found]
    for each in sets:
        for path in (*each.roots.missing, *each.roots.unmatched):
            said = f"file set '{each.file_set.name}' names it and it is not there"
            # Products have optional files; a set of which nothing is there at all may be a share that is not mounted.
            optional = each.roots.found and not spoken
            report(Noted(f"{show_path(path)}: {said}") if optional else Warned("missing", show_path(path), said))
    if not roots and deployment.database is None and deployment.tables is None:
        raise SourceError(
            "none of the paths to back up exists", hint="'silt config show' says what each file set names"
        )
    for root in roots:
        _check_links(root, report)
    if same_device(store.backend.location, roots):
        report(Noted("the store is on the same device as data that it backs up: both would be lost together"))


def _check_links(root: bytes, report: Report) -> None:
    """A link that was named is backed up as a link. Whoever meant what it leads to must hear of that now."""
    if os.path.islink(root) and os.path.isdir(root):
        said = "it is a symlink, and only the link is backed up: name the folder that it leads to as well"
        report(Warned("symlink", show_path(root), said))
    parent = os.path.dirname(root)
    if (real := os.path.realpath(parent)) != parent:
        name = os.path.join(real, os.path.basename(root))
        said = (
            f"{show_path(root)} lies behind a symlink; a restore in place refuses to follow it: name {show_path(name)}"
        )
        report(Noted(said))
