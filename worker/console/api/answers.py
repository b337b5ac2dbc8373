"""The answers of the API: what the screens find and do, as JSON."""

from __future__ import annotations

from blnk_relay import Gathered, Job, WorkerView
from blnk_relay.catalogue.facts import COMMON_ENDS, ends_of, facts_of
from blnk_relay.kinds.registry import KINDS
from worker.cli.as_json import (
    action_json,
    gate_json,
    glance_json,
    intent_json,
    kind_json,
    lane_json,
    pause_json,
    worker_json,
)
from worker.cli.find import found_json
from worker.cli.history import history_json
from worker.cli.intent import look, seen_json
from worker.cli.jobs import job_json
from worker.cli.output import stamp
from worker.cli.recalled import Recollection
from worker.cli.summary import causes_json
from worker.console.asking import Ask, BadRequest, Data
from worker.console.errands import Errand
from worker.console.screens import (
    actions,
    chores,
    errands,
    find,
    intents,
    jobs,
    journals,
    kinds,
    lanes,
    letters,
    many,
    problems,
    workers,
)
from worker.console.screens.filters import Filters, Listed, listed
from worker.console.signin.rights import Right


def overview(ask: Ask) -> Data:
    """The journals at a glance, and what is wrong."""
    return Data(glance_json(ask.operator.glance(), ask.operator.settings))


def workers_(ask: Ask) -> Data:
    """Worker programs, those that died lately among them."""
    return _workers(ask.operator.workers())


def tell(ask: Ask) -> Data:
    """Have a worker be quiet, or stop."""
    return _workers(workers.told(ask))


def _workers(found: Gathered[WorkerView]) -> Data:
    return Data({"workers": [worker_json(one) for one in found], "away": list(found.away)})


def intents_(ask: Ask) -> Data:
    """A list of intents, or the one with a key."""
    filters = Filters.read(ask.query)
    if key := ask.query.get("key", "").strip():
        return _page(intents.known_as(ask.operator, key, filters.target))
    return _page(listed(ask.operator, filters))


def find_(ask: Ask) -> Data:
    """Intents by what is known of them, over history and journals, and where was looked."""
    _, result, hints = find.asked(ask)
    if result is None:
        raise BadRequest("nothing is asked for: name a text, an amount, an end, a time or another")
    return Data(found_json(result, hints))


def letters_(ask: Ask) -> Data:
    """A list of dead letters."""
    return _page(listed(ask.operator, Filters.read(ask.query), ("dead",)))


def _page(found: Listed) -> Data:
    rows = [intent_json(one) for one in found.rows]
    return Data({"intents": rows, "more": found.more, "after": found.after, "away": list(found.away)})


def problems_(ask: Ask) -> Data:
    """Dead letters by what they died of."""
    _, found = problems.asked(ask)
    return Data(causes_json(found))


def intent(ask: Ask) -> Data:
    """One intent with its life and its neighbours."""
    status, operator = intents.of_path(ask), ask.operator
    past = Recollection(operator, status, look(operator, status))
    plan = operator.plan(past.status) if past.status.state == "dead" else None
    return Data(
        {
            **seen_json(past.status, past.seen, intents.MOST_ROWS),
            **past.json(),
            "replay": None if plan is None else {"way": plan.way.value, "why": plan.why},
        }
    )


def payload(ask: Ask) -> Data:
    """Its payload, which is noted in the action log."""
    ask.need(Right.PAYLOAD, "to look at payloads")
    status = intents.of_path(ask)
    return Data({"payload": dict(ask.operator.payload(status, who=ask.person.name, reason=ask.text("reason")))})


def act(ask: Ask) -> Data:
    """Replay, discard or cancel one intent."""
    status, said = letters.done(ask, unseen=True)
    now = ask.operator.current(status)
    return Data({"said": said, "intent": intent_json(now or status)})


def plan(ask: Ask) -> Data:
    """What a replay or a discard of many letters would do; changes nothing."""
    _, made = many.plan(ask, ask.query)
    return Data(
        {
            "what": made.what,
            "of": made.of,
            "count": len(made.letters),
            "ways": dict(made.ways),
            "reasons": dict(made.reasons),
            "codes": dict(made.codes),
            "sums": {currency: f"{total:f}" for currency, total in made.sums.items()},
            "summed": made.summed,
            "more": made.more,
        }
    )


def begin(ask: Ask) -> Data:
    """Have it carried out by workers, if it is about as many letters as are said."""
    job, made = many.begun(ask)
    return Data({"job": job, "count": len(made.letters)})


