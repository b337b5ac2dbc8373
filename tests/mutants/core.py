"""``make mutate``: changes the rules about the ledger in every small way, and sees whether their unit tests notice.

python -m tests.mutants.core                                    all of blnk_relay.intents: a long while
python -m tests.mutants.core --package families                 all of blnk_relay.families
python -m tests.mutants.core 'blnk_relay.intents.steps*'        by the names that mutmut gives to its changes
python -m tests.mutants.core --package families 'blnk_relay.families.hold_item*'

What no test notices has to stand in ``survivors``, a file a module, each with a reason why that is well; exit code 1
where one does not, or where one that stands there is noticed by now. Changes of nothing but the words of a sentence are
not looked at: tests that quote every message would hold them, and nobody would be better off.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import click

from tests.mutants.copies import copied, environment
from tests.mutants.mutant import FOLDER, ROOT

SURVIVORS = FOLDER / "survivors"

#: Modules that are changed, by their package in blnk_relay.
MODULES = {
    "intents": (
        "decision", "evidence", "exchange", "found", "horizons", "intent", "kind", "links", "outcomes", "progress",
        "references", "retry", "rows", "steps", "verdict_table", "verdicts",
    ),
    "families": (
        "atomic", "creation", "hold", "hold_batch", "hold_item", "items", "kept", "legs", "movement", "run", "settled",
        "standing", "update",
    ),
}  # fmt: skip

#: The tests that ought to notice, all of them without any I/O, by the names of their modules.
TESTS = {
    "intents": (
        "audit_strays", "evidence*", "family_standing", "horizons", "inflight", "intents_*", "references",
        "refund", "retry", "rows", "steps", "transaction", "verdicts",
    ),
    "families": (
        "audit_strays", "evidence*", "family_*", "findable_kinds", "inflight", "kind_balance_link_identity",
        "kind_bulk", "kind_contract", "kind_creation", "kind_identity_create", "kind_identity_tokenize",
        "kind_identity_update", "kind_inflight_bulk", "kind_matching_rule", "kind_metadata_update",
        "kind_reconciliation_start", "kind_reconciliation_upload", "kind_split", "lookups", "messages", "real_answers",
        "refund", "refusals", "replay", "settlements", "transaction",
    ),
}  # fmt: skip

UNIT = ROOT / "tests" / "unit"

#: A text of several words in the code.
_SENTENCE = re.compile(r"""f?(["'])(?=[^"']* )(?:(?!\1).)*\1""")

#: What mutmut calls those that were noticed, be it by a test that ran for ever.
_KILLED = frozenset({"killed", "timeout"})


@dataclass(frozen=True, slots=True)
class Change:
    """A small change of the code.

    Attributes:
        where: The function, with its module.
        was: The lines that it takes the place of.
        made: The lines that are there instead.
    """

    where: str
    was: str
    made: str

    def __str__(self) -> str:
        lines = [
            *(f"    - {line}" for line in self.was.splitlines()),
            *(f"    + {line}" for line in self.made.splitlines()),
        ]
        return "\n".join([self.where, *lines])


def where_of(name: str) -> str:
    """The function that one of mutmut's names stands for.

    Example:
        >>> where_of("blnk_relay.intents.retry.xǁBackoffǁwait_s__mutmut_17"), where_of("a.b.x_of__mutmut_2")
        ('blnk_relay.intents.retry.Backoff.wait_s', 'a.b.of')
    """
    module, _, mangled = name.partition("__mutmut_")[0].rpartition(".")
    function = mangled.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in mangled else mangled.removeprefix("x_")
    return f"{module}.{function}"


def change_of(name: str, diff: str) -> Change:
    """What a diff of mutmut says."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, made = ("\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(where_of(name), was, made)


def accepted() -> dict[Change, str]:
    """The survivors that are known, with the reason of each."""
    files = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(SURVIVORS.glob("*.toml"))]
    listed = [one for file in files for one in file["survivor"]]
    return {Change(one["where"], one["was"].strip(), one["made"].strip()): one["why"] for one in listed}


def is_of_words(change: Change) -> bool:
    """Whether nothing but the words of a sentence differs."""
    return change.was != change.made and _SENTENCE.sub('""', change.was) == _SENTENCE.sub('""', change.made)


def configuration(package: str) -> str:
    """What mutmut has to know to change a package, as it stands in a project's file."""
    lines = {
        "source_paths": ["blnk_relay"],
        "only_mutate": [f"blnk_relay/{package}/{module}.py" for module in MODULES[package]],
        "also_copy": ["tasks", "worker", "tests"],
        "pytest_add_cli_args_test_selection": [
            f"tests/unit/{path.name}" for name in TESTS[package] for path in sorted(UNIT.glob(f"test_{name}.py"))
        ],
        # What is drawn by lot is drawn alike each time, or what survives would be a matter of luck.
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--hypothesis-seed=1"],
        "use_git_change_detection": False,
    }
    told = (f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    return "\n[tool.mutmut]\n" + "".join(told)


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 16), help="Processes.")
@click.option(
    "--package",
    default="intents",
    show_default=True,
    type=click.Choice(list(MODULES)),
    help="What is changed. The families have over four thousand changes: a quarter of an hour.",
)
@click.option("--keep", type=click.Path(path_type=Path), help="A new folder for the copy, to be looked at afterwards.")
def main(*, names: Sequence[str], jobs: int, package: str, keep: Path | None) -> None:
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="blnk-relay-core-") as folder:
        place = copied(keep or Path(folder) / "tree")
        with (place / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(configuration(package))
        _mutmut(place, "run", "--max-children", str(jobs), *names, shown=True)
        ends = _ends(place, names)
        if not ends:
            raise click.ClickException("nothing was changed: is the name one that mutmut gives?")
        if "not checked" in ends.values():
            raise click.ClickException("mutmut did not come to its end; its words stand above")
        survived = {change_of(name, _mutmut(place, "show", name)) for name, end in ends.items() if end not in _KILLED}
    words = {change for change in survived if is_of_words(change)}
    known = {one: why for one, why in accepted().items() if one.where.startswith(f"blnk_relay.{package}.")}
    new = sorted(survived - words - set(known), key=str)
    ran = {where_of(name) for name in ends}
    # By name only some of a function's changes may have been tried.
    gone = [] if names else sorted((one for one in known if one.where not in ran or one not in survived), key=str)
    for change in new:
        click.echo(f"no test notices this, and survivors does not say why that is well:\n{change}")
    for change in gone:
        click.echo(f"survivors lists this, which a test notices by now, or which is no more; take it out:\n{change}")
    figures = {"words": len(words), "accepted": len(survived & set(known)), "new": len(new)}
    seconds = round(time.monotonic() - start_s)
    click.echo(json.dumps({"mutants": len(ends), **Counter(ends.values()), **figures, "seconds": seconds}))
    sys.exit(1 if new or gone else 0)


def _ends(place: Path, names: Sequence[str]) -> Mapping[str, str]:
    """What became of each change that was to be tried."""
    told = (line.strip().rpartition(": ") for line in _mutmut(place, "results", "--all", "true").splitlines())
    ends = {name: end for name, _, end in told if "__mutmut_" in name}
    return {name: end for name, end in ends.items() if not names or any(fnmatch(name, pattern) for pattern in names)}


def _mutmut(place: Path, *arguments: str, shown: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=place,
        # It puts its own copy, with the changes in it, before all others.
        env={name: value for name, value in environment(place).items() if name != "PYTHONPATH"},
        stdout=sys.stderr if shown else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"mutmut {arguments[0]} failed (exit code {done.returncode}); its words stand above")
    return done.stdout or ""


if __name__ == "__main__":
    main()
