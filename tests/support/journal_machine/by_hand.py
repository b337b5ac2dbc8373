"""What people do, as the machine plays it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from blnk_relay import NotFound, Refused, TooLate
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.states import OPEN
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.status import Status, moment
from tests.support.journal_machine.machine import Machine
from tests.support.journal_machine.model import KEYS, LANES, LATER_MS, Gate


class ByHand(Machine):
    """Cancelling, replaying, discarding, pausing."""

    @precondition(lambda self: self._any(*OPEN))
    @rule(key=st.sampled_from(KEYS))
    def cancel(self, key: str) -> None:
        id_ = id_of(DEFAULT_TARGET, key)
        item = self.items.get(id_)
        if item is None:
            with pytest.raises(NotFound):
                self.relay.cancel(key)
            return
        if item.trimmed:
            with pytest.raises(NotFound):
                self.relay.cancel(key)
            return
        if item.state in ("waiting", "ready") and not item.sent and not item.lapsed:
            assert self.relay.cancel(key).state == "cancelled"
            item.state = "cancelled"
            self.counts["cancelled"] += 1
            self._close(id_)
            self._release(id_)
        elif item.state == "cancelled":
            assert self.relay.cancel(key).state == "cancelled"
        else:
            with pytest.raises(TooLate):
                self.relay.cancel(key)

    def _died_again(self, status: Status) -> bool:
        """Whether a letter has had another life since it was looked at, though it died of the same."""
        died = self.client.zscore(self.journal.key("dead"), status.id)
        return died is not None and status.updated != moment(int(died))

    @precondition(lambda self: self.remembered)
    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        status = data.draw(st.sampled_from(self.remembered))
        item = self.items[status.id]
        fresh = status.dead_class == "rejected"
        reference = of_generation(item.reference, status.generation + 1)
        refused = (
            (fresh and item.kind != "transaction")
            or item.state != "dead"
            or status.code == "DEPENDENCY_CLOSED"
            or (status.generation, status.dead_class, status.code) != (item.generation, *item.dead)
            or self._died_again(status)
            or (fresh and self._taken(reference, status.id))
        )
        before = self._dump(item)
        if refused:
            with pytest.raises((Refused, NotFound)):
                self.operator.replay(status, who="me", reason="a test")
            assert self._dump(item) == before
            return
        self.operator.replay(status, who="me", reason="because")
        self.counts[f"replayed|{item.kind}"] += 1
        item.lives += 1
        if fresh:
            item.generation += 1
            item.sent = item.lapsed = False
            item.memo = ""
            self.named[reference] = status.id
        # It has the settings' patience from now on, whatever it had before.
        item.expires = False
        held = self._held(status.id)
        item.state = "posted" if item.sent or item.lapsed else "waiting" if held else "ready"
        item.claims, item.looks, item.looker, item.due, item.dead = 0, 0, "", True, ("", "")
        item.charged = item.blamed = ()
        item.token += 1
        rung = "confirm" if item.state == "posted" else item.lane
        assert (
            item.state == "waiting" or rung in self.bells.rung or self.client.exists(self.journal.key(f"bell:{rung}"))
        )

    def _taken(self, reference: str, by: str) -> bool:
        """Whether a reference belongs to another intent: by name, or because it is the reference of its key."""
        return self.named.get(reference, by) != by or id_of(DEFAULT_TARGET, reference) in self.items

    @precondition(lambda self: self.remembered)
    @rule(data=st.data())
    def discard(self, data: Any) -> None:
        status = data.draw(st.sampled_from(self.remembered))
        item = self.items[status.id]
        if item.state == "discarded":
            before = self._dump(item)
            with pytest.raises(Refused):
                self.operator.discard(status, who="me", reason="once more")
            assert self._dump(item) == before, "the first word stands"
            return
        looked_at = (status.generation, status.dead_class, status.code)
        if item.state != "dead" or looked_at != (item.generation, *item.dead) or self._died_again(status):
            before = self._dump(item)
            with pytest.raises(NotFound if item.trimmed else Refused):
                self.operator.discard(status, who="me", reason="because")
            assert self._dump(item) == before
            return
        self.operator.discard(status, who="me", reason="because")
        item.state = "discarded"
        self.counts[f"discarded|{item.kind}"] += 1
        self._close(status.id)
        self._release(status.id)

    @precondition(lambda self: self._any("ready", "posted") and not self._anything_paused(twice=True))
    @rule(what=st.sampled_from((*LANES, "write", "read")), manual=st.booleans())
    def pause(self, what: str, manual: bool) -> None:
        if what in LANES:
            self.operator.pause_lane(what, who="me")
            self.paused.add(what)
            return
        gate = self.gates[what]
        news = not gate.paused or (manual and not gate.manual)
        name, code = what, "OPERATOR" if manual else "HTTP_401"
        answer = self.journal.scripts.run("gate", name, "pause", code, LATER_MS, str(int(manual)), "")
        assert bool(answer[0]) == news
        if news:
            self.gates[what] = Gate(paused=True, manual=manual)
            self.counts[f"gate_paused|{code}"] += 1

    @precondition(lambda self: self._anything_paused())
    @rule()
    def resume(self) -> None:
        for lane in LANES:
            assert bool(self.operator.resume_lane(lane)) == (lane in self.paused)
        assert bool(self.operator.resume_target(DEFAULT_TARGET)) == any(gate.paused for gate in self.gates.values())
        self.paused.clear()
        self.gates = {"write": Gate(), "read": Gate()}
