"""What goes into the API and what comes out of it, as marshmallow has it; made into its description.

What comes out is what the command line prints with ``--json``; a test holds the two together.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from worker.console.asking import YES
from worker.console.screens.filters import STATES

_TIME = {"description": "RFC 3339 in UTC, with a Z."}
_ORDER = "newest (as when left out), or oldest: what came into its state first, or has been due for longest."


def _text(about: str = "", **more: object) -> fields.String:
    return fields.String(metadata={"description": about} if about else {}, **more)  # type: ignore[arg-type]


def _time() -> fields.String:
    return fields.String(allow_none=True, metadata=_TIME)


def _away(about: str = "Targets of which nothing is in this: nobody could read it.") -> fields.List[str]:
    return fields.List(_text(), metadata={"description": about})


def _whole(about: str = "") -> fields.Integer:
    return fields.Integer(metadata={"description": about} if about else {})


def _yes(about: str) -> fields.Boolean:
    """Something that is wanted or not; a form and a query say it in a word."""
    return fields.Boolean(truthy=set(YES), falsy={False, "no", "false", ""}, metadata={"description": about})


class Intent(Schema):
    """What is known of an intent; never its payload."""

    id = _text()
    key = _text()
    kind = _text()
    target = _text()
    lane = _text()
    state = fields.String(validate=validate.OneOf(STATES))
    outcome = _text()
    transaction_id = _text("Of the ledger's row that proves it.")
    parent_id = _text()
    reference = _text()
    generation = _whole("How often it was given a new reference.")
    dead_class = _text()
    code = _text()
    message = _text("Of the ledger, as it came.")
    attempts = _whole("Counted ones of its present life.")
    created = _time()
    updated = _time()
    deadline = _time()
    waits_for = fields.List(_text(), metadata={"description": "Ids of those that it waits for, at most ten."})
    blocks = _whole("How many wait for it.")
    unreadable = fields.Boolean()
    encrypted = fields.List(_text())
    locked = fields.List(_text())
    perhaps_replayed = fields.Boolean(
        metadata={"description": "In moments that the journal has lost: class and code may be of the life before."}
    )


class Attempt(Schema):
    """One line of an intent's log."""

    at = _time()
    what = _text()
    status = _whole("Of HTTP; 0 for none.")
    code = _text()
    latency_ms = _whole()
    worker = _text("Who did it.")
    note = _text()
    request_id = _text()
    count = _whole("How many ended alike, one after the other.")
    last = _time()


class Plan(Schema):
    """What a replay would do."""

    way = fields.String(validate=validate.OneOf(("same", "fresh", "no")))
    why = _text()


class Neighbour(Intent):
    """An intent that another one waits for, or that waits for it."""

    why = _text("Why it is not over yet, or waits, in words.")


class Neighbours(Schema):
    """What stands around an intent."""

    keeps = _text("What keeps it, in words.")
    ahead = fields.List(fields.Nested(Neighbour))
    more_ahead = _whole("For how many more it waits, at least.")
    behind = fields.List(fields.Nested(Neighbour))
    more = _whole("How many more wait for it.")


class Row(Schema):
    """A leg of a split or an item of a bulk, as the ledger showed it last."""

    number = _whole("Its place in the intent, from 1 on.")
    status = _text()
    transaction_id = _text("Empty where the ledger showed none.")


class Rows(Schema):
    """The ledger's rows of an intent as last read."""

    counts = fields.Dict(keys=fields.String(), values=_whole(), metadata={"description": "How many came to what."})
    first = fields.List(fields.Nested(Row), metadata={"description": "Some of them, the unusual ones among them."})
    more = _whole("How many are not listed.")
    lacking = _text("Why they cannot be told; empty where they can.")


class PastLetter(Schema):
    """What an intent was as a dead letter, by history."""

    died = _time()
    dead_class = _text()
    code = _text()
    message = _text()
    closed = _text("What became of the letter: replayed or discarded; empty for neither.")
    closed_at = _time()


class Recalled(Schema):
    """What history has of an intent that was trimmed from its journal."""

    told = _text("In words.")
    letters = fields.List(fields.Nested(PastLetter))


