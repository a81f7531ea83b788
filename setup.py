"""The one thing that pyproject.toml cannot say: a C extension that did not build is left out.

setuptools lets an optional extension fail, and then, in an editable install, links the file that was never
made (its output mapping names every extension; version 84 still does). Nothing else belongs here.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildWhatCompiles(build_ext):
    """Builds the extensions, then forgets those that did not compile, and what an earlier build left of them."""

    def run(self) -> None:
        for extension in self.extensions:
            self._built(extension.name).unlink(missing_ok=True)
        super().run()
        self.extensions = [extension for extension in self.extensions if self._built(extension.name).exists()]

    def _built(self, name: str) -> Path:
        return Path(self.get_ext_fullpath(name))


setup(cmdclass={"build_ext": BuildWhatCompiles})