def jobs_(ask: Ask) -> Data:
    """Jobs that go on, and those of the last month."""
    found = jobs.newest(ask)
    return _jobs(Gathered(found.jobs, found.away), more=found.more)


def job(ask: Ask) -> Data:
    """One job: its part for each target."""
    return _jobs(ask.operator.job(ask.path["id"]))


def stop_job(ask: Ask) -> Data:
    """Stop a job; what it has done stays done."""
    return _jobs(jobs.stopped(ask))


def _jobs(found: Gathered[Job], *, more: bool = False) -> Data:
    return Data({"jobs": [job_json(one) for one in found], "more": more, "away": list(found.away)})


def rebind(ask: Ask) -> Data:
    """Say that the ledger of a target has moved to where the settings have it."""
    name, was, now = lanes.rebound(ask)
    return Data({"target": name, "was": was, "is": now})


def lanes_(ask: Ask) -> Data:
    """All lanes, and the gates that are not simply open."""
    found, settings = ask.operator.overview(), ask.operator.settings
    return Data(
        {
            "lanes": [lane_json(lane, settings) for lane in found.lanes],
            "gates": [gate_json(gate) for gate in found.gates],
            "away": list(found.away),
        }
    )


def change(ask: Ask) -> Data:
    """Pause or resume a lane or a target."""
    made = lanes.changed(ask)
    return Data({"changed": made.changed, "pause": None if made.pause is None else pause_json(made.pause)})


def actions_(ask: Ask) -> Data:
    """The action log."""
    *_, page = actions.told(ask)
    rows = [action_json(one) for one in page.rows]
    return Data({"actions": rows, "after": page.after, "away": list(page.away), "unread": page.unread})


def journals_(ask: Ask) -> Data:
    """Journals as wholes: whose each is, and its shape."""
    found, away = journals.bound(ask)
    rows = [
        {
            "target": one.target,
            "recorded": one.recorded,
            "settings": one.settings,
            "shape": one.shape,
            "named": one.named,
            "note": one.note,
        }
        for one in found
    ]
    return Data({"journals": rows, "away": away})


def care(ask: Ask) -> Data:
    """Begin what is done to one journal as a whole."""
    return _errands(ask, chores.begin(ask, ask.path["what"], ask.path["name"]))


def history_(ask: Ask) -> Data:
    """The database of history, and how far the journals are copied."""
    return Data(history_json(*journals.history_of(ask)))


def upgrade_history(ask: Ask) -> Data:
    """Begin to bring the tables of history to the newest revision."""
    return _errands(ask, chores.begin_history(ask))


def history_off(ask: Ask) -> Data:
    """Let nothing of a target wait for history any more before it is trimmed."""
    left = journals.switched_off(ask)
    return Data({"targets": [{"target": name, "not_copied": number} for name, number in left.items()]})


def audit(ask: Ask) -> Data:
    """Begin to compare a journal with its ledger, or go on where that had to end."""
    return _errands(ask, chores.begin_audit(ask))


def doctor(ask: Ask) -> Data:
    """Begin to check what would break the promise."""
    return _errands(ask, chores.begin_doctor(ask))


def errands_(ask: Ask) -> Data:
    """Errands of this console, the newest first."""
    return _errands(ask, *ask.errands.all())


def errand(ask: Ask) -> Data:
    """One errand: how far it has come, and what came of it."""
    return _errands(ask, ask.errands.get(ask.path["id"]))


def stop_errand(ask: Ask) -> Data:
    """Have an errand end where it is."""
    return _errands(ask, errands.stopped(ask))


def _errands(ask: Ask, *found: Errand) -> Data:
    return Data(
        {
            "errands": [
                {
                    "id": one.id,
                    "what": one.what,
                    "of": one.of,
                    "target": one.target,
                    "who": one.who,
                    "via": one.via,
                    "begun": stamp(one.begun),
                    "ended": stamp(one.ended),
                    "state": one.state,
                    "looked_at": one.steps,
                    "said": one.said,
                    "well": one.well,
                    "result": dict(errands.document_of(one, ask.person)),
                }
                for one in found
            ]
        }
    )


def kinds_(ask: Ask) -> Data:
    """Kinds of writes, or one by its name."""
    if name := ask.query.get("name", ""):
        kinds.check(name)
    found = [KINDS[name]] if name else KINDS.values()
    route = ask.operator.settings.route
    told = [kind_json(facts_of(kind), ends_of(kind, COMMON_ENDS), route(kind.name)) for kind in found]
    return Data({"kinds": told})
