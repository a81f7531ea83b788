"""Commands for servers that cannot reach this Python: run here, for a shell command that waits for the exit code.

Tests that root runs often have their Python in a home folder that is closed to the servers' user. The shell command
writes its request into a pipe and reads the exit code from another; the program itself, its arguments and its folder
are the same as if the server had run it.
"""

import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from .installations import hand_over

_SHELL = """
answer={folder}/answer.$$; mkfifo -m 666 $answer; echo "$answer $PWD {words}" > {folder}/requests;
read code < $answer; rm -f $answer; exit $code
"""


class Relay:
    """Runs `program` with the words of each request, until close()."""

    def __init__(self, folder: Path, program: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder, self._program, self._environment = folder, program, environment
        folder.mkdir()
        folder.chmod(0o777)
        os.mkfifo(folder / "requests")
        (folder / "requests").chmod(0o666)
        self._requests = os.open(folder / "requests", os.O_RDWR)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def command(self, words: str) -> str:
        """The shell command for these words, in parentheses so that its exit code can be looked at."""
        return "(" + _SHELL.format(folder=shlex.quote(str(self._folder)), words=words).replace("\n", " ").strip() + ")"

    def close(self) -> None:
        os.write(self._requests, b"\n")
        self._thread.join()
        os.close(self._requests)

    def _serve(self) -> None:
        with os.fdopen(os.dup(self._requests), "r") as requests:
            while line := requests.readline().strip():
                threading.Thread(target=self._run, args=line.split(), daemon=True).start()

    def _run(self, answer: str, folder: str, *words: str) -> None:
        with (self._folder / "log").open("ab") as log:
            done = subprocess.run(
                [*self._program, *words], cwd=folder, env=self._environment, stdout=log, stderr=log, check=False
            )
        if "fetch" in words and done.returncode == 0:
            hand_over(Path(folder) / words[-1])
        Path(answer).write_text(f"{done.returncode}\n")
