"""Everything that can be asked for: each with the right that it takes. Tests walk through all of it."""

from __future__ import annotations

from worker.console.asking import Door
from worker.console.screens import intents, lanes, letters, overview
from worker.console.signin.rights import Right

_LOOK = Right.VIEWER

#: Screens, and the acts that their forms send. A GET never changes anything.
SCREENS: tuple[Door, ...] = (
    Door("GET", "/", _LOOK, overview.overview),
    Door("GET", "/intents", _LOOK, intents.intents),
    Door("GET", "/intents/{target}/{id}", _LOOK, intents.intent),
    Door("POST", "/intents/{target}/{id}/payload", Right.PAYLOAD, intents.payload),
    Door("GET", "/intents/{target}/{id}/{what}", _LOOK, letters.confirm),
    Door("POST", "/intents/{target}/{id}/{what}", Right.OPERATOR, letters.act),
    Door("GET", "/letters", _LOOK, letters.letters),
    Door("GET", "/lanes", _LOOK, lanes.lanes),
    Door("GET", "/lanes/{sort}/{name}/{what}", _LOOK, lanes.confirm),
    Door("POST", "/lanes/{sort}/{name}/{what}", Right.OPERATOR, lanes.act),
)

DOORS: tuple[Door, ...] = SCREENS
