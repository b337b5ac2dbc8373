"""Everything that can be asked for: each with the right that it takes. Tests walk through all of it."""

from __future__ import annotations

from typing import Any

from worker.console.api import answered, answers, asked
from worker.console.api.description import description
from worker.console.asking import Door
from worker.console.screens import (
    actions,
    checks,
    errands,
    find,
    intents,
    jobs,
    journals,
    kinds,
    lanes,
    letters,
    many,
    overview,
    problems,
    workers,
)
from worker.console.screens.chores import CHORES
from worker.console.signin.rights import Right

_LOOK = Right.VIEWER

#: Screens, and the acts that their forms send. A GET never changes anything.
SCREENS: tuple[Door, ...] = (
    Door("GET", "/", _LOOK, overview.overview),
    Door("GET", "/intents", _LOOK, intents.intents, about={"query": asked.ListQuery}),
    Door("GET", "/find", _LOOK, find.find, about={"query": asked.FindQuery}),
    Door("GET", "/intents/{target}/{id}", _LOOK, intents.intent),
    Door("POST", "/intents/{target}/{id}/payload", Right.PAYLOAD, intents.payload),
    Door("GET", "/intents/{target}/{id}/{what}", _LOOK, letters.confirm),
    Door("POST", "/intents/{target}/{id}/{what}", Right.OPERATOR, letters.act),
    Door("GET", "/problems", _LOOK, problems.problems, about={"query": asked.CauseQuery}),
    Door("GET", "/letters", _LOOK, letters.letters, about={"query": asked.LetterQuery}),
    Door("GET", "/letters/{what}", _LOOK, many.confirm, about={"query": asked.ManyPage}),
    Door(
        "POST",
        "/letters/{what}",
        Right.OPERATOR,
        many.act,
        about={"query": asked.Nothing, "body": asked.ManyForm},
    ),
    Door("GET", "/jobs", _LOOK, jobs.jobs),
    Door("GET", "/jobs/{id}", _LOOK, jobs.job),
    Door("POST", "/jobs/{id}/stop", Right.OPERATOR, jobs.stop),
    Door("GET", "/lanes", _LOOK, lanes.lanes),
    Door("GET", "/lanes/{sort}/{name}/{what}", _LOOK, lanes.confirm),
    Door("POST", "/lanes/{sort}/{name}/{what}", Right.OPERATOR, lanes.act),
    Door("GET", "/workers", _LOOK, workers.workers),
    Door("GET", "/workers/{what}", _LOOK, workers.confirm),
    Door("POST", "/workers/{what}", Right.OPERATOR, workers.act),
    Door("GET", "/actions", _LOOK, actions.actions, about={"query": asked.ActionQuery}),
    Door("GET", "/targets/{name}/rebind", _LOOK, lanes.confirm_rebind),
    Door("POST", "/targets/{name}/rebind", Right.APPROVER, lanes.rebind),
    Door("GET", "/journals", _LOOK, journals.journals),
    Door("GET", "/journals/{name}/history-off", _LOOK, journals.confirm_off),
    Door("POST", "/journals/{name}/history-off", Right.APPROVER, journals.off),
    Door("GET", "/journals/{name}/{what}", _LOOK, journals.confirm),
    Door("POST", "/journals/{name}/{what}", Right.OPERATOR, journals.act),
    Door("GET", "/history", _LOOK, journals.history),
    Door("POST", "/history/upgrade", Right.APPROVER, journals.upgrade_history),
    Door("GET", "/audit", _LOOK, checks.audits),
    Door("POST", "/audit", Right.OPERATOR, checks.begin_audit),
    Door("GET", "/doctor", _LOOK, checks.doctor),
    Door("POST", "/doctor", Right.OPERATOR, checks.begin_doctor),
    Door("GET", "/errands/{id}", _LOOK, errands.errand),
    Door("POST", "/errands/{id}/stop", Right.OPERATOR, errands.stop),
    Door("GET", "/kinds", _LOOK, kinds.kinds),
)

_V1 = "/api/v1"

_APPROVED: dict[str, Any] = {
    "what": {"enum": ["replay", "discard", "cancel"]},
    "more": "; to discard, and to replay a letter of class unknown, *approver*",
}

_MANY: dict[str, Any] = {
    "what": {"enum": ["replay", "discard"]},
    "more": "; to discard, more than BLNK_RELAY_CONSOLE_MOST_AT_ONCE, and class unknown, *approver*",
}

_PAUSED: dict[str, Any] = {"sort": {"enum": ["lane", "target"]}, "what": {"enum": ["pause", "resume"]}}

_CARED_FOR: dict[str, Any] = {
    "what": {"enum": list(CHORES)},
    "more": f"; to {' and to '.join(name for name, one in CHORES.items() if one.right is Right.APPROVER)}, *approver*",
}

