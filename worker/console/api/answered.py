"""What comes out of the API, as marshmallow has it; made into its description.

It is what the command line prints with ``--json``; a test holds the two together.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from worker.console.api.described import a_number, a_text, a_time, targets_away
from worker.console.screens.filters import STATES


class Intent(Schema):
    """What is known of an intent; never its payload."""

    id = a_text()
    key = a_text()
    kind = a_text()
    target = a_text()
    lane = a_text()
    state = fields.String(validate=validate.OneOf(STATES))
    outcome = a_text()
    transaction_id = a_text("Of the ledger's row that proves it.")
    parent_id = a_text()
    reference = a_text()
    generation = a_number("How often it was given a new reference.")
    dead_class = a_text()
    code = a_text()
    message = a_text("Of the ledger, as it came.")
    attempts = a_number("Counted ones of its present life.")
    created = a_time()
    updated = a_time()
    deadline = a_time()
    waits_for = fields.List(a_text(), metadata={"description": "Ids of those that it waits for, at most ten."})
    blocks = a_number("How many wait for it.")
    unreadable = fields.Boolean()
    encrypted = fields.List(a_text())
    locked = fields.List(a_text())
    perhaps_replayed = fields.Boolean(
        metadata={"description": "In moments that the journal has lost: class and code may be of the life before."}
    )


class Attempt(Schema):
    """One line of an intent's log."""

    at = a_time()
    what = a_text()
    status = a_number("Of HTTP; 0 for none.")
    code = a_text()
    latency_ms = a_number()
    worker = a_text("Who did it.")
    note = a_text()
    request_id = a_text()
    count = a_number("How many ended alike, one after the other.")
    last = a_time()


class Plan(Schema):
    """What a replay would do."""

    way = fields.String(validate=validate.OneOf(("same", "fresh", "no")))
    why = a_text()


class Neighbour(Intent):
    """An intent that another one waits for, or that waits for it."""

    why = a_text("Why it is not over yet, or waits, in words.")


class Neighbours(Schema):
    """What stands around an intent."""

    keeps = a_text("What keeps it, in words.")
    ahead = fields.List(fields.Nested(Neighbour))
    more_ahead = a_number("For how many more it waits, at least.")
    behind = fields.List(fields.Nested(Neighbour))
    more = a_number("How many more wait for it.")


class Row(Schema):
    """A leg of a split or an item of a bulk, as the ledger showed it last."""

    number = a_number("Its place in the intent, from 1 on.")
    status = a_text()
    transaction_id = a_text("Empty where the ledger showed none.")


class Rows(Schema):
    """The ledger's rows of an intent as last read."""

    counts = fields.Dict(keys=fields.String(), values=a_number(), metadata={"description": "How many came to what."})
    first = fields.List(fields.Nested(Row), metadata={"description": "Some of them, the unusual ones among them."})
    more = a_number("How many are not listed.")
    lacking = a_text("Why they cannot be told; empty where they can.")


class PastLetter(Schema):
    """What an intent was as a dead letter, by history."""

    died = a_time()
    dead_class = a_text()
    code = a_text()
    message = a_text()
    closed = a_text("What became of the letter: replayed or discarded; empty for neither.")
    closed_at = a_time()


class Recalled(Schema):
    """What history has of an intent that was trimmed from its journal."""

    told = a_text("In words.")
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
    after = a_text("To be given for the next page; empty where there is none.")
    away = targets_away()


class Payload(Schema):
    """A payload: personal data."""

    payload = fields.Dict(keys=fields.String())


class Pause(Schema):
    """Whose pause it is."""

    who = a_text()
    reason = a_text()
    since = a_time()


class Lane(Schema):
    """One lane of a target."""

    lane = a_text()
    target = a_text()
    due = a_number()
    later = a_number()
    oldest_due_s = fields.Float()
    oldest_open_s = fields.Float()
    oldest_open = a_text("Id of the intent that has been open for that long.")
    paused = fields.Boolean()
    pause = fields.Nested(Pause, allow_none=True)
    known = fields.Boolean(metadata={"description": "Whether the settings list it, so that somebody serves it."})


class Gate(Schema):
    """One side of a target that is not simply open."""

    target = a_text()
    side = a_text()
    state = a_text()
    code = a_text()
    since = a_time()
    lasting_s = fields.Float()
    manual = fields.Boolean()
    who = a_text()
    note = a_text()
    rate = a_number()


class Lanes(Schema):
    """All lanes, and the gates that are not simply open."""

    lanes = fields.List(fields.Nested(Lane))
    gates = fields.List(fields.Nested(Gate))
    away = targets_away()


class Died(Schema):
    """Dead letters ever, by kind, class and code."""

    kind = a_text()
    dead_class = a_text()
    code = a_text()
    count = a_number()


