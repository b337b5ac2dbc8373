"""The names an application imports: all there, all typed, all with examples that are true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import blnk_relay
from blnk_relay import errors
from blnk_relay.intents import dead_class, outcomes, states
from blnk_relay.journal import actions, jobs, status
from blnk_relay.journal.async_journal import AsyncJournal
from blnk_relay.journal.events import AsyncEvents, Events
from blnk_relay.journal.journal import Journal

MODULES = sorted(
    {"blnk_relay", *(module.name for module in pkgutil.walk_packages(blnk_relay.__path__, prefix="blnk_relay."))}
    # Alembic runs it, and nobody else can.
    - {"blnk_relay.history.migrations.env"}
)

#: Types of words, which are no classes: a comment above each says what they are.
WORDS = [name for name in blnk_relay.__all__ if typing.get_origin(getattr(blnk_relay, name)) is typing.Literal]

PUBLIC = [name for name in blnk_relay.__all__ if name not in ("__version__", *WORDS)]


def callables():
    for name in PUBLIC:
        thing = getattr(blnk_relay, name)
        if not inspect.isclass(thing):
            yield name, thing
            continue
        if "__init__" in vars(thing):
            yield name, thing.__init__
        for method_name, method in inspect.getmembers(thing, inspect.isroutine):
            if not method_name.startswith("_") and (getattr(method, "__module__", "") or "").startswith("blnk_relay"):
                yield f"{name}.{method_name}", method


@pytest.mark.parametrize("name", blnk_relay.__all__)
def test_every_public_name_exists(name):
    assert getattr(blnk_relay, name) is not None


def test_no_public_name_stands_twice_and_none_is_forgotten():
    assert len(set(blnk_relay.__all__)) == len(blnk_relay.__all__)
    own = {
        name
        for name, thing in vars(blnk_relay).items()
        if not name.startswith("_") and getattr(thing, "__module__", "").startswith("blnk_relay")
    }
    assert own <= set(blnk_relay.__all__)


def test_every_error_is_public_and_has_the_one_base():
    own = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if thing.__module__ == errors.__name__]
    assert {error.__name__ for error in own} <= set(blnk_relay.__all__)
    assert all(issubclass(error, blnk_relay.RelayError) for error in own)
    assert issubclass(blnk_relay.StillOpen, TimeoutError)


@pytest.mark.parametrize(
    ("name", "thing"), list(callables()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_public_function_is_typed(name, thing):
    signature = inspect.signature(thing)
    # What a method imports when it is called may stand in its types only if it is public.
    names = {public: getattr(blnk_relay, public) for public in blnk_relay.__all__}
    hints = typing.get_type_hints(thing, names | vars(sys.modules[thing.__module__]))
    for parameter in signature.parameters.values():
        assert parameter.name in ("self", "cls") or parameter.name in hints, f"{name}: {parameter.name} has no type"
    assert "return" in hints


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    assert inspect.getdoc(getattr(blnk_relay, name))


def test_every_type_of_words_is_documented():
    sources = "\n".join(
        Path(module.__file__ or "").read_text("utf-8")
        for module in (dead_class, outcomes, states, status, actions, jobs)
    )
    assert {name for name in WORDS if f"\n{name} = Literal[" in sources} == set(WORDS)
    assert [name for name in WORDS if not re.search(rf"\n#: [^\n]+\n{name} = ", sources)] == []


def test_the_package_says_that_it_is_typed():
    assert (Path(blnk_relay.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_documentation_are_true(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_there_are_examples():
    examples = [
        example
        for name in MODULES
        for test in doctest.DocTestFinder().find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(examples) > 10


def test_a_producer_needs_nothing_of_a_worker():
    code = (
        "import sys, blnk_relay; "
        "print([name for name in ('requests', 'sentry_sdk', 'click', 'rich', 'aiohttp', 'tasks', "
        "'worker', 'blnk_relay.sandbox') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def surface(thing: type) -> dict[str, list[tuple[str, object]]]:
    """The public methods of a class, with their parameters."""
    return {
        name: [(one.name, one.default) for one in inspect.signature(method).parameters.values()]
        for name, method in inspect.getmembers(thing, inspect.isroutine)
        if not name.startswith("_")
    }


def test_the_async_relay_has_the_same_surface():
    assert surface(blnk_relay.AsyncRelay) == surface(blnk_relay.Relay)


@pytest.mark.parametrize(("its", "whose"), [(AsyncJournal, Journal), (AsyncEvents, Events)])
def test_what_an_event_loop_has_of_the_journal_is_called_as_elsewhere(its, whose):
    assert surface(its).items() <= surface(whose).items()
