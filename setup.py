"""What pyproject.toml cannot say: a C extension that did not build is left out, and `silt-wal` is a program in C.

setuptools lets an optional extension fail, and then, in an editable install, links the file that was never
made (its output mapping names every extension; version 84 still does). And it knows no program that is compiled: here
one takes the place of a script, which does the same where there is no compiler. Nothing else belongs here.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.install_scripts import install_scripts
from setuptools.errors import CompileError, LinkError


class BuildWhatCompiles(build_ext):
    """Builds the extensions, then forgets those that did not compile, and what an earlier build left of them."""

    def run(self) -> None:
        for extension in self.extensions:
            self._built(extension.name).unlink(missing_ok=True)
        super().run()
        self.extensions = [extension for extension in self.extensions if self._built(extension.name).exists()]

    def get_source_files(self) -> list[str]:
        """What belongs into a source distribution."""
        return [*super().get_source_files(), "cli/silt_wal.c", "engine/_files.h"]

    def _built(self, name: str) -> Path:
        return Path(self.get_ext_fullpath(name))


class InstallProgram(install_scripts):
    """Copies the script, and puts the program over it if it compiles."""

    def run(self) -> None:
        super().run()
        built = self.get_finalized_command("build_ext")
        assert isinstance(built, BuildWhatCompiles)
        compiler, folder = built.compiler, built.build_temp
        try:
            objects = compiler.compile(["cli/silt_wal.c"], output_dir=folder, extra_postargs=["-O2"])
            compiler.link_executable(objects, "silt-wal", output_dir=folder)
        except (CompileError, LinkError) as error:
            self.warn(f"silt-wal will start a Python each time: {error}")
        else:
            self.copy_file(f"{folder}/silt-wal", f"{self.install_dir}/silt-wal")


setup(cmdclass={"build_ext": BuildWhatCompiles, "install_scripts": InstallProgram}, scripts=["cli/silt-wal"])
