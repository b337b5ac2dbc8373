"""A new kind is its module and one line of the registry (decision 35): shown by adding one, and nothing else.

The packages are copied, the module and the line are added to the copy, and everything runs from there: command line,
worker, tasks by name. The ledger of this kind is a few lines of HTTP, for the sandbox only knows Blnk's routes.
"""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from celery import Celery

from blnk_relay import Relay, Settings
from blnk_relay.bell import broker_options, queue_of
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import INGEST_LANE
from tests.support.house import PACKAGES, ROOT, WAIT_S, House, changed, copied
from tests.support.waiting import wait_until
from worker.demo.stage import HASTE

MODULE = '''
"""The kind ``widget.create``: make a widget."""

from marshmallow import Schema

from blnk_relay.families.creation import Creation, tagged
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.schema.base import Text
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import MetaData

NAME = "widget.create"


class WidgetSchema(Schema):
    name = Text(required=True)
    meta_data = MetaData()


SCHEMA = WidgetSchema()
CREATION = Creation(resource="widgets", id_field="widget_id", prefix="wdg_")


def intent(payload):
    return Intent(NAME, payload, natural_key=f"widget:{payload['name']}")


def create_widget(*, name, meta_data=None):
    """Make a widget.

    Args:
        name: What it is called.
        meta_data: A JSON object.
    """
    given = {"name": name} if meta_data is None else {"name": name, "meta_data": meta_data}
    return intent(load(NAME, SCHEMA, given))


def request(entry, progress, policy):
    return Request("POST", "/widgets", "create", {**entry.payload, "meta_data": tagged(entry)}, sync=True)


KIND = Kind(
    name=NAME,
    method="POST",
    path="/widgets",
    summary="Make a widget.",
    schema=SCHEMA,
    intent=intent,
    about=About(create_widget, "The widget with our tag.", (), Example({"name": "small"})),
    lookups=CREATION.lookups,
    decide=CREATION.decide,
    request=request,
    judge=CREATION.judge,
    tagged=True,
)
'''


class Widgets:
    """A ledger that makes widgets, and gets some of its answers wrong."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.posts: list[str] = []
        self.willing = False
        ledger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(*(ledger.make(body) if self.path.startswith("/proxy/widgets?") else (404, {})))

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                mark = parse_qs(url.query).get("meta_data.blnk_relay_eq", [""])[0]
                shown = [item for item in ledger.made if item["meta_data"]["blnk_relay"] == mark]
                known = url.path == "/data/widgets"
                self.answer(200 if known else 404, {"data": shown, "total": len(shown)} if known else {})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def make(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One request to make a widget."""
        name = body["name"]
        self.posts.append(name)
        if name == "unwanted" and not self.willing:
            return 400, {"error": "no", "error_detail": {"code": "GEN_VALIDATION_ERROR", "message": "no"}}
        again = self.posts.count(name)
        if name == "unlucky" and again == 1:
            return 502, {}
        for _ in range(2 if name == "double" else 1):
            self.made.append({"widget_id": f"wdg_{len(self.made)}", **body})
        return (500, {}) if name in {"lost", "double"} else (201, self.made[-1])

    def ids(self, name: str) -> list[str]:
        """The widgets of a name."""
        return [item["widget_id"] for item in self.made if item["name"] == name]


