"""Arithmetic of stretches of time: half-open, in UTC, sorted, and never touching each other."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]
"""From the first moment in it to the first one after it."""
Spans = tuple[Span, ...]


def union(spans: Iterable[Span]) -> Spans:
    """Return stretches in any order as one sorted list; what is empty is dropped, what touches is joined."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def intersect(left: Spans, right: Spans) -> Spans:
    """Return the time that is in both."""
    found: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def subtract(spans: Spans, taken: Spans) -> Spans:
    """Return the time that is in `spans` and not in `taken`."""
    found: list[Span] = []
    j = 0
    for start, end in spans:
        while j < len(taken) and taken[j][1] <= start:
            j += 1
        at, k = start, j
        while k < len(taken) and taken[k][0] < end:
            if taken[k][0] > at:
                found.append((at, taken[k][0]))
            at = taken[k][1]
            k += 1
        if at < end:
            found.append((at, end))
    return tuple(found)


def shifted(spans: Spans, by: timedelta) -> Spans:
    """Return the same stretches, earlier or later."""
    return tuple((start + by, end + by) for start, end in spans)


def clipped(spans: Spans, since: datetime, until: datetime) -> Spans:
    """Return what of the stretches lies in a stretch."""
    return intersect(spans, ((since, until),)) if since < until else ()


def span_at(spans: Spans, moment: datetime) -> Span | None:
    """Return the stretch that a moment is in."""
    index = bisect_right(spans, moment, key=lambda span: span[0]) - 1
    return spans[index] if index >= 0 and moment < spans[index][1] else None
