"""Stretches of time that are proven to have been good, from judgements at single moments; pure."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

Stretch: TypeAlias = tuple[datetime, datetime]
"""From, until (aware UTC)."""


def good_stretches(looks: Sequence[tuple[datetime, bool]]) -> tuple[Stretch, ...]:
    """Where two looks that follow each other were both good, the time between them was; looks are in order of time.

    As in the ledger: what is good at one end only proves nothing of the time between.
    """
    found: list[Stretch] = []
    for (start, was_good), (end, is_good) in itertools.pairwise(looks):
        if not (was_good and is_good):
            continue
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return tuple(found)


def clipped(stretches: Iterable[Stretch], since: datetime, until: datetime) -> tuple[Stretch, ...]:
    """What of them lies between two moments."""
    cut = ((max(start, since), min(end, until)) for start, end in stretches)
    return tuple((start, end) for start, end in cut if start < end)


def length_of(stretches: Iterable[Stretch]) -> timedelta:
    """How long they are together."""
    return sum((end - start for start, end in stretches), timedelta(0))