class Verdict(Schema):
    """Something that is wrong."""

    sort = a_text()
    severity = a_text()
    target = a_text()
    lane = a_text()
    since = a_time()
    count = a_number()
    what = a_text()
    means = a_text()
    remedy = a_text("What to do, as in a terminal: a command, or words.")
    intent = a_text("Id of the intent to look at first; empty where it is about none.")


class Rate(Schema):
    """How many came and went in a second."""

    minutes = a_number()
    over_s = fields.Float()
    accepted = fields.Float()
    ended = fields.Float()


class Rates(Schema):
    """How fast intents come and go."""

    spans = fields.List(fields.Nested(Rate))
    empty_s = fields.Float(allow_none=True)


class Worker(Schema):
    """A worker program."""

    name = a_text()
    host = a_text()
    pid = a_number()
    version = a_text()
    state = a_text()
    seen = a_time()
    lanes = fields.List(a_text())
    targets = fields.List(a_text())
    pool = a_text()
    processes = fields.List(a_number())
    connections = a_number()
    busy = a_number()
    in_hand = a_number()
    started = a_time()
    memory = a_number()
    unwell = a_text()
    held = a_number()
    held_ids = fields.List(a_text())
    wish = a_text()
    who = a_text()
    reason = a_text()


class Workers(Schema):
    """Worker programs."""

    workers = fields.List(fields.Nested(Worker))
    away = targets_away()


class Overview(Schema):
    """The journals at a glance; the names are those of ``blnk-relay status --json``."""

    well = fields.Boolean(metadata={"description": "Whether nothing is wrong that is more than a notice."})
    verdicts = fields.List(fields.Nested(Verdict), metadata={"description": "What is wrong, worst first."})
    rates = fields.Nested(Rates)

    open = a_number()
    oldest_open_s = fields.Float()
    waiting = a_number()
    due = a_number()
    later = a_number()
    sending = a_number()
    posted = a_number()
    late = a_number("Open for longer than BLNK_RELAY_LATE_S since they were accepted, at least.")
    oldest_posted_s = fields.Float()
    done = a_number()
    dead = a_number()
    discarded = a_number()
    workers = a_number()
    away = targets_away()
    lanes = fields.List(fields.Nested(Lane))
    gates = fields.List(fields.Nested(Gate))
    died = fields.List(fields.Nested(Died))
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class Action(Schema):
    """What an operator did."""

    id = a_text()
    at = a_time()
    what = a_text()
    of = a_text()
    who = a_text()
    via = a_text()
    reason = a_text()
    result = a_text()
    count = a_number()
    results = fields.Dict(keys=fields.String(), values=fields.Integer())
    targets = fields.List(a_text())


class ActionPage(Schema):
    """One page of the action log."""

    actions = fields.List(fields.Nested(Action))
    away = targets_away("Targets whose journals nobody could read: of these it has no more than history does.")
    unread = a_text(
        "Why what is older than the journals keep was not read from history; empty where nothing is missing."
    )
    after = a_text("To be given for the next page; empty where there is none.")


class OrderCount(Schema):
    """One of the caller's orders, and how many letters it has."""

    order = a_text()
    count = a_number()


class Cause(Schema):
    """What some dead letters of one target died of."""

    dead_class = fields.String(data_key="class")
    target = a_text()
    kind = a_text()
    code = a_text()
    count = a_number("How many there are now.")
    first = a_time()
    last = a_time()
    way = fields.String(validate=validate.OneOf(("same", "fresh", "no")))
    why = a_text("What a replay would do.")
    sums = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"description": "By currency, exact."})
    summed = a_number("Of how many letters the sums are.")
    orders = a_number()
    some_orders = fields.List(fields.Nested(OrderCount))
    some_keys = fields.List(a_text())


class Causes(Schema):
    """Dead letters by cause, the most letters first."""

    causes = fields.List(fields.Nested(Cause))
    uncounted = a_number("Letters that no cause accounts for.")
    away = targets_away()


class ManyPlan(Schema):
    """What a replay or a discard of many letters would do."""

    what = a_text()
    of = a_text()
    count = a_number("Letters that would be acted on.")
    ways = fields.Dict(keys=fields.String(), values=fields.Integer())
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    codes = fields.Dict(keys=fields.String(), values=fields.Integer())
    sums = fields.Dict(keys=fields.String(), values=fields.String())
    summed = a_number()
    more = fields.Boolean()


class Begun(Schema):
    """A job that was begun."""

    job = a_text()
    count = a_number()


class Refusal(Schema):
    """A letter that a job left alone."""

    id = a_text()
    why = a_text()


