"""Charts as SVG, drawn here: a browser needs no script for them, and no style that the page's policy would refuse."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

#: Size of a sparkline, in units of its own; the stylesheet says how large it is shown.
_WIDTH, _HEIGHT = 120, 28

#: Most points of a line; a longer one is thinned out.
_MOST_POINTS = 120


def sparkline(values: Sequence[float], label: str) -> Markup:
    """A line of some values, the oldest first, from nothing at the bottom to the largest at the top.

    Args:
        values: The values; none below 0.
        label: What they are, for whoever cannot see it.
    """
    step = max(1, -(-len(values) // _MOST_POINTS))
    kept = list(values[::step]) or [0.0]
    top = max(*kept, 1e-9) if len(kept) > 1 else max(kept[0], 1e-9)
    across = _WIDTH / max(1, len(kept) - 1)
    points = " ".join(
        f"{at * across:.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * value / top:.1f}" for at, value in enumerate(kept)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" role="img" aria-label="{label}" preserveAspectRatio="none">'
        '<polyline points="{points}" fill="none" vector-effect="non-scaling-stroke"/></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, label=label, points=points)


def bar(share: float, label: str) -> Markup:
    """A bar that is filled to a share between 0 and 1."""
    filled = max(0.0, min(1.0, share)) * 100
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" role="img" aria-label="{label}" preserveAspectRatio="none">'
        '<rect class="bar-all" width="100" height="6"/><rect class="bar-part" width="{filled}" height="6"/></svg>'
    ).format(label=label, filled=f"{filled:.1f}")
