"""``encryption``: which keys the journals need, and putting what they hide under the newest one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.interrupt import Stop
from worker.cli.options import answer_option, example, json_option, who_option, whole_option
from worker.cli.output import emit, plain, progress, remark, say, several, table

if TYPE_CHECKING:
    from blnk_relay import KeyUse, Resealed

_COLUMNS = ("target", "key", ">intents", "besides", "note")


@click.group("encryption", short_help="Which encryption keys the journals need, and giving an old one up.")
def encryption() -> None:
    """Which encryption keys the journals need, and giving an old one up."""


@encryption.command("keys", epilog=example("blnk-relay encryption keys"))
@click.option("--target", help="Only of this ledger.")
@whole_option
@json_option
def encryption_keys(target: str | None, whole: bool, as_json: bool) -> None:
    """Count what needs which key. A key that nothing needs can be taken out of the settings.

    Looks at some of the intents that are kept, the open ones first, and says how many it left. Before a key is taken
    out nothing may be left: --whole looks at every intent, page by page.
    """
    with opened() as access, progress("looking at the intents", None) as step:
        uses = access.operator.key_use(target, whole=whole, step=step)
    if as_json:
        emit({"targets": [use_json(use) for use in uses]})
        return
    table(_COLUMNS, [row for use in uses for row in _rows(use)])
    for use in uses:
        if use.left:
            say(
                plain(
                    f"Not looked to the end: {several(use.left, 'intent')} of target {use.target} were not looked at, "
                    "and may need other keys. --whole looks at all."
                )
            )


def _rows(use: KeyUse) -> list[tuple[str, ...]]:
    from blnk_relay.errors import key_in_words

    rows: list[tuple[str, ...]] = []
    for name in sorted({*use.intents, use.secret, use.tokens, use.first} - {""}):
        besides = [what for what, of in (("fingerprints", use.secret), ("OAuth tokens", use.tokens)) if of == name]
        note = "is written with" if name == use.first else ""
        if name in use.lacking:
            note = "is not in the settings here: what needs it cannot be read"
        number = f"{use.intents.get(name, 0):,}"
        rows.append((use.target, key_in_words(name), number, ", ".join(besides), note))
    if use.plain or not rows:
        rows.append((use.target, "none", f"{use.plain:,}", "", "in the clear" if use.plain else ""))
    return rows


def use_json(use: KeyUse) -> dict[str, Any]:
    """The same for programs.

    Args:
        use: Of which.
    """
    return {
        "target": use.target,
        "first": use.first,
        "intents": dict(use.intents),
        "plain": use.plain,
        "fingerprints": use.secret,
        "tokens": use.tokens,
        "lacking": list(use.lacking),
        # Whoever waits for 0 must not take what was found so far for all.
        "old": use.old if use.old or not use.left else None,
        "left": use.left,
    }


@encryption.command("renew", epilog=example("blnk-relay encryption renew"))
@click.option("--target", help="Only of this ledger.")
@who_option
@answer_option
def encryption_renew(target: str | None, who: str, as_json: bool) -> None:
    """Put all that is hidden under another key, or not at all, under the first key of the settings.

    Workers and producers may go on meanwhile. It takes half of the time of Redis that it could, and may be broken off
    and begun again: what is under that key already is passed over.
    """
    results: dict[str, Resealed] = {}
    with opened() as access, Stop() as stop:
        targets = [target] if target else list(access.settings.ledgers)
        for name in targets:
            if stop.asked:
                break
            results[name] = access.operator.reseal(name, who=who, stopped=lambda: stop.asked)
    code = code_of(results, whole=len(results) == len(targets))
    if as_json:
        emit({"targets": [{"target": name, **renewed_json(result)} for name, result in results.items()]})
        exits.leave(code)
    for name, result in results.items():
        first, *rest = renewed_in_words(name, result)
        say(first)
        for sentence in rest:
            remark(sentence)
    exits.leave(code)


def code_of(results: Mapping[str, Resealed], *, whole: bool) -> int:
    """The exit code of what came of a renewal.

    Args:
        results: What came of it, by target.
        whole: Whether all targets were come to.
    """
    if not whole or not all(result.finished for result in results.values()):
        return exits.INTERRUPTED
    return exits.OK if all(result.whole for result in results.values()) else exits.PARTLY


def renewed_in_words(name: str, result: Resealed) -> list[str]:
    """What was put under the first key, and after it all that is left to do.

    Args:
        name: The target.
        result: What came of it.
    """
    told = [f"{name}: {several(result.done, 'intent')} put under the first key."]
    if result.changed:
        told.append(f"{name}: {several(result.changed, 'intent')} changed meanwhile: ask for the same again.")
    for key, number in result.locked.items():
        told.append(f"{name}: {several(number, 'intent')} need key {key}, which is not in the settings here.")
    told += [f"{name}: {why}." for why in result.tokens]
    if result.broken:
        told.append(f"{name}: does not verify, and was left as it is: {', '.join(result.broken)}")
    if not result.finished:
        told.append(f"{name}: broken off; ask for the same again to go on.")
    return told


def renewed_json(result: Resealed) -> dict[str, Any]:
    """The same for programs.

    Args:
        result: What came of it.
    """
    return {
        "done": result.done,
        "changed": result.changed,
        "locked": dict(result.locked),
        "broken": list(result.broken),
        "tokens": list(result.tokens),
        "finished": result.finished,
    }
