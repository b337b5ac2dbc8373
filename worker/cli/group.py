"""The group of all commands: their order, and errors as sentences and exit codes."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from worker.cli import exits
from worker.cli.deferred import loaded
from worker.cli.exits import COMPLETING
from worker.cli.forms import asks_for_json
from worker.cli.output import finish


class Commands(click.Group):
    """A group that lists its commands in the order of their registration and ends with our exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order in which an operator meets them."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to run; a deferred one is loaded now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else loaded(command), rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and print at its end what it has shown for CSV; one that fails prints none."""
        with _heard():
            try:
                result = super().invoke(ctx)
            except click.exceptions.Exit:
                finish()
                raise
            finish()
            return result

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read what was given; help is printed meanwhile."""
        with _heard():
            return super().make_context(info_name, args, parent, **extra)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; ends the process unless ``standalone_mode`` is off, which returns the exit code instead."""
        if COMPLETING in os.environ:
            _complete(self)
        _open_streams()
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = self._code(given, prog_name or "blnk-relay", complete_var, windows_expand_args, extra)
        except OSError as error:
            if not _was_printing(error):
                raise
            code = exits.UNHEARD if isinstance(error, BrokenPipeError) else exits.UNWRITTEN
            _swallow_rest()
            if code == exits.UNWRITTEN:
                _say_unwritten(error)
        if standalone_mode:
            sys.exit(code)
        return code

    def _code(
        self, given: list[str], prog_name: str, complete_var: str | None, expand: bool, extra: dict[str, Any]
    ) -> int:
        given = [_in_bytes(argument) for argument in given]
        if why := _stray_bytes(given):
            return _report(given, "BadInput", why, exits.BAD_INPUT)
        try:
            result = super().main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=expand,
                **extra,
            )
        except click.Abort:
            return _report(given, "Interrupted", "interrupted", exits.INTERRUPTED)
        except click.UsageError as error:
            said = error.format_message()
            if error.ctx is not None:
                said += f"{'' if said.endswith(('.', '?')) else '.'} See '{error.ctx.command_path} --help'."
            return _report(given, "UsageError", said, error.exit_code)
        except click.ClickException as error:
            return _report(given, type(error).__name__, error.format_message(), error.exit_code)
        except Exception as error:
            code = exits.code_of(error)
            if code is None:
                raise
            return _report(given, type(error).__name__, str(error), code)
        return result if isinstance(result, int) else exits.OK


def _complete(cli: click.Group) -> NoReturn:
    """Answer a shell that completes a line; what goes wrong ends without a word."""
    from worker.cli.completion import complete

    try:
        code = complete(cli)
    except Exception:  # noqa: BLE001 - an error in the middle of somebody's line helps nobody
        code = exits.FAILED
    sys.exit(code)


def _in_bytes(argument: str) -> str:
    """An argument as UTF-8, as it was given, where the locale of this process knows no more than ASCII."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        # Bytes that the locale does not know stand in it one by one.
        with suppress(UnicodeError):
            return os.fsencode(argument).decode()
    return argument


def _stray_bytes(given: Sequence[str]) -> str:
    """Where an argument has bytes that are not UTF-8, and so cannot be kept; empty where none has."""
    for number, argument in enumerate(given, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            return f"argument {number} is not UTF-8 at its character {error.start + 1}."
    return ""


def _open_streams() -> None:
    """Put something in the place of standard streams that are closed; else the next socket would get their numbers."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it is open for as long as the process is
    if sys.stdout is None:
        # Opened for reading: whoever writes to it is told that it cannot be, as with one that is full.
        sys.stdout = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it is open for as long as the process is
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it is open for as long as the process is


def _was_printing(error: OSError) -> bool:
    """Whether it was met while an answer was printed; all of them are, by click."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_code is click.echo.__code__


@contextmanager
def _heard() -> Iterator[None]:
    """End with a code of its own where whoever reads goes away: click's is that of what was done in part."""
    try:
        yield
    except BrokenPipeError as error:
        if not _was_printing(error):
            raise
        _swallow_rest()
        raise click.exceptions.Exit(exits.UNHEARD) from None


def _swallow_rest() -> None:
    """Else what is left is tried a last time when the process ends, which spoils its exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_unwritten(error: OSError) -> None:
    """Say that nobody was told what came of a command: it may have been carried out."""
    message = (
        f"the answer could not be written ({error.strerror or error}). What was asked for may be done all "
        "the same: see 'blnk-relay log', or 'blnk-relay show' of an intent, before you ask for it again."
    )
    with suppress(OSError):
        click.echo(f"Error: {message}", err=True)


def _report(given: Sequence[str], kind: str, message: str, code: int) -> int:
    """One sentence on stderr and, where JSON was asked for, one object on stdout that says the same."""
    click.echo(f"Error: {message}", err=True)
    if asks_for_json(given):
        click.echo(json.dumps({"error": {"type": kind, "message": message, "exit_code": code}}))
    return code
