"""Bringing a journal to the newest shape: by an operator's word, because nobody else knows that the older code is gone.

Producers give no sign of life, so no worker can see that the last older one has ended; and whoever raised the shape
under one would shut it out. Until that word newer code works with the older shape, and so side by side with older code.

While a journal is brought from one shape to the next, that is what is noted as its shape (``1>2``), and everybody
else is refused: nobody meets a journal of two shapes. What was killed half way leaves just that, and goes on when the
same is asked for again. Two that do it at once do the same twice, which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from blnk_relay.errors import Refused
from blnk_relay.journal import shape
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade of one journal has done.

    Attributes:
        target: Whose journal it is.
        before: The shape that it had, as it was noted; empty where nothing was recorded yet.
        after: The shape that it has.
    """

    target: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.before not in ("", self.after)


def upgrade_flow(settings: Settings, target: str) -> Flow[Upgraded]:
    """Bring a journal to the newest shape that this code knows.

    Args:
        settings: After which silence a worker program is dead.
        target: Whose journal it is.

    Raises:
        Refused: A worker program is alive that does not know that shape; nothing was changed.
        OtherShape: It has a shape that this code does not know.
    """
    prefix = settings.prefix(target)
    noted = before = yield from shape_flow(prefix)
    if noted and noted != str(shape.NEWEST) and ">" not in noted:
        yield from _nobody_left_behind(settings, target)
    while noted and noted != str(shape.NEWEST):
        noted = yield from _one_step(noted, prefix)
    return Upgraded(target, before, noted or str(shape.NEWEST))


def shape_flow(prefix: str) -> Flow[str]:
    """The shape that is noted in a journal; empty for none yet."""
    [noted] = yield Ask((("HGET", f"{prefix}ground", "shape"),))
    return noted or ""


def programs_flow(settings: Settings, target: str) -> Flow[tuple[shape.Program, ...]]:
    """Worker programs that are alive in a journal.

    Raises:
        OtherShape: It has a shape that this code does not know.
    """
    now_ms, _ = yield Run("now", ())
    silent_ms = now_ms - int(settings.dead_worker_s * 1000)
    [alive] = yield Ask((("ZRANGEBYSCORE", f"{settings.prefix(target)}alive", silent_ms, "+inf"),))
    return tuple(map(shape.program_of, alive))


def _nobody_left_behind(settings: Settings, target: str) -> Flow[None]:
    programs = yield from programs_flow(settings, target)
    older = [program for program in programs if program.shape < shape.NEWEST]
    if older:
        names = ", ".join(f"{program.name} ({program.version or 'of before'})" for program in older[:5])
        raise Refused(
            f"the journal of target {target!r} is not brought to shape {shape.NEWEST}: worker programs are alive that "
            f"do not know it ({len(older)}: {names}). Stop them, and producers of their version, and ask again"
        )


def _one_step(noted: str, prefix: str) -> Flow[str]:
    """From the shape that is noted, or from half way, to the next; returns what is noted then."""
    origin, _, to = noted.partition(">")
    to = to or (str(int(origin) + 1) if origin.isdigit() else "")
    step = shape.STEPS.get(int(to)) if to.isdigit() else None
    if step is None:
        raise shape.other_shape(noted, prefix)
    under_way = f"{origin}>{to}"
    if noted != under_way and (found := (yield Run("upgrade", (noted, under_way)))) != under_way:
        # Somebody else was faster.
        return str(found)
    reached = yield Run(step, (under_way, ""))
    while reached != "":
        reached = yield Run(step, (under_way, reached))
    return str((yield Run("upgrade", (under_way, to))))