#: The API.
API: tuple[Door, ...] = tuple(
    Door(method, f"{_V1}{path}", right, answer, api=True, about=about)
    for method, path, right, answer, about in (
        ("GET", "/overview", _LOOK, answers.overview, {"out": answered.Overview}),
        ("GET", "/intents", _LOOK, answers.intents_, {"query": asked.ListQuery, "out": answered.IntentPage}),
        ("GET", "/find", _LOOK, answers.find_, {"query": asked.FindQuery, "out": answered.FindResult}),
        ("GET", "/intents/{target}/{id}", _LOOK, answers.intent, {"out": answered.IntentWhole}),
        (
            "POST",
            "/intents/{target}/{id}/payload",
            Right.PAYLOAD,
            answers.payload,
            {"body": asked.WhyNot, "out": answered.Payload},
        ),
        (
            "POST",
            "/intents/{target}/{id}/{what}",
            Right.OPERATOR,
            answers.act,
            {"body": asked.Why, "out": answered.Done, **_APPROVED},
        ),
        ("GET", "/problems", _LOOK, answers.problems_, {"query": asked.CauseQuery, "out": answered.Causes}),
        ("GET", "/letters", _LOOK, answers.letters_, {"query": asked.LetterQuery, "out": answered.IntentPage}),
        (
            "GET",
            "/letters/{what}",
            _LOOK,
            answers.plan,
            {"query": asked.ManyQuery, "out": answered.ManyPlan, **_MANY},
        ),
        (
            "POST",
            "/letters/{what}",
            Right.OPERATOR,
            answers.begin,
            {"body": asked.Many, "out": answered.Begun, **_MANY},
        ),
        ("GET", "/jobs", _LOOK, answers.jobs_, {"out": answered.Jobs}),
        ("GET", "/jobs/{id}", _LOOK, answers.job, {"out": answered.Jobs}),
        ("POST", "/jobs/{id}/stop", Right.OPERATOR, answers.stop_job, {"body": asked.WhyNot, "out": answered.Jobs}),
        (
            "POST",
            "/targets/{name}/rebind",
            Right.APPROVER,
            answers.rebind,
            {"body": asked.Rebind, "out": answered.Rebound},
        ),
        ("GET", "/lanes", _LOOK, answers.lanes_, {"out": answered.Lanes}),
        (
            "POST",
            "/lanes/{sort}/{name}/{what}",
            Right.OPERATOR,
            answers.change,
            {"body": asked.PauseWhy, "out": answered.Changed, **_PAUSED},
        ),
        ("GET", "/workers", _LOOK, answers.workers_, {"out": answered.Workers}),
        (
            "POST",
            "/workers/{what}",
            Right.OPERATOR,
            answers.tell,
            {"body": asked.Wish, "out": answered.Workers, "what": {"enum": ["quiet", "stop"]}},
        ),
        ("GET", "/journals", _LOOK, answers.journals_, {"out": answered.Journals}),
        (
            "POST",
            "/journals/{name}/history-off",
            Right.APPROVER,
            answers.history_off,
            {"body": asked.HistoryOff, "out": answered.HistoryIsOff},
        ),
        (
            "POST",
            "/journals/{name}/{what}",
            Right.OPERATOR,
            answers.care,
            {"body": asked.Nothing, "out": answered.Errands, **_CARED_FOR},
        ),
        ("GET", "/history", _LOOK, answers.history_, {"out": answered.History}),
        (
            "POST",
            "/history/upgrade",
            Right.APPROVER,
            answers.upgrade_history,
            {"body": asked.Nothing, "out": answered.Errands},
        ),
        ("POST", "/audit", Right.OPERATOR, answers.audit, {"body": asked.AuditAsked, "out": answered.Errands}),
        ("POST", "/doctor", Right.OPERATOR, answers.doctor, {"body": asked.DoctorAsked, "out": answered.Errands}),
        ("GET", "/errands", _LOOK, answers.errands_, {"out": answered.Errands}),
        ("GET", "/errands/{id}", _LOOK, answers.errand, {"out": answered.Errands}),
        (
            "POST",
            "/errands/{id}/stop",
            Right.OPERATOR,
            answers.stop_errand,
            {"body": asked.Nothing, "out": answered.Errands},
        ),
        ("GET", "/kinds", _LOOK, answers.kinds_, {"query": asked.KindQuery, "out": answered.Kinds}),
        ("GET", "/actions", _LOOK, answers.actions_, {"query": asked.ActionQuery, "out": answered.ActionPage}),
    )
)

DESCRIPTION = Door("GET", f"{_V1}/openapi.json", _LOOK, description(API), api=True)

DOORS: tuple[Door, ...] = (*SCREENS, *API, DESCRIPTION)
