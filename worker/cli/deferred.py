"""Commands that are imported when they are run, so that each pays for itself alone."""

from __future__ import annotations

import importlib

import click

from worker.cli import exits
from worker.cli.starting import uncollected


class Deferred(click.Command):
    """A command that stands in the help, and whose module is imported when it is run.

    Args:
        name: Name of the command.
        module: Module to import.
        attribute: Name of the command in that module.
        summary: Its line in the help.
        extra: What installs all that the module needs; empty where it needs nothing more than any command.
    """

    def __init__(self, name: str, module: str, attribute: str, summary: str, extra: str = "") -> None:
        super().__init__(name, short_help=summary)
        self._module = module
        self._attribute = attribute
        self._extra = extra

    def load(self) -> click.Command:
        """The command itself.

        Raises:
            click.ClickException: It, or something that it needs, is not installed.
        """
        try:
            with uncollected():
                command = getattr(importlib.import_module(self._module), self._attribute)
        except ModuleNotFoundError as error:
            if not self._extra:
                raise
            raise exits.BadInput(
                f"{self.name} needs what is not installed: {error.name}. "
                f"Install the extra: pip install 'blnk-relay[worker,{self._extra}]'"
            ) from None
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._module}:{self._attribute} is not a command")
        return command


def loaded(command: click.Command) -> click.Command:
    """The command itself, where it is one whose module is imported late."""
    return command.load() if isinstance(command, Deferred) else command
