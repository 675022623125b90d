"""Pending and recovery periods: how long a series has to be bad, or well again, before its state follows.

Nothing is remembered between evaluations: the states at all moments that matter are computed from one answer, so a
restart in the middle of a pending period knows as much as a process that was there from the beginning.
"""

import dataclasses
from collections.abc import Sequence

from ombak.api.health import State


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """The state after the last moment; None where the moments cannot tell. `is_pending`: bad, not yet for long."""

    state: State | None
    is_pending: bool = False


def settle(states: Sequence[State | None], pending: int, recovery: int) -> Settled:
    """The state that follows from the states at moments one period apart, oldest first (at least one).

    ALARM after `pending` + 1 bad moments in a row, so that it was bad for at least that many periods, OK after
    `recovery` + 1 good ones. INSUFFICIENT_DATA and None (the points of that moment do not tell) are neither, and
    begin the count anew. The first moment without data says that the series begins here: it begins OK.
    """
    if states[-1] is None or states[-1] is State.INSUFFICIENT_DATA:
        return Settled(states[-1])
    state = State.OK if states[0] is State.INSUFFICIENT_DATA else None
    bad = well = 0
    for each in states:
        bad = bad + 1 if each is State.ALARM else 0
        well = well + 1 if each is State.OK else 0
        if bad > pending:
            state = State.ALARM
        elif well > recovery:
            state = State.OK
    return Settled(state, is_pending=states[-1] is State.ALARM and state is not State.ALARM)
