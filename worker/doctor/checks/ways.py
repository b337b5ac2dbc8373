"""What speaks for or against what is on the other side of the network: the ways there, a ledger, the broker."""

from __future__ import annotations

from blnk_relay.bell import queue_of
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE, Settings
from worker.doctor.checks.about import BROKER, About, runbook
from worker.doctor.facts import BrokerFacts, Reach, TargetFacts
from worker.doctor.findings import Finding

#: Days of a certificate below which somebody should renew it.
_DAYS_LEFT = 14.0

#: Bells of one lane that lie in the broker before somebody is missed: one comes each 1.5 s.
UNHEARD = 4


def reached(check: str, of: str, reach: Reach, mend: str, link: str) -> Finding:
    """Whether a place can be reached, and for how long its certificate holds."""
    about = About(check, of, f"name, connection and TLS of {reach.address}", link)
    if reach.skipped:
        return about.ok(reach.skipped)
    done = "; ".join(reach.steps)
    if reach.failure:
        return about.failure("; ".join((*reach.steps, reach.failure)), "nothing can be sent there", mend)
    if reach.days_left is not None and reach.days_left < _DAYS_LEFT:
        why = "when it is over, no connection is made any more"
        return about.warning(done, why, "renew the certificate")
    return about.ok(done)


def scopes(target: TargetFacts) -> Finding:
    """What its credential may read; whether it may write, no read can tell, but the gate of writes does."""
    about = About(
        "scopes", f"target {target.name}", "reads of the ledger for what is not there", runbook("target-refuses")
    )
    if target.skipped:
        return about.unknown(target.skipped, "look with the settings of a worker")
    saw = ", ".join(f"{read.resource} {read.status or read.code}" for read in target.reads)
    statuses = {read.status for read in target.reads}
    payments = [read for read in target.reads if read.resource in ("transactions", "balances")]
    mend = "give it proxy:write and data:read (and proxy:read for tokenized fields and runs); of a Core the master key"
    if 401 in statuses:  # noqa: PLR2004
        return about.failure(saw, "the ledger does not know the credential: it pauses the target", "give it a new key")
    if any(read.status == 403 for read in payments):  # noqa: PLR2004
        return about.failure(saw, "no outcome can be read back, so nothing is ever confirmed", mend)
    if not all(read.status == 200 for read in payments):  # noqa: PLR2004
        return about.failure(saw, "no outcome can be read back now", "see whether the ledger is well")
    if any(read.status == 403 for read in target.reads):  # noqa: PLR2004
        return about.warning(saw, "kinds that need it are not confirmed", mend)
    return about.ok(saw)


def bells(broker: BrokerFacts, settings: Settings) -> Finding:
    """Whether bells gather in the broker."""
    about = About("bells", broker.variable, "messages in the queues of bells, and of what comes by name", BROKER)
    if broker.failure:
        return about.failure(broker.failure, "no work begins, but by the workers' round", "see the sentence")
    if broker.waiting is None:
        return about.ok("not counted: each question to this broker costs money")
    saw = ", ".join(f"{queue} {number}" for queue, number in sorted(broker.waiting.items()))
    unheard = [
        lane for lane in (*settings.lanes, CONFIRM_LANE) if broker.waiting.get(queue_of(settings, lane), 0) >= UNHEARD
    ]
    if unheard:
        why = "workers are away, or do not listen to these lanes"
        return about.warning(
            saw, f"bells of {', '.join(unheard)} are not heard: {why}", "start workers that serve them"
        )
    if broker.waiting.get(queue_of(settings, INGEST_LANE), 0) >= 100:  # noqa: PLR2004
        return about.warning(saw, "what comes by name is not recorded as fast as it comes", "see the log of workers")
    return about.ok(saw)
