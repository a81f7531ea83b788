"""From words to a deployment: a deployment file with variables, or paths on the command line.

Rule: one of the two, never both; without either, the deployment file of the settings. Only who looks at a file, and
backs nothing up, gets the one in the current folder unasked. What a deployment means, and whether it holds together, is
the engine's word (`silt config check` asks for it).
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .mistake import Mistake
from .settings import Settings

if TYPE_CHECKING:
    from siltstone.engine import Deployment

HERE = "deployment.toml"  # what `silt config` writes and looks at where no file is named


def parse_definitions(definitions: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, as -D takes them. Mistake for anything else; the engine refuses names that are none."""
    found = {}
    for definition in definitions:
        name, equals, value = definition.partition("=")
        if not equals or not name:
            raise Mistake(f"-D {definition}: this is not NAME=VALUE", hint="for example -D PHANTOM_HOME=/home/phantom")
        found[name] = value
    return found


def deployment_from_file(file: str | None, definitions: Sequence[str], settings: Settings) -> "Deployment":
    """The deployment that a file describes, by default that of the settings. ConfigError, Mistake."""
    from siltstone.engine import load_deployment

    path = file or settings.get("deployment")
    if not path:
        here = f"'-c {HERE}' takes the one here" if os.path.lexists(HERE) else "'silt config new' writes one"
        raise Mistake(
            "nothing says what to back up",
            hint=f"give paths, or -c FILE ({here}), or 'deployment' in the settings file",
        )
    return _with_settings(load_deployment(path, parse_definitions(definitions)), settings)


def _with_settings(deployment: "Deployment", settings: Settings) -> "Deployment":
    """The deployment, with what its file leaves to the settings."""
    from .keeping import default_window

    retention = deployment.retention
    if retention is None or retention.window_ns is not None:
        return deployment
    return replace(deployment, retention=replace(retention, window_ns=default_window(settings)))


def deployment_to_look_at(
    file: str | None, definitions: Sequence[str], settings: Settings, how: str = "name FILE"
) -> "Deployment":
    """The deployment that a file describes, by default HERE, else that of the settings. ConfigError; Mistake, whose
    hint says `how` the command is told of one.
    """
    from siltstone.engine import load_deployment

    path = file or (HERE if os.path.lexists(HERE) else settings.get("deployment"))
    if not path:
        raise Mistake(
            f"no deployment file was named, and there is no {HERE} here",
            hint=f"{how}; 'silt config new' writes one",
        )
    return _with_settings(load_deployment(path, parse_definitions(definitions)), settings)


def deployment_of_status(file: str | None, settings: Settings) -> "Deployment | None":
    """The deployment that a file describes, by default that of the settings; None where neither is named."""
    named = file or settings.get("deployment")
    return deployment_from_file(named, (), settings) if named else None


def deployment_from_paths(paths: Sequence[str], name: str | None, exclude: Sequence[str]) -> "Deployment":
    """The deployment of one file set that paths make; the host names it where nobody does."""
    from siltstone.engine import quick_deployment

    return quick_deployment([os.fsencode(path) for path in paths], name or os.uname().nodename, exclude=exclude)
