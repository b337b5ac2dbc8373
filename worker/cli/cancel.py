"""``cancel``: taking back what was never sent."""

from __future__ import annotations

import click

from worker.cli.access import opened
from worker.cli.as_json import intent_json
from worker.cli.options import Reason, answer_option, example, target_option, who_option
from worker.cli.output import emit, plain, say


@click.command("cancel", epilog=example("blnk-relay cancel order-47 --reason 'entered twice'"))
@click.argument("key")
@target_option
@click.option("--reason", type=Reason(), default="", help="Why; kept.")
@who_option
@answer_option
def cancel(key: str, target: str, reason: str, who: str, as_json: bool) -> None:
    """Take an intent back that was never sent; what waited for it becomes dead letters.

    KEY is its idempotency key, or its id.
    """
    with opened() as access:
        status = access.operator.cancel(access.operator.get(key, target=target), who=who, reason=reason)
    if as_json:
        emit({"intent": intent_json(status)})
        return
    say(f"Cancelled {plain(status.key or status.id)}.")
