"""``blnk-relay console``: serve the console until it is stopped."""

from __future__ import annotations

import os

import click

from blnk_relay import Settings
from blnk_relay.journal.journals import Journals
from worker.cli.exits import BadInput
from worker.cli.options import example, json_option, login_name
from worker.cli.output import emit, remark, say
from worker.console.serving import serve
from worker.console.settings import ConsoleSettings


@click.command(
    "console",
    short_help="Serve the same answers to browsers.",
    epilog=example("blnk-relay console", "blnk-relay console --port 0 --json"),
)
@click.option("--host", help="Address to listen at.  [default: BLNK_RELAY_CONSOLE_HOST, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0: any free port.  [default: …_PORT, 8571]")
@json_option
def console_command(host: str | None, port: int | None, as_json: bool) -> None:
    """Serve the same answers and acts to browsers, until it is stopped (Ctrl-C or SIGTERM).

    On this machine alone, it prints an address with a token, once. Elsewhere it only listens behind a reverse proxy
    that says who somebody is, or with an identity provider; docs/console.md shows both.
    """
    settings, ours = Settings.from_env(), ConsoleSettings.from_env(host=host, port=port)
    journals = Journals(settings)

    def ready(url: str, token: str) -> None:
        whole = f"{url}/signin#{token}" if token else url
        if as_json:
            emit({"url": url, "sign_in": whole, "pid": os.getpid()})
            return
        say(f"The console listens. Open {whole}")
        if token:
            remark("Whoever has that address may do all that you may here; it is not shown again. Stop with Ctrl-C.")

    try:
        serve(journals, ours, holder=login_name(), ready=ready)
    except OSError as error:
        raise BadInput(f"cannot listen on {ours.host}:{ours.port}: {error.strerror or error}") from None
    finally:
        journals.close()
