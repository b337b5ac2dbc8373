"""Everything that can be asked for: each with the right that it takes. Tests walk through all of it."""

from __future__ import annotations

from typing import Any

from worker.console.api import answers, schemas
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
    Door("GET", "/intents", _LOOK, intents.intents, about={"query": schemas.ListQuery}),
    Door("GET", "/find", _LOOK, find.find, about={"query": schemas.FindQuery}),
    Door("GET", "/intents/{target}/{id}", _LOOK, intents.intent),
    Door("POST", "/intents/{target}/{id}/payload", Right.PAYLOAD, intents.payload),
    Door("GET", "/intents/{target}/{id}/{what}", _LOOK, letters.confirm),
    Door("POST", "/intents/{target}/{id}/{what}", Right.OPERATOR, letters.act),
    Door("GET", "/problems", _LOOK, problems.problems, about={"query": schemas.CauseQuery}),
    Door("GET", "/letters", _LOOK, letters.letters, about={"query": schemas.LetterQuery}),
    Door("GET", "/letters/{what}", _LOOK, many.confirm, about={"query": schemas.ManyPage}),
    Door(
        "POST",
        "/letters/{what}",
        Right.OPERATOR,
        many.act,
        about={"query": schemas.Nothing, "body": schemas.ManyForm},
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
    Door("GET", "/actions", _LOOK, actions.actions, about={"query": schemas.ActionQuery}),
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
        ("GET", "/overview", _LOOK, answers.overview, {"out": schemas.Overview}),
        ("GET", "/intents", _LOOK, answers.intents_, {"query": schemas.ListQuery, "out": schemas.IntentPage}),
        ("GET", "/find", _LOOK, answers.find_, {"query": schemas.FindQuery, "out": schemas.FindResult}),
        ("GET", "/intents/{target}/{id}", _LOOK, answers.intent, {"out": schemas.IntentWhole}),
        (
            "POST",
            "/intents/{target}/{id}/payload",
            Right.PAYLOAD,
            answers.payload,
            {"body": schemas.WhyNot, "out": schemas.Payload},
        ),
        (
            "POST",
            "/intents/{target}/{id}/{what}",
            Right.OPERATOR,
            answers.act,
            {"body": schemas.Why, "out": schemas.Done, **_APPROVED},
        ),
        ("GET", "/problems", _LOOK, answers.problems_, {"query": schemas.CauseQuery, "out": schemas.Causes}),
        ("GET", "/letters", _LOOK, answers.letters_, {"query": schemas.LetterQuery, "out": schemas.IntentPage}),
        (
            "GET",
            "/letters/{what}",
            _LOOK,
            answers.plan,
            {"query": schemas.ManyQuery, "out": schemas.ManyPlan, **_MANY},
        ),
        (
            "POST",
            "/letters/{what}",
            Right.OPERATOR,
            answers.begin,
            {"body": schemas.Many, "out": schemas.Begun, **_MANY},
        ),
        ("GET", "/jobs", _LOOK, answers.jobs_, {"out": schemas.Jobs}),
        ("GET", "/jobs/{id}", _LOOK, answers.job, {"out": schemas.Jobs}),
        ("POST", "/jobs/{id}/stop", Right.OPERATOR, answers.stop_job, {"body": schemas.WhyNot, "out": schemas.Jobs}),
        (
            "POST",
            "/targets/{name}/rebind",
            Right.APPROVER,
            answers.rebind,
            {"body": schemas.Rebind, "out": schemas.Rebound},
        ),
        ("GET", "/lanes", _LOOK, answers.lanes_, {"out": schemas.Lanes}),
        (
            "POST",
            "/lanes/{sort}/{name}/{what}",
            Right.OPERATOR,
            answers.change,
            {"body": schemas.PauseWhy, "out": schemas.Changed, **_PAUSED},
        ),
        ("GET", "/workers", _LOOK, answers.workers_, {"out": schemas.Workers}),
        (
            "POST",
            "/workers/{what}",
            Right.OPERATOR,
            answers.tell,
            {"body": schemas.Wish, "out": schemas.Workers, "what": {"enum": ["quiet", "stop"]}},
        ),
        ("GET", "/journals", _LOOK, answers.journals_, {"out": schemas.Journals}),
        (
            "POST",
            "/journals/{name}/history-off",
            Right.APPROVER,
            answers.history_off,
            {"body": schemas.HistoryOff, "out": schemas.HistoryIsOff},
        ),
        (
            "POST",
            "/journals/{name}/{what}",
            Right.OPERATOR,
            answers.care,
            {"body": schemas.Nothing, "out": schemas.Errands, **_CARED_FOR},
        ),
        ("GET", "/history", _LOOK, answers.history_, {"out": schemas.History}),
        (
            "POST",
            "/history/upgrade",
            Right.APPROVER,
            answers.upgrade_history,
            {"body": schemas.Nothing, "out": schemas.Errands},
        ),
        ("POST", "/audit", Right.OPERATOR, answers.audit, {"body": schemas.AuditAsked, "out": schemas.Errands}),
        ("POST", "/doctor", Right.OPERATOR, answers.doctor, {"body": schemas.DoctorAsked, "out": schemas.Errands}),
        ("GET", "/errands", _LOOK, answers.errands_, {"out": schemas.Errands}),
        ("GET", "/errands/{id}", _LOOK, answers.errand, {"out": schemas.Errands}),
        (
            "POST",
            "/errands/{id}/stop",
            Right.OPERATOR,
            answers.stop_errand,
            {"body": schemas.Nothing, "out": schemas.Errands},
        ),
        ("GET", "/kinds", _LOOK, answers.kinds_, {"query": schemas.KindQuery, "out": schemas.Kinds}),
        ("GET", "/actions", _LOOK, answers.actions_, {"query": schemas.ActionQuery, "out": schemas.ActionPage}),
    )
)

DESCRIPTION = Door("GET", f"{_V1}/openapi.json", _LOOK, description(API), api=True)

DOORS: tuple[Door, ...] = (*SCREENS, *API, DESCRIPTION)
