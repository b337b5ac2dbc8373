"""Completion for shells: commands, options and choices by click, and names that only the settings or a journal know.

The script of a shell asks the program itself, by the variable that click reads. Whatever goes wrong there ends without
a word: an error in the middle of a line that somebody is typing helps nobody. What needs Redis gets a second, and is
left out when it takes longer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from worker.cli import exits
from worker.cli.deferred import loaded
from worker.cli.exits import COMPLETING
from worker.cli.options import NO_CODE, example
from worker.cli.output import say

if TYPE_CHECKING:
    from blnk_relay import Operator

#: How the program is called.
PROGRAM = "blnk-relay"

#: Longest wait for names that are not at hand.
_WAIT_S = 1.0

#: Most names offered.
_MOST = 200

Source = Callable[[], Iterable[str]]


def _kinds() -> Iterable[str]:
    from blnk_relay.kinds.registry import KINDS

    return KINDS


def _lanes() -> Iterable[str]:
    from blnk_relay import Settings

    return Settings.from_env().lanes


def _targets() -> Iterable[str]:
    from blnk_relay import Settings

    return Settings.from_env().ledgers


def _outcomes() -> Iterable[str]:
    from blnk_relay.intents.outcomes import OUTCOMES

    return OUTCOMES


def _codes() -> Iterable[str]:
    return [code or NO_CODE for code in _told(lambda operator: operator.codes())]


def _named_codes() -> Iterable[str]:
    return [code for code in _codes() if code != NO_CODE]


def _workers() -> Iterable[str]:
    return _told(lambda operator: [worker.name for worker in operator.workers() if worker.can_be_told])


def _jobs() -> Iterable[str]:
    return _told(lambda operator: {job.id for job in operator.jobs(most=_MOST)})


def _told(of: Callable[[Operator], Iterable[str]]) -> Iterable[str]:
    """Names that the journals know."""
    # What takes a while to import is imported before the second begins.
    import blnk_relay.journal.operator  # noqa: F401
    from worker.cli.access import opened

    def ask() -> Iterable[str]:
        with opened() as access:
            return of(access.operator)

    return within(ask)


#: Where the values of a parameter come from, by its name; ``<command> <name>`` is stronger. Never keys: to offer those
#: would be to walk through them.
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "kind": _kinds,
        "kinds name": _kinds,
        "lane": _lanes,
        "lanes": _lanes,
        "target": _targets,
        "code": _codes,
        "find code": _named_codes,
        "outcome": _outcomes,
        "job": _jobs,
        "workers quiet names": _workers,
        "workers stop names": _workers,
        "health name": _workers,
    }
)


class _Suggested(click.ParamType[str]):
    """A text for which names are suggested; any other is taken as well."""

    def __init__(self, source: Source, usual: click.ParamType[str]) -> None:
        self._source = source
        self.name = usual.name

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Names that begin so; none where they cannot be had."""
        return [CompletionItem(name) for name in sorted(self._source()) if name.startswith(incomplete)][:_MOST]


def within(source: Source, wait_s: float = _WAIT_S) -> list[str]:
    """What Redis says, or nothing where it fails or takes too long."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.extend(source())
        except Exception:  # noqa: BLE001 - Redis is away, or refuses: a shell is no place to tell of it
            found.clear()

    # A daemon, so that the program ends although it is still waiting for an answer.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(wait_s)
    return [] if asking.is_alive() else found


def suggest(command: click.Command, words: Collection[str], path: tuple[str, ...] = ()) -> None:
    """Let names be suggested for the parameters of a command, and of those below it that are among the words."""
    if isinstance(command, click.Group):
        for name in command.commands.keys() & words:
            suggest(loaded(command.commands[name]), words, (*path, name))
    for param in command.params:
        source = SOURCES.get(f"{' '.join(path)} {param.name}", SOURCES.get(param.name or ""))
        if source is not None and param.type is click.STRING:
            param.type = _Suggested(source, click.STRING)


class _Joined(ShellComplete):
    """A value behind ``--option=`` is offered as the whole word that is being typed, as shells take it."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """What fits."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("-"):
            for item in found:
                item.value = f"{option}={item.value}" if item.type == "plain" else item.value
        return found