class IntentWhole(Schema):
    """One intent, with its life and its neighbours."""

    intent = fields.Nested(Intent)
    attempts = fields.List(fields.Nested(Attempt))
    around = fields.Nested(Neighbours)
    rows = fields.Nested(Rows)
    replay = fields.Nested(Plan, allow_none=True, metadata={"description": "Of a dead letter alone."})
    history = fields.Nested(Recalled, metadata={"description": "Only of an intent that was trimmed."})


class IntentPage(Schema):
    """One page of a list."""

    intents = fields.List(fields.Nested(Intent))
    more = fields.Boolean()
    after = _text("To be given for the next page; empty where there is none.")
    away = _away()


class Payload(Schema):
    """A payload: personal data."""

    payload = fields.Dict(keys=fields.String())


class Pause(Schema):
    """Whose pause it is."""

    who = _text()
    reason = _text()
    since = _time()


class Lane(Schema):
    """One lane of a target."""

    lane = _text()
    target = _text()
    due = _whole()
    later = _whole()
    oldest_due_s = fields.Float()
    oldest_open_s = fields.Float()
    oldest_open = _text("Id of the intent that has been open for that long.")
    paused = fields.Boolean()
    pause = fields.Nested(Pause, allow_none=True)
    known = fields.Boolean(metadata={"description": "Whether the settings list it, so that somebody serves it."})


class Gate(Schema):
    """One side of a target that is not simply open."""

    target = _text()
    side = _text()
    state = _text()
    code = _text()
    since = _time()
    lasting_s = fields.Float()
    manual = fields.Boolean()
    who = _text()
    note = _text()
    rate = _whole()


class Lanes(Schema):
    """All lanes, and the gates that are not simply open."""

    lanes = fields.List(fields.Nested(Lane))
    gates = fields.List(fields.Nested(Gate))
    away = _away()


class Died(Schema):
    """Dead letters ever, by kind, class and code."""

    kind = _text()
    dead_class = _text()
    code = _text()
    count = _whole()


class Verdict(Schema):
    """Something that is wrong."""

    sort = _text()
    severity = _text()
    target = _text()
    lane = _text()
    since = _time()
    count = _whole()
    what = _text()
    means = _text()
    remedy = _text("What to do, as in a terminal: a command, or words.")
    intent = _text("Id of the intent to look at first; empty where it is about none.")


class Rate(Schema):
    """How many came and went in a second."""

    minutes = _whole()
    over_s = fields.Float()
    accepted = fields.Float()
    ended = fields.Float()


class Rates(Schema):
    """How fast intents come and go."""

    spans = fields.List(fields.Nested(Rate))
    empty_s = fields.Float(allow_none=True)


class Worker(Schema):
    """A worker program."""

    name = _text()
    host = _text()
    pid = _whole()
    version = _text()
    state = _text()
    seen = _time()
    lanes = fields.List(_text())
    targets = fields.List(_text())
    pool = _text()
    processes = fields.List(_whole())
    connections = _whole()
    busy = _whole()
    in_hand = _whole()
    started = _time()
    memory = _whole()
    unwell = _text()
    held = _whole()
    held_ids = fields.List(_text())
    wish = _text()
    who = _text()
    reason = _text()


class Workers(Schema):
    """Worker programs."""

    workers = fields.List(fields.Nested(Worker))
    away = _away()


class Wish(Schema):
    """What a worker is told."""

    name = _text("Of the worker, or host:pid; left out for all.")
    all = _yes("All that are alive.")
    count = fields.Integer(metadata={"description": "With all: how many they are; another number is refused."})
    reason = _text("Why.", required=True, validate=validate.Length(1, 500))


