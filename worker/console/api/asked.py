"""What goes into the API, as marshmallow has it; made into its description."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from worker.console.api.described import a_text, a_yes

#: What is said of the order of a list.
_ORDER = "newest (as when left out), or oldest: what came into its state first, or has been due for longest."


class Wish(Schema):
    """What a worker is told."""

    name = a_text("Of the worker, or host:pid; left out for all.")
    all = a_yes("All that are alive.")
    count = fields.Integer(metadata={"description": "With all: how many they are; another number is refused."})
    reason = a_text("Why.", required=True, validate=validate.Length(1, 500))


class CauseQuery(Schema):
    """What the causes are narrowed to."""

    dead_class = fields.String(data_key="class")
    kind = a_text()
    code = a_text("- for letters without one.")
    target = a_text()
    since = a_text("An RFC 3339 time, or a span back from now such as 2h.")
    until = a_text("The same.")


class ManyQuery(CauseQuery):
    """Which letters are meant: some condition, or all."""

    all = a_yes("Every dead letter; needed where nothing else says which.")


class ManyPage(ManyQuery):
    """The same on a page."""

    whole = a_yes("Whether each letter is to be looked at, also where they are very many.")


class ManyForm(ManyQuery):
    """What such a page sends."""

    count = a_text()
    reason = a_text()
    form_token = a_text()


class Many(ManyQuery):
    """Which letters, how many they are, and why."""

    count = fields.Integer(required=True, metadata={"description": "As the plan has it; another number is refused."})
    reason = a_text("Kept with each letter.", required=True, validate=validate.Length(1, 500))


class Rebind(Schema):
    """Why, and what was looked at."""

    reason = a_text("Kept beside the target.", required=True, validate=validate.Length(1, 500))
    seen = a_text("The ledger that the journal keeps and that of the settings, with a blank between.", required=True)


class Why(Schema):
    """Why something is done."""

    reason = a_text("Kept with it.", required=True, validate=validate.Length(1, 500))
    seen = a_text(
        "What was looked at, as state, generation and updated with blanks between, and ' perhaps replayed' behind them "
        "where perhaps_replayed is true; then nothing else is acted on."
    )


class PauseWhy(Schema):
    """Why a lane or a target is paused, or goes on."""

    reason = a_text("Kept with it; needed to pause.", validate=validate.Length(0, 500))


class WhyNot(Schema):
    """Why something is done, where that may be left out."""

    reason = a_text("Kept with it.", validate=validate.Length(0, 500))


class ListQuery(Schema):
    """What a list is narrowed to."""

    dead_class = fields.String(data_key="class")
    state = a_text("One or several with commas between; of what is not over, and dead letters, when left out.")
    key = a_text("The intent with this key or id, whatever else is asked for but target.")
    kind = a_text()
    code = a_text("- for those without one.")
    target = a_text()
    since = a_text("An RFC 3339 time, or a span back from now such as 2h.")
    until = a_text("The same.")
    after = a_text("As the page before gave it; with one state.")
    order = a_text(_ORDER)


class LetterQuery(CauseQuery):
    """What a list of dead letters is narrowed to."""

    after = a_text("As the page before gave it.")
    order = a_text(_ORDER)


class FindQuery(Schema):
    """What is looked for; all that is given has to hold."""

    text = a_text("A key, a reference or an id.")
    key = a_text("Its key, or its id in the journal.")
    reference = a_text()
    ledger_id = a_text()
    amount = a_text("In units of the currency.")
    precise_amount = a_text("In minor units.")
    currency = a_text()
    source = a_text()
    destination = a_text()
    meta = fields.List(a_text(), metadata={"description": "Values of meta_data, as name=value."})
    kind = a_text()
    state = a_text()
    outcome = a_text()
    dead_class = fields.String(
        data_key="class", metadata={"description": "Only dead letters of this class, open or discarded."}
    )
    code = a_text()
    target = a_text()
    since = a_text("An RFC 3339 time, or a span back from now such as 2h.")
    until = a_text("The same.")


class ActionQuery(Schema):
    """What the action log is narrowed to."""

    who = a_text()
    what = a_text("What was done: one, or several with commas between.")
    target = a_text()
    since = a_text("An RFC 3339 time, or a span back from now such as 2h.")
    until = a_text("The same.")
    after = a_text("Where the page before has ended, as it said.")


class Nothing(Schema):
    """Nothing: an empty object."""


class HistoryOff(Schema):
    """Why, and what besides."""

    reason = a_text("Kept in the action log.", required=True, validate=validate.Length(1, 500))
    force = a_yes("Also where a worker copied a moment ago.")
    adopt = a_yes("Then go on with what a journal that was lost has copied, which this one has taken the place of.")


class AuditAsked(Schema):
    """What is compared."""

    target = a_text("Needed where there are several.")
    since = a_text("What ended since: an RFC 3339 time, or a span such as 1d.")
    until = a_text("And before: the same.")
    rate = fields.Float(metadata={"description": "Reads of the ledger a second, at most."})
    ours = fields.List(a_text(), metadata={"description": "How references begin that are made through this journal."})
    resume = a_yes("Go on where the last audit of this target had to end.")


class DoctorAsked(Schema):
    """What is checked."""

    target = a_text("This ledger only, its journal and its Redis.")


class KindQuery(Schema):
    """Which kind."""

    name = a_text("All when left out.")