class Job(Schema):
    """A job, or its part for one target."""

    id = a_text()
    target = a_text()
    what = a_text()
    of = a_text()
    who = a_text()
    via = a_text()
    reason = a_text()
    state = a_text()
    targets = fields.List(a_text(), metadata={"description": "All that have a part of it, as far as it is noted."})
    total = a_number()
    done = a_number()
    refused = a_number()
    left = a_number()
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    sums = fields.Dict(keys=fields.String(), values=fields.String())
    summed = a_number()
    begun = a_time()
    ended = a_time()
    refusals = fields.List(fields.Nested(Refusal))


class Jobs(Schema):
    """Jobs, newest first."""

    jobs = fields.List(fields.Nested(Job))
    more = fields.Boolean(metadata={"description": "Whether there are older ones than the list shows."})
    away = targets_away()


class Rebound(Schema):
    """A target that is bound to another address."""

    target = a_text()
    was = fields.String()
    now = fields.String(data_key="is")


class Done(Schema):
    """What was done."""

    said = a_text()
    intent = fields.Nested(Intent)


class Changed(Schema):
    """What a pause or a resume did."""

    changed = fields.Boolean()
    pause = fields.Nested(Pause, allow_none=True, metadata={"description": "The pause that stands, or has ended."})


class Error(Schema):
    """What went wrong."""

    type = a_text()
    message = a_text()
    status = a_number()


class Failure(Schema):
    """What every answer is that is no success."""

    error = fields.Nested(Error)


class Found(Intent):
    """An intent that was found."""

    where = fields.String(validate=validate.OneOf(("journal", "history")))


class Looked(Schema):
    """One place that was looked at."""

    place = a_text()
    whole = fields.Boolean(metadata={"description": "Whether all that is there was looked at."})
    told = a_text()
    read = fields.Boolean(metadata={"description": "Whether it could be looked at."})


class FindResult(Schema):
    """What was found, the newest first, and where was looked."""

    intents = fields.List(fields.Nested(Found))
    more = fields.Boolean()
    looked = fields.List(fields.Nested(Looked))
    hints = fields.List(a_text(), metadata={"description": "What may be mistyped, where nothing was found."})


class Journal(Schema):
    """One journal as a whole."""

    target = a_text()
    recorded = a_text("The ledger that the journal keeps; empty while it is not used.")
    settings = a_text("That of the settings.")
    shape = a_text()
    named = fields.Boolean(metadata={"description": "Whether the settings name the target."})
    note = a_text("What is wrong; empty where nothing is.")


class Journals(Schema):
    """All journals that can be reached."""

    journals = fields.List(fields.Nested(Journal))
    away = targets_away()


class Lag(Schema):
    """How far one journal is copied into history."""

    target = a_text()
    on = fields.Boolean()
    uncopied = a_number()
    oldest_s = fields.Float()
    walking = a_number()
    held = a_number()
    seen_s = fields.Float(allow_none=True)
    trouble = a_text()
    trouble_s = fields.Float()
    begun_s = fields.Float(allow_none=True)


class History(Schema):
    """The database of history, and how far the journals are copied."""

    database = a_text("Without its secrets; empty where there is none.")
    revision = a_text()
    trouble = a_text()
    rows = fields.Dict(keys=fields.String(), values=fields.Integer())
    journals = fields.List(fields.Nested(Lag))
    away = targets_away()


class NotCopied(Schema):
    """A target whose history is off."""

    target = a_text()
    not_copied = a_number()


class HistoryIsOff(Schema):
    """Targets whose history is off."""

    targets = fields.List(fields.Nested(NotCopied))


class Errand(Schema):
    """Something that takes a while, and goes on in the console."""

    id = a_text()
    what = a_text()
    of = a_text()
    target = a_text()
    who = a_text()
    via = a_text()
    begun = a_time()
    ended = a_time()
    state = fields.String(validate=validate.OneOf(("running", "done", "stopped", "failed")))
    looked_at = a_number()
    said = a_text()
    well = fields.Boolean(metadata={"description": "Whether there is nothing to be done about it."})
    result = fields.Dict(
        keys=fields.String(),
        metadata={"description": "As the command line prints it as JSON; its `mend` is what to do in a terminal."},
    )


class Errands(Schema):
    """Errands, the newest first."""

    errands = fields.List(fields.Nested(Errand))


class UnknownEnd(Schema):
    """An end of which nobody can tell whether it happened."""

    code = a_text()
    why = a_text()
    replay = a_text()


class Kind(Schema):
    """One kind of writes."""

    kind = a_text()
    method = a_text()
    path = a_text()
    also = fields.List(a_text())
    summary = a_text()
    lane = a_text()
    confirmed = a_text()
    unknown_ends = fields.List(fields.Nested(UnknownEnd), data_key="unknown")


class Kinds(Schema):
    """Kinds of writes."""

    kinds = fields.List(fields.Nested(Kind))
