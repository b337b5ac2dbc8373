"""Clocks that can be set: a library that is built here and preloaded into servers and workers (see clock_shim.c)."""

from __future__ import annotations

import ctypes
import mmap
import shlex
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "drills" / "clock_shim.c"


class NoCompiler(Exception):
    """This machine has nothing to build the library with; ``str`` is a sentence."""


def build(folder: Path) -> Path:
    """Build the library.

    Args:
        folder: Where it goes.

    Raises:
        NoCompiler: There is none, or it cannot build it.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (cc, gcc, clang) is there to build the library that sets clocks with")
    library = folder / "clock_shim.so"
    command = [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"{compiler} cannot build {SOURCE.name}: {done.stderr.strip()[:500]}")
    return library


#: As in the library: version, rate, gained, since, step, port, connects.
_STRUCT = struct.Struct("7q")
_STEP, _PORT, _CONNECTS = 32, 40, 48

_SECOND_NS = 1_000_000_000


class Clock:
    """The clocks of whoever has the library preloaded with this environment.

    Args:
        library: As built.
        file: A file for this clock alone; made here, unless another process has made it.
    """

    def __init__(self, library: Path, file: Path) -> None:
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "CLOCK_SHIM_FILE": str(file)}
        if not file.exists():
            file.write_bytes(_STRUCT.pack(0, 1, 0, 0, 0, 0, 0))
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), _STRUCT.size)

    def step(self, seconds: float) -> None:
        """Set the wall clock so much further from the true time, forward or back."""
        self._write(_STEP, self._read(_STEP) + round(seconds * _SECOND_NS))

    def count(self, port: int) -> None:
        """Count connections to a port from now on."""
        self._write(_CONNECTS, 0)
        self._write(_PORT, port)

    @property
    def connects(self) -> int:
        """How many there were, whatever became of them."""
        return self._read(_CONNECTS)

    def _read(self, at: int) -> int:
        (value,) = struct.unpack_from("q", self._page, at)
        return int(value)

    def _write(self, at: int, value: int) -> None:
        self._page[at : at + 8] = struct.pack("q", value)

    def wrap(self, program: Path, script: Path) -> Path:
        """A script that runs a program by this clock.

        Args:
            program: The program.
            script: Where the script goes.
        """
        pairs = " ".join(shlex.quote(f"{name}={value}") for name, value in self.environment.items())
        script.write_text(f'#!/bin/sh\nexec env {pairs} {shlex.quote(str(program))} "$@"\n')
        script.chmod(0o755)
        return script


def run_clocks(rate: int) -> None:
    """Have all clocks go so fast from now on, each from where it is: those of this process, which has the library
    preloaded, and of all that share its clock."""
    ctypes.CDLL(None).run_clocks(ctypes.c_int64(rate))