@pytest.fixture
def widgets() -> Iterator[Widgets]:
    ledger = Widgets()
    thread = threading.Thread(target=ledger.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield ledger
    ledger.server.shutdown()
    thread.join(5)
    ledger.server.server_close()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the packages with one module and one line more."""
    kinds = copied(tmp_path) / "blnk_relay" / "kinds"
    (kinds / "widget_create.py").write_text(MODULE.lstrip())
    line = '    "transaction",\n'
    changed(kinds / "registry.py", {line: line + '    "widget.create",\n'})
    return tmp_path


def test_a_module_and_a_line_are_all_that_a_new_kind_takes(house: Path, widgets: Widgets, valkey: Any) -> None:
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
    settings = Settings(
        **{**HASTE, "quiet_s": 0.5, "read_lag_s": 0.5, "token": "blnk_widgets"},
        redis_url=f"redis://127.0.0.1:{valkey.port}/0",
        base_url=f"http://127.0.0.1:{widgets.server.server_address[1]}",
        instance_id="inst_widgets",
        routes=("widget.create=refunds",),
    )
    copy = House(house, settings)
    listed = {kind["kind"]: kind for kind in copy.run("kinds")["kinds"]}
    assert set(listed) == {*KINDS, "widget.create"}
    widget = listed["widget.create"]
    assert (widget["method"], widget["path"], widget["lane"]) == ("POST", "/widgets", "refunds")

    names = ("plain", "lost", "unlucky", "unwanted", "double")
    lines = [json.dumps({"kind": "widget.create", "payload": {"name": name}}) for name in names]
    assert copy.run("enqueue", "-", stdin="\n".join(lines))["created"] == len(names)
    worker = copy.work()
    try:
        with Relay(settings) as relay:
            found = {name: relay.wait(f"widget:{name}", WAIT_S) for name in names}
            assert {status.lane for status in found.values()} == {"refunds"}
            # Done at once; found by its mark after an answer that was none, and not made again; made at the second try.
            for name in ("plain", "lost", "unlucky"):
                assert [found[name].transaction_id] == widgets.ids(name), found[name]
            assert widgets.posts.count("lost") == 1
            double = found["double"]
            assert (double.state, double.dead_class, double.code) == ("dead", "unknown", "MADE_TWICE")
            refused = found["unwanted"]
            assert (refused.state, refused.dead_class, refused.code) == ("dead", "refused", "GEN_VALIDATION_ERROR")

            widgets.willing = True
            assert copy.run("dead", "show", "widget:unwanted")["replay"]["way"] == "same"
            assert copy.run("dead", "replay", "--key", "widget:unwanted", "--yes", "--reason", "wanted")["done"] == 1
            assert [relay.wait("widget:unwanted", WAIT_S).transaction_id] == widgets.ids("unwanted")

            send_by_name(settings, name="by-name")
            wait_until(lambda: widgets.ids("by-name"), WAIT_S, "the widget that came by name")
            assert [relay.wait("widget:by-name", WAIT_S).transaction_id] == widgets.ids("by-name")
    finally:
        worker.terminate()
        worker.wait(WAIT_S)


def send_by_name(settings: Settings, **fields: Any) -> None:
    """What a producer does that shares the broker and not the code."""
    with Celery(broker=settings.broker) as app:
        app.conf.broker_transport_options = broker_options(settings)
        app.send_task("tasks.enqueue_widget_create", kwargs=fields, queue=queue_of(settings, INGEST_LANE))


# -- nothing else names a kind ---------------------------------------------------------------------------------------

#: Modules besides a kind's own that may name one, and why.
MAY_NAME = {
    "blnk_relay/settings.py": "the default lanes of four kinds; any other takes the first lane",
    "blnk_relay/__init__.py": "the builders are public, under names that some kinds share",
    "blnk_relay/intents/verdict_table.py": "the table of contract §5 has rows for single routes, by their names",
    "blnk_relay/families/update.py": "what ids stand for is called what a kind is called; contract §7 is not of kinds",
    "worker/demo/story.py": "the demo plays with payments",
    "worker/demo/proof/money.py": "the demo proves what it played: payments, refunds and holds",
    "worker/demo/proof/records.py": "and the records and values, kind by kind",
    "worker/cli/intent.py": "a row of the ledger is called a transaction",
    "worker/cli/find.py": "the same",
}


def own_modules() -> set[str]:
    """The modules of kinds, and the registry."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "blnk_relay" / "kinds").glob("*.py")}


def constants(module: Path) -> Iterator[str]:
    """The texts in a module's code; documentation is free to give examples."""
    tree = ast.parse(module.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and is_doc(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def is_doc(node: Any) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr)


def ending_codes(module: str) -> set[str]:
    """Codes of dead letters that a module of kinds makes itself."""
    calls = (node for node in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(node, ast.Call))
    made = set()
    for call in calls:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        at = {"Dead": 1, "refused": 0}.get(name)
        if at is not None and len(call.args) > at and isinstance(code := call.args[at], ast.Constant):
            made.add(str(code.value))
    return made


def test_no_other_module_names_a_kind_or_one_of_its_endings() -> None:
    own = own_modules()
    codes = {code for module in own for code in ending_codes(module)}
    assert {"METADATA_TOO_LARGE", "NOTHING_CAN_TELL"} <= codes
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for module in (ROOT / package).rglob("*.py"):
            name = module.relative_to(ROOT).as_posix()
            # The stand-in ledger speaks of the same things in the ledger's own words.
            if name not in own and not name.startswith("blnk_relay/sandbox/"):
                # What stands beneath the kinds is the work of several of them, and they share its endings.
                beneath = name.startswith(("blnk_relay/intents/", "blnk_relay/families/", "blnk_relay/schema/"))
                foreign = set(KINDS) if beneath else codes | set(KINDS)
                named = {text for text in constants(module) if text.partition("=")[0] in foreign}
                found |= {name: named} if named else {}
    assert {name: named for name, named in found.items() if name not in MAY_NAME} == {}
    assert [f"{name} names no kind any more" for name in set(MAY_NAME) - set(found)] == []
    scripts = (ROOT / "blnk_relay" / "journal" / "scripts").glob("*.lua")
    assert [path.name for path in scripts if any(f"'{kind}'" in path.read_text() for kind in KINDS)] == []