class Overview(Schema):
    """The journals at a glance; the names are those of ``blnk-relay status --json``."""

    well = fields.Boolean(metadata={"description": "Whether nothing is wrong that is more than a notice."})
    verdicts = fields.List(fields.Nested(Verdict), metadata={"description": "What is wrong, worst first."})
    rates = fields.Nested(Rates)

    open = _whole()
    oldest_open_s = fields.Float()
    waiting = _whole()
    due = _whole()
    later = _whole()
    sending = _whole()
    posted = _whole()
    late = _whole("Open for longer than BLNK_RELAY_LATE_S since they were accepted, at least.")
    oldest_posted_s = fields.Float()
    done = _whole()
    dead = _whole()
    discarded = _whole()
    workers = _whole()
    away = _away()
    lanes = fields.List(fields.Nested(Lane))
    gates = fields.List(fields.Nested(Gate))
    died = fields.List(fields.Nested(Died))
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class Action(Schema):
    """What an operator did."""

    id = _text()
    at = _time()
    what = _text()
    of = _text()
    who = _text()
    via = _text()
    reason = _text()
    result = _text()
    count = _whole()
    results = fields.Dict(keys=fields.String(), values=fields.Integer())
    targets = fields.List(_text())


class ActionPage(Schema):
    """One page of the action log."""

    actions = fields.List(fields.Nested(Action))
    away = _away("Targets whose journals nobody could read: of these it has no more than history does.")
    unread = _text(
        "Why what is older than the journals keep was not read from history; empty where nothing is missing."
    )
    after = _text("To be given for the next page; empty where there is none.")


class OrderCount(Schema):
    """One of the caller's orders, and how many letters it has."""

    order = _text()
    count = _whole()


class Cause(Schema):
    """What some dead letters of one target died of."""

    dead_class = fields.String(data_key="class")
    target = _text()
    kind = _text()
    code = _text()
    count = _whole("How many there are now.")
    first = _time()
    last = _time()
    way = fields.String(validate=validate.OneOf(("same", "fresh", "no")))
    why = _text("What a replay would do.")
    sums = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"description": "By currency, exact."})
    summed = _whole("Of how many letters the sums are.")
    orders = _whole()
    some_orders = fields.List(fields.Nested(OrderCount))
    some_keys = fields.List(_text())


class Causes(Schema):
    """Dead letters by cause, the most letters first."""

    causes = fields.List(fields.Nested(Cause))
    uncounted = _whole("Letters that no cause accounts for.")
    away = _away()


class CauseQuery(Schema):
    """What the causes are narrowed to."""

    dead_class = fields.String(data_key="class")
    kind = _text()
    code = _text("- for letters without one.")
    target = _text()
    since = _text("An RFC 3339 time, or a span back from now such as 2h.")
    until = _text("The same.")


class ManyPlan(Schema):
    """What a replay or a discard of many letters would do."""

    what = _text()
    of = _text()
    count = _whole("Letters that would be acted on.")
    ways = fields.Dict(keys=fields.String(), values=fields.Integer())
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    codes = fields.Dict(keys=fields.String(), values=fields.Integer())
    sums = fields.Dict(keys=fields.String(), values=fields.String())
    summed = _whole()
    more = fields.Boolean()


class ManyQuery(CauseQuery):
    """Which letters are meant: some condition, or all."""

    all = _yes("Every dead letter; needed where nothing else says which.")


class ManyPage(ManyQuery):
    """The same on a page."""

    whole = _yes("Whether each letter is to be looked at, also where they are very many.")


class ManyForm(ManyQuery):
    """What such a page sends."""

    count = _text()
    reason = _text()
    form_token = _text()


class Many(ManyQuery):
    """Which letters, how many they are, and why."""

    count = fields.Integer(required=True, metadata={"description": "As the plan has it; another number is refused."})
    reason = _text("Kept with each letter.", required=True, validate=validate.Length(1, 500))


class Begun(Schema):
    """A job that was begun."""

    job = _text()
    count = _whole()


class Refusal(Schema):
    """A letter that a job left alone."""

    id = _text()
    why = _text()


class Job(Schema):
    """A job, or its part for one target."""

    id = _text()
    target = _text()
    what = _text()
    of = _text()
    who = _text()
    via = _text()
    reason = _text()
    state = _text()
    targets = fields.List(_text(), metadata={"description": "All that have a part of it, as far as it is noted."})
    total = _whole()
    done = _whole()
    refused = _whole()
    left = _whole()
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    sums = fields.Dict(keys=fields.String(), values=fields.String())
    summed = _whole()
    begun = _time()
    ended = _time()
    refusals = fields.List(fields.Nested(Refusal))


