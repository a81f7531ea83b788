"""Where the secret that opens a store comes from.

The first that is there: --key-file; SILT_PASSPHRASE; SILT_PASSPHRASE_COMMAND; SILT_KEY_FILE; `passphrase_command`, then
`key_file` in the settings file; the terminal. A command is split like a shell would and run without one; the first
line of its output is the passphrase.

Rule: a passphrase is never an argument (every user of the machine can read those), is never printed, and is asked for
on the terminal itself, so that a pipe into or out of `silt` does not matter. No terminal and no source is an error
that says which sources there are, never a wait.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from .mistake import Mistake
from .settings import Settings

if TYPE_CHECKING:
    from siltstone.store import KeyCopy, KeyFile, Opener, Passphrase, Secret

FromFile = TypeVar("FromFile")
SOURCES = "set SILT_PASSPHRASE, SILT_PASSPHRASE_COMMAND or SILT_KEY_FILE, or give --key-file"
TRIES = 3


def given_secret(key_file: str | None, environment: Mapping[str, str], settings: Settings) -> "Secret | None":
    """The secret of the first source that is there, or None: then only the terminal is left."""
    return _first(key_file, environment, settings, read_key_file)


def given_opener(key_file: str | None, environment: Mapping[str, str], settings: Settings) -> "Opener | None":
    """As given_secret, of a store that is there: then a file may also be a copy of one of its keys."""
    return _first(key_file, environment, settings, partial(read_opener, environment=environment, settings=settings))


def _first(
    key_file: str | None, environment: Mapping[str, str], settings: Settings, read: "Callable[[str], FromFile]"
) -> "FromFile | Passphrase | None":
    if key_file:
        return read(key_file)
    if passphrase := _from_environment(environment):
        return passphrase
    if path := environment.get("SILT_KEY_FILE"):
        return read(path)
    if command := settings.get("passphrase_command"):
        return run_passphrase_command(command, f"'passphrase_command' in {settings.source}")
    if path := settings.get("key_file"):
        return read(path)
    return None


def given_passphrase(environment: Mapping[str, str], settings: Settings) -> "Passphrase | None":
    """The passphrase of the first source of one, key files left aside, or None."""
    if passphrase := _from_environment(environment):
        return passphrase
    command = settings.get("passphrase_command")
    return run_passphrase_command(command, f"'passphrase_command' in {settings.source}") if command else None


def _from_environment(environment: Mapping[str, str]) -> "Passphrase | None":
    from siltstone.store import Passphrase

    if text := environment.get("SILT_PASSPHRASE"):
        return Passphrase(text)
    command = environment.get("SILT_PASSPHRASE_COMMAND")
    return run_passphrase_command(command, "SILT_PASSPHRASE_COMMAND") if command else None


def read_key_file(path: str) -> "KeyFile":
    """The secret in a key file. NoKey if it cannot be read, WrongKey if it is no key file; both name it."""
    from siltstone.store import WrongKey, parse_key_file

    try:
        return parse_key_file(_text_of(path))
    except WrongKey as error:
        raise WrongKey(f"{path}: {error}", hint=error.hint) from error


def read_opener(path: str, environment: Mapping[str, str], settings: Settings) -> "KeyFile | KeyCopy":
    """A key file, or the copy of a key that 'silt key export' made; its passphrase is looked for, or asked for."""
    from siltstone.store import KeyCopy, WrongKey, parse_key_copy

    try:
        copy = parse_key_copy(_text_of(path))
    except WrongKey as error:
        raise WrongKey(f"{path}: {error}", hint=error.hint) from error
    if copy is None:
        return read_key_file(path)
    payload, key_file = copy
    if key_file is not None:
        return KeyCopy(payload, key_file)
    return KeyCopy(payload, given_passphrase(environment, settings) or ask_passphrase(f"Passphrase of {path}: "))


def _text_of(path: str) -> str:
    from siltstone.store import NoKey

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise NoKey(f"{path}: the key file cannot be read: {error.strerror}", hint=SOURCES) from error


def run_passphrase_command(command: str, source: str) -> "Passphrase":
    """The first line that a command writes. Mistake if it cannot be run, NoKey if it fails or says nothing."""
    import shlex
    import subprocess

    from siltstone.store import NoKey, Passphrase

    try:
        words = shlex.split(command)
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    except (ValueError, IndexError, OSError) as error:
        raise Mistake(f"{source}: the command cannot be run: {error}", hint=f"it is {command!r}") from error
    if done.returncode:
        raise NoKey(f"{source}: the command ended with exit code {done.returncode}", hint=f"it is {command!r}")
    line = done.stdout.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "surrogateescape")
    if not line:
        raise NoKey(f"{source}: the command wrote no passphrase", hint=f"it is {command!r}")
    return Passphrase(line)


def has_terminal() -> bool:
    """Whether there is a terminal to ask on, whatever stdin and stdout are."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ask(prompt: str) -> str:
    """Ask for a line on the terminal, unseen. NoKey without a terminal."""
    from getpass import getpass

    from siltstone.store import NoKey

    if not has_terminal():
        raise NoKey("a passphrase is needed, and there is no terminal to ask for it", hint=SOURCES)
    return getpass(prompt)


def ask_passphrase(prompt: str) -> "Passphrase":
    """Ask for the passphrase of a store."""
    from siltstone.store import Passphrase

    return Passphrase(ask(prompt))


def ask_new_passphrase(asking: Callable[[str], str] = ask) -> "Passphrase":
    """Ask for a new passphrase twice, three times at most until both agree. Mistake if they never do."""
    from siltstone.store import Passphrase

    for _ in range(TRIES):
        first = asking("New passphrase: ")
        if not first:
            raise Mistake("the passphrase is empty", hint="give one, or --key-file, or --no-encryption")
        if asking("Once more: ") == first:
            return Passphrase(first)
    raise Mistake("the passphrases differ", hint="run the command again")
