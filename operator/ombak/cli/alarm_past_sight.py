"""Which points of the past a backtest may believe: a Prometheus that scraped nothing tells nothing of that time."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from ombak.cli.alarm_eval import PastSource, StoppedClock
from ombak.runtime.alarm_asking import Asker
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_queries import QueryKey
from ombak.runtime.alarm_scrapes import ScrapeWatch, pace_of
from ombak.runtime.metrics_port import MetricsSource

_MOST_STEPS = 4000
"""Of one question for the times of scrapes; the rest of what may be asked for is for how far back a query reads."""
WHY = "no target was scraped then"


class PastSight:
    """Looks at the scrapes of some time as the operator did then, in parts that can be asked for."""

    def __init__(self, sources: Mapping[str, MetricsSource]) -> None:
        self._sources = {name: PastSource(source) for name, source in sources.items()}
        self._watches: dict[datetime, ScrapeWatch] = {}

    async def seen(self, key: QueryKey, moments: Sequence[datetime]) -> list[bool]:
        """Whether each of the points of a query, a period apart, tells anything; raises QueryError."""
        found: list[bool] = []
        for part in _parts(key.period, moments):
            sight = await self._watch(part[-1]).sight(key, part)
            found += sight.seen or [True] * len(part)
        return found

    def _watch(self, end: datetime) -> ScrapeWatch:
        """One for each moment, for all that is asked of it."""
        settings, clock = PollSettings(), StoppedClock(end)
        if end not in self._watches:
            asker = Asker(self._sources, clock, settings.timeout, settings.most_skew)
            self._watches[end] = ScrapeWatch(asker, clock, settings.least_uptime / 2)
        return self._watches[end]


def _parts(period: timedelta, moments: Sequence[datetime]) -> Iterator[Sequence[datetime]]:
    size = max(1, _MOST_STEPS * pace_of(period) // 2 // period)
    return (moments[first : first + size] for first in range(0, len(moments), size))