class Jobs(Schema):
    """Jobs, newest first."""

    jobs = fields.List(fields.Nested(Job))
    more = fields.Boolean(metadata={"description": "Whether there are older ones than the list shows."})
    away = _away()


class Rebind(Schema):
    """Why, and what was looked at."""

    reason = _text("Kept beside the target.", required=True, validate=validate.Length(1, 500))
    seen = _text("The ledger that the journal keeps and that of the settings, with a blank between.", required=True)


class Rebound(Schema):
    """A target that is bound to another address."""

    target = _text()
    was = fields.String()
    now = fields.String(data_key="is")


class Why(Schema):
    """Why something is done."""

    reason = _text("Kept with it.", required=True, validate=validate.Length(1, 500))
    seen = _text(
        "What was looked at, as state, generation and updated with blanks between, and ' perhaps replayed' behind them "
        "where perhaps_replayed is true; then nothing else is acted on."
    )


class PauseWhy(Schema):
    """Why a lane or a target is paused, or goes on."""

    reason = _text("Kept with it; needed to pause.", validate=validate.Length(0, 500))


class WhyNot(Schema):
    """Why something is done, where that may be left out."""

    reason = _text("Kept with it.", validate=validate.Length(0, 500))


class Done(Schema):
    """What was done."""

    said = _text()
    intent = fields.Nested(Intent)


class Changed(Schema):
    """What a pause or a resume did."""

    changed = fields.Boolean()
    pause = fields.Nested(Pause, allow_none=True, metadata={"description": "The pause that stands, or has ended."})


class Error(Schema):
    """What went wrong."""

    type = _text()
    message = _text()
    status = _whole()


class Failure(Schema):
    """What every answer is that is no success."""

    error = fields.Nested(Error)


class ListQuery(Schema):
    """What a list is narrowed to."""

    dead_class = fields.String(data_key="class")
    state = _text("One or several with commas between; of what is not over, and dead letters, when left out.")
    key = _text("The intent with this key or id, whatever else is asked for but target.")
    kind = _text()
    code = _text("- for those without one.")
    target = _text()
    since = _text("An RFC 3339 time, or a span back from now such as 2h.")
    until = _text("The same.")
    after = _text("As the page before gave it; with one state.")
    order = _text(_ORDER)


class LetterQuery(CauseQuery):
    """What a list of dead letters is narrowed to."""

    after = _text("As the page before gave it.")
    order = _text(_ORDER)


class Found(Intent):
    """An intent that was found."""

    where = fields.String(validate=validate.OneOf(("journal", "history")))


class Looked(Schema):
    """One place that was looked at."""

    place = _text()
    whole = fields.Boolean(metadata={"description": "Whether all that is there was looked at."})
    told = _text()
    read = fields.Boolean(metadata={"description": "Whether it could be looked at."})


class FindResult(Schema):
    """What was found, the newest first, and where was looked."""

    intents = fields.List(fields.Nested(Found))
    more = fields.Boolean()
    looked = fields.List(fields.Nested(Looked))
    hints = fields.List(_text(), metadata={"description": "What may be mistyped, where nothing was found."})


class FindQuery(Schema):
    """What is looked for; all that is given has to hold."""

    text = _text("A key, a reference or an id.")
    key = _text("Its key, or its id in the journal.")
    reference = _text()
    ledger_id = _text()
    amount = _text("In units of the currency.")
    precise_amount = _text("In minor units.")
    currency = _text()
    source = _text()
    destination = _text()
    meta = fields.List(_text(), metadata={"description": "Values of meta_data, as name=value."})
    kind = _text()
    state = _text()
    outcome = _text()
    dead_class = fields.String(
        data_key="class", metadata={"description": "Only dead letters of this class, open or discarded."}
    )
    code = _text()
    target = _text()
    since = _text("An RFC 3339 time, or a span back from now such as 2h.")
    until = _text("The same.")


