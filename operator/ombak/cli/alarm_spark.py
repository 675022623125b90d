"""Lines of characters that show values and states over time in a terminal."""

from collections.abc import Sequence
from typing import TypeVar

from ombak.alarms.verdict import State

WIDTH = 72
_LEVELS = "▁▂▃▄▅▆▇█"
_SIGNS = {State.ALARM: "#", State.OK: ".", None: "?", State.INSUFFICIENT_DATA: "?"}
_T = TypeVar("_T")


def spark_values(values: Sequence[float | None], width: int = WIDTH, *, lowest: bool = False) -> str:
    """The largest (or the lowest) value in each of at most `width` stretches, on a scale of all; a gap is a space."""
    stretches = _stretches(values, width)
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    worst = min if lowest else max
    tops = (worst((value for value in stretch if value is not None), default=None) for stretch in stretches)
    return "".join(" " if top is None else _LEVELS[round((top - low) * scale)] for top in tops)


def spark_states(states: Sequence[State | None], width: int = WIDTH) -> str:
    """What matters most in each stretch: ALARM before unknown before OK."""
    return "".join(_SIGNS[_gravest(stretch)] for stretch in _stretches(states, width))


def _gravest(states: Sequence[State | None]) -> State | None:
    if State.ALARM in states:
        return State.ALARM
    return State.OK if all(state is State.OK for state in states) else None


def _stretches(items: Sequence[_T], width: int) -> list[Sequence[_T]]:
    """At most `width` parts of nearly the same length, none of them empty."""
    count = min(width, len(items))
    return [items[index * len(items) // count : (index + 1) * len(items) // count] for index in range(count)]
