"""All commands of ``blnk-relay``, in the order in which an operator meets them; each is imported when it is run."""

from __future__ import annotations

import click

from worker.cli.deferred import Deferred
from worker.cli.group import Commands
from worker.cli.options import example


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
    Deferred("worker", "worker.cli.services", "worker", "Run a worker that posts intents and confirms them."),
    Deferred("sandbox", "worker.cli.services", "sandbox", "Run a stand-in for Blnk Cloud and Core, in memory."),
    Deferred(
        "demo",
        "worker.demo.command",
        "demo_command",
        "Play payments over a ledger that misbehaves, and count them.",
        extra="sandbox",
    ),
    Deferred(
        "console",
        "worker.console.command",
        "console_command",
        "Serve the same answers to browsers.",
        extra="console",
    ),
    Deferred("enqueue", "worker.cli.enqueue", "enqueue", "Enqueue the intents of a JSONL FILE, or of stdin with '-'."),
    Deferred("show", "worker.cli.show", "show", "Show what has become of one intent, and what keeps it."),
    Deferred("list", "worker.cli.show", "list_", "List intents by state, newest first."),
    Deferred("find", "worker.cli.find", "find", "Find intents by reference, id, amount, ends, metadata and more."),
    Deferred("status", "worker.cli.show", "status_", "Show what is wrong, and the journals at a glance."),
    Deferred(
        "workers",
        "worker.cli.workers",
        "workers",
        "Show which workers are alive, and tell them to be quiet or to stop.",
    ),
    Deferred("health", "worker.cli.workers", "health", "Say whether the worker of this container is well."),
    Deferred("dead", "worker.cli.dead", "dead", "Look at, replay and discard dead letters."),
    Deferred("jobs", "worker.cli.jobs", "jobs", "Replays and discards of many letters, and how far they have come."),
    Deferred(
        "cancel",
        "worker.cli.cancel",
        "cancel",
        "Take an intent back that was never sent; what waited for it becomes dead letters.",
    ),
    Deferred("audit", "worker.cli.audit", "audit", "Compare the journal with the ledger, by reading both."),
    Deferred("lanes", "worker.cli.lanes", "lanes", "Show how many intents wait in each lane of each target."),
    Deferred(
        "pause",
        "worker.cli.lanes",
        "pause",
        "Stop claiming from a LANE, for all targets, or stop all requests to a target.",
    ),
    Deferred(
        "resume",
        "worker.cli.lanes",
        "resume",
        "Let workers claim from a LANE again, for all targets, or send to a target again, whoever paused it.",
    ),
    Deferred("log", "worker.cli.log", "log", "Show who did what, from where, and why."),
    Deferred(
        "target", "worker.cli.target", "target_", "Whose each journal is: the ledger that each target stands for."
    ),
    Deferred(
        "encryption",
        "worker.cli.encryption",
        "encryption",
        "Which encryption keys the journals need, and giving an old one up.",
    ),
    Deferred("history", "worker.cli.history", "history", "Look after the database of history."),
    Deferred("doctor", "worker.cli.doctor", "doctor", "Check what would break the promise, and say how to mend it."),
    Deferred(
        "upgrade", "worker.cli.upgrade", "upgrade", "Bring journals to the newest shape, once older versions are gone."
    ),
    Deferred("kinds", "worker.cli.show", "kinds", "List the kinds of writes, or tell of one."),
    Deferred("completion", "worker.cli.completion", "completion", "Print the completion script of a shell."),
):
    cli.add_command(command)