class _Bash(_Joined, BashComplete):
    # Click's own would let words with a star stand for files, show on the terminal what the program complains of, and
    # make two words of a name with a space in it. And it takes the words as readline has them, which breaks them at
    # each ":", "=" and "@": the name of a worker, a value behind "--option=" and an indicator would never be completed.
    # So the line is handed over as it stands, and of each answer what readline takes for other words is left out.
    source_template = r"""
%(complete_func)s() {
    local IFS=$'\n' response completion type value
    local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^@=:]/} before=
    local word=${line##*[[:space:]]}
    if [[ -n $breaks && $word != [\'\"]* ]]; then
        before=${word%%"${word##*[$breaks]}"}
    fi
    COMPREPLY=()
    response=$(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) [[ $value == *' '* ]] && printf -v value '%%q' "$value"; COMPREPLY+=("${value#"$before"}") ;;
        esac
    done <<< "$response"
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        """The script; click would first start a bash to ask for its version."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words of the line as far as the cursor, and the one that it stands at the end of."""
        line = os.environ["COMP_WORDS"]
        _, *words = split_arg_string(line)
        if not words or (line[-1:].isspace() and not line[:-1].endswith("\\")):
            return words, ""
        return words[:-1], words[-1]


class _Zsh(_Joined, ZshComplete):
    # Click's own shows what the program complains of, and takes the option in "--option=path" for a part of the path.
    source_template = r"""#compdef %(prog_name)s

%(complete_func)s() {
    local type value help
    local -a plain told
    for type value help in "${(@f)$(
        COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null
    )}"; do
        case $type in
            dir|file)
                [[ $words[CURRENT] == -*=* ]] && compset -P 1 '*='
                if [[ $type == dir ]]; then _path_files -/; else _path_files; fi ;;
            plain)
                if [[ $help == _ ]]; then plain+=("$value"); else told+=("$value:$help"); fi ;;
        esac
    done
    if (( $#told )); then _describe -V unsorted told -U; fi
    if (( $#plain )); then compadd -U -V unsorted -a plain; fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _Fish(_Joined, FishComplete):
    # The same as for zsh.
    source_template = r"""
function %(complete_func)s
    set -l word (commandline -ct)
    set -l before (string match -r -- '^-[^=]*=' $word)
    or set before ''
    for answer in (env COMP_WORDS=(commandline -cp) COMP_CWORD=$word %(complete_var)s=fish_complete \
            %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 -- , $answer)
        switch $parts[1]
            case dir
                printf '%%s\n' $before(__fish_complete_directories $parts[2])
            case file
                printf '%%s\n' $before(__fish_complete_path $parts[2])
            case plain
                printf '%%s\n' $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


SHELLS: Mapping[str, type[ShellComplete]] = MappingProxyType({"bash": _Bash, "zsh": _Zsh, "fish": _Fish})


def script(shell: str, cli: click.Command) -> str:
    """What a shell has to read, so that it asks the program."""
    return SHELLS[shell](cli, {}, PROGRAM, COMPLETING).source().strip()


def complete(cli: click.Group) -> int:
    """Answer a shell: the completions of the line that it hands over, as the exit code says.

    What it asks is in its variables: :data:`~worker.cli.exits.COMPLETING` is ``<shell>_complete``.
    """
    shell, _, what = os.environ[COMPLETING].partition("_")
    if what != "complete" or shell not in SHELLS:
        return exits.BAD_INPUT
    suggest(cli, os.environ.get("COMP_WORDS", "").split())
    if answer := SHELLS[shell](cli, {}, PROGRAM, COMPLETING).complete():
        click.echo(answer)
    return exits.OK


@click.command(
    "completion",
    short_help="Print the completion script of a shell.",
    epilog=example(
        'eval "$(blnk-relay completion bash)"',
        "blnk-relay completion fish > ~/.config/fish/completions/blnk-relay.fish",
    ),
)
@click.argument("shell", type=click.Choice(sorted(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL, to be read by it at its start.

    Completes commands, options, kinds, lanes, targets, codes and states. What needs Redis is left out where it does not
    answer within a second.
    """
    say(script(shell, ctx.find_root().command))
