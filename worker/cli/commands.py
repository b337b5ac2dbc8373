"""All commands of ``blnk-relay``, in the order in which an operator meets them."""

from __future__ import annotations

import click

from worker.cli.audit import audit
from worker.cli.cancel import cancel
from worker.cli.completion import completion
from worker.cli.dead import dead
from worker.cli.doctor import doctor
from worker.cli.encryption import encryption
from worker.cli.enqueue import enqueue
from worker.cli.find import find
from worker.cli.group import Commands, Deferred
from worker.cli.history import history
from worker.cli.jobs import jobs
from worker.cli.lanes import lanes, pause, resume
from worker.cli.log import log
from worker.cli.options import example
from worker.cli.services import sandbox, worker
from worker.cli.show import kinds, list_, show, status_
from worker.cli.target import target_
from worker.cli.upgrade import upgrade
from worker.cli.workers import health, workers


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    """Print the version; imported here, because the library behind it takes a while."""
    if wanted and not ctx.resilient_parsing:
        from blnk_relay import __version__

        click.echo(f"blnk-relay {__version__}")
        ctx.exit()


@click.group(
    "blnk-relay",
    cls=Commands,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog=example("blnk-relay enqueue payments.jsonl", "blnk-relay status"),
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """A durable write queue for the Blnk ledger: work it, look into it, and put right what died.

    Settings are environment variables (docs/settings.md). Exit codes and JSON are described in docs/cli.md.
    """


for command in (
    worker,
    sandbox,
    Deferred(
        "demo",
        "worker.demo.command",
        "demo_command",
        "Play payments over a ledger that misbehaves, and count them.",
        "Install the extra: pip install 'blnk-relay[worker,sandbox]'",
    ),
    Deferred(
        "console",
        "worker.console.command",
        "console_command",
        "Serve the same answers to browsers.",
        "Install the extra: pip install 'blnk-relay[worker,console]'",
    ),
    enqueue,
    show,
    list_,
    find,
    status_,
    workers,
    health,
    dead,
    jobs,
    cancel,
    audit,
    lanes,
    pause,
    resume,
    log,
    target_,
    encryption,
    history,
    doctor,
    upgrade,
    kinds,
    completion,
):
    cli.add_command(command)
