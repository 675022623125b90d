"""When a Window is open: all that it says taken together, for any moment up to `REACH` ahead."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ombak.core.gates.closings import Closing, Closings
from ombak.core.gates.gate import ZERO
from ombak.core.gates.localtime import local_time
from ombak.core.gates.openings import Times
from ombak.core.gates.spans import Spans, clipped, intersect, shifted, span_at, subtract, union

REACH = timedelta(days=400)
"""A Window that does not open within this time is told never to."""
_FORESIGHT = timedelta(days=64)
"""Of what is open nobody needs to know what comes later."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BLOCK = timedelta(days=32)
"""So much is expanded at once, and kept: a Window is asked often, and rarely about far away."""
_MOST_KEPT = 256


class Schedule:
    """When a Window is open. It changes nothing but what it has reckoned already, which nobody can see."""

    def __init__(
        self,
        zone: ZoneInfo,
        openings: Sequence[Times],
        closings: Sequence[Closings] = (),
        staffed: Sequence[Times] | None = None,
    ) -> None:
        """`staffed` None: it does not matter when a release ends."""
        self.zone = zone
        self._openings = tuple(openings)
        self._closings = tuple(closings)
        self._staffed = None if staffed is None else tuple(staffed)
        self._blocks: dict[tuple[int, timedelta], Spans] = {}

    def is_open(self, now: datetime, horizon: timedelta = ZERO) -> bool:
        """Tell whether a release that takes so long may start."""
        return span_at(self._block(_index(now), horizon), now) is not None

    def next_open(self, now: datetime, horizon: timedelta = ZERO) -> datetime | None:
        """Return the first moment, `now` included, at which it is open; None if there is none within `REACH`."""
        for start, end in self._spans(now, now + REACH, horizon):
            if end > now:
                return max(start, now)
        return None

    def next_close(self, now: datetime, horizon: timedelta = ZERO) -> datetime | None:
        """Return when it is closed first, `now` included; None if it stays open for all of `_FORESIGHT`."""
        at = now
        for start, end in self._spans(now, now + _FORESIGHT, horizon):
            if end <= at:
                continue
            if start > at:
                return at
            at = end
        return at if at < now + _FORESIGHT else None

    def closed_since(self, now: datetime, horizon: timedelta = ZERO) -> datetime | None:
        """Return when it was open last, None if it was not in the last month or so."""
        index = _index(now)
        for each in (index, index - 1):
            ends = [end for start, end in self._block(each, horizon) if end <= now]
            if ends:
                return max(ends)
        return None

    def is_off_hours(self, now: datetime) -> bool:
        """Tell whether nobody is expected at work: outside of the hours with staff, or else of those it is open."""
        if self._staffed is None:
            return not self.is_open(now)
        return span_at(self._staff(now, now + timedelta(seconds=1)), now) is None

    def why_closed(self, now: datetime, horizon: timedelta = ZERO) -> str:
        """Return in a few words why it is closed at a moment at which it is."""
        instantly = now + timedelta(microseconds=1)
        for (start, end), reason in self._closed(now, instantly):
            if start <= now < end:
                return reason
        if span_at(_expanded(self._openings, now, instantly), now) is None:
            return "outside its hours"
        return f"a release begun now would end about {local_time(now + horizon, self.zone)}, when there is no staff"

    def _spans(self, since: datetime, until: datetime, horizon: timedelta) -> Iterator[tuple[datetime, datetime]]:
        for index in range(_index(since), _index(until) + 1):
            yield from clipped(self._block(index, horizon), _at(index), min(_at(index + 1), until))

    def _block(self, index: int, horizon: timedelta) -> Spans:
        key = (index, ZERO if self._staffed is None else horizon)
        found = self._blocks.get(key)
        if found is None:
            if len(self._blocks) >= _MOST_KEPT:
                self._blocks.clear()
            found = self._blocks[key] = self._open(_at(index), _at(index + 1), horizon)
        return found

    def _open(self, since: datetime, until: datetime, horizon: timedelta) -> Spans:
        closed = union(span for span, _ in self._closed(since, until))
        found = subtract(_expanded(self._openings, since, until), closed)
        if self._staffed is not None:
            found = intersect(found, shifted(self._staff(since + horizon, until + horizon), -horizon))
        return clipped(found, since, until)

    def _staff(self, since: datetime, until: datetime) -> Spans:
        closed = union(span for span, _ in self._closed(since, until))
        return subtract(_expanded(self._staffed or (), since, until), closed)

    def _closed(self, since: datetime, until: datetime) -> Iterator[Closing]:
        for each in self._closings:
            yield from each.closings(since, until)


def _expanded(times: Sequence[Times], since: datetime, until: datetime) -> Spans:
    return union(span for each in times for span in each.spans(since, until))


def _index(moment: datetime) -> int:
    return (moment - _EPOCH) // _BLOCK


def _at(index: int) -> datetime:
    return _EPOCH + index * _BLOCK