class ActionQuery(Schema):
    """What the action log is narrowed to."""

    who = _text()
    what = _text("What was done: one, or several with commas between.")
    target = _text()
    since = _text("An RFC 3339 time, or a span back from now such as 2h.")
    until = _text("The same.")
    after = _text("Where the page before has ended, as it said.")


class Nothing(Schema):
    """Nothing: an empty object."""


class Journal(Schema):
    """One journal as a whole."""

    target = _text()
    recorded = _text("The ledger that the journal keeps; empty while it is not used.")
    settings = _text("That of the settings.")
    shape = _text()
    named = fields.Boolean(metadata={"description": "Whether the settings name the target."})
    note = _text("What is wrong; empty where nothing is.")


class Journals(Schema):
    """All journals that can be reached."""

    journals = fields.List(fields.Nested(Journal))
    away = _away()


class Lag(Schema):
    """How far one journal is copied into history."""

    target = _text()
    on = fields.Boolean()
    uncopied = _whole()
    oldest_s = fields.Float()
    walking = _whole()
    held = _whole()
    seen_s = fields.Float(allow_none=True)
    trouble = _text()
    trouble_s = fields.Float()
    begun_s = fields.Float(allow_none=True)


class History(Schema):
    """The database of history, and how far the journals are copied."""

    database = _text("Without its secrets; empty where there is none.")
    revision = _text()
    trouble = _text()
    rows = fields.Dict(keys=fields.String(), values=fields.Integer())
    journals = fields.List(fields.Nested(Lag))
    away = _away()


class HistoryOff(Schema):
    """Why, and what besides."""

    reason = _text("Kept in the action log.", required=True, validate=validate.Length(1, 500))
    force = _yes("Also where a worker copied a moment ago.")
    adopt = _yes("Then go on with what a journal that was lost has copied, which this one has taken the place of.")


class NotCopied(Schema):
    """A target whose history is off."""

    target = _text()
    not_copied = _whole()


class HistoryIsOff(Schema):
    """Targets whose history is off."""

    targets = fields.List(fields.Nested(NotCopied))


class AuditAsked(Schema):
    """What is compared."""

    target = _text("Needed where there are several.")
    since = _text("What ended since: an RFC 3339 time, or a span such as 1d.")
    until = _text("And before: the same.")
    rate = fields.Float(metadata={"description": "Reads of the ledger a second, at most."})
    ours = fields.List(_text(), metadata={"description": "How references begin that are made through this journal."})
    resume = _yes("Go on where the last audit of this target had to end.")


class DoctorAsked(Schema):
    """What is checked."""

    target = _text("This ledger only, its journal and its Redis.")


class Errand(Schema):
    """Something that takes a while, and goes on in the console."""

    id = _text()
    what = _text()
    of = _text()
    target = _text()
    who = _text()
    via = _text()
    begun = _time()
    ended = _time()
    state = fields.String(validate=validate.OneOf(("running", "done", "stopped", "failed")))
    looked_at = _whole()
    said = _text()
    well = fields.Boolean(metadata={"description": "Whether there is nothing to be done about it."})
    result = fields.Dict(
        keys=fields.String(),
        metadata={"description": "As the command line prints it as JSON; its `mend` is what to do in a terminal."},
    )


class Errands(Schema):
    """Errands, the newest first."""

    errands = fields.List(fields.Nested(Errand))


class KindQuery(Schema):
    """Which kind."""

    name = _text("All when left out.")


class UnknownEnd(Schema):
    """An end of which nobody can tell whether it happened."""

    code = _text()
    why = _text()
    replay = _text()


class Kind(Schema):
    """One kind of writes."""

    kind = _text()
    method = _text()
    path = _text()
    also = fields.List(_text())
    summary = _text()
    lane = _text()
    confirmed = _text()
    unknown_ends = fields.List(fields.Nested(UnknownEnd), data_key="unknown")


class Kinds(Schema):
    """Kinds of writes."""

    kinds = fields.List(fields.Nested(Kind))
