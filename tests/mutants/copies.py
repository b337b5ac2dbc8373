"""Copies of the tree, so that no bug is ever put into the one that is worked on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutants.mutant import ROOT, BadPatch, Mutant

#: What a worker of the copy is told of where it lives, so that it is no other tree's.
_PROOF = "import blnk_relay, tasks, worker; print(blnk_relay.__file__, tasks.__file__, worker.__file__)"


def copied(folder: Path) -> Path:
    """A copy of all that git knows or would add, with what stands in it now.

    Raises:
        RuntimeError: What runs in the copy would not be of the copy.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    found = subprocess.run(
        [sys.executable, "-c", _PROOF], cwd=folder, env=environment(folder), check=True, capture_output=True, text=True
    ).stdout.split()
    if not all(Path(file).is_relative_to(folder) for file in found):
        raise RuntimeError(f"what runs in the copy at {folder} is not of the copy: {' '.join(found)}")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """For what runs in a copy; it has nothing of ours but the way to find it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("BLNK_RELAY_", "PYTEST_"))}
    return {**ours, "PYTHONPATH": str(folder)}


def changed(base: Path, folder: Path, mutant: Mutant) -> Path:
    """A copy of a copy with one bug in it.

    Raises:
        BadPatch: The patch does not apply to what the code is by now.
    """
    shutil.copytree(base, folder)
    apply(folder, mutant)
    return folder


def apply(folder: Path, mutant: Mutant, *, check: bool = False) -> None:
    """Put a bug into a copy, or only see whether it could be.

    Raises:
        BadPatch: The patch does not apply to what the code is by now.
    """
    command = ["git", "apply", *(["--check"] if check else []), "--whitespace=nowarn", str(mutant.path)]
    # Outside of any repository git takes the folder for the tree.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadPatch(
            f"{mutant.path.name} no longer applies ({done.stderr.strip().splitlines()[0]}). If the code only moved, "
            "make the same bug in it by hand and take it up anew: git diff below the head of the patch. If the bug "
            "cannot be made any more, delete the patch, and say why in the commit."
        )
