"""When a Prometheus scraped, and which points of an answer that leaves to be believed."""

import itertools
from collections.abc import Iterable
from datetime import timedelta

import pytest

from ombak.alarms.lookback import Read, reads
from ombak.alarms.scrapes import Timeline, timeline

LONG, NOW = 0.0, 3600.0


def seen(times: Iterable[float], grain: float = 15.0, until: float = NOW) -> Timeline:
    """What looking every `grain` seconds shows of these scrapes."""
    known = sorted(times)
    looks = [until - step * grain for step in range(int((until - LONG) // grain) + 1)]
    found = {max((one for one in known if look - 300 < one <= look), default=None) for look in looks}
    return timeline(LONG, until, sorted(one for one in found if one is not None), grain, unknown=60.0)


def every(seconds: float, *away: tuple[float, float]) -> list[float]:
    """Scrapes in that rhythm, but for the times in which Prometheus was away."""
    ticks = itertools.takewhile(lambda at: at <= NOW, (3.3 + n * seconds for n in itertools.count(-int(600 / seconds))))
    return [at for at in ticks if not any(start <= at < end for start, end in away)]


def read(query: str) -> tuple[Read, ...]:
    return reads(query)


RATE, GAUGE, HOUR = read("rate(x[2m])"), read("count(x)"), read("increase(x[1h])")


@pytest.mark.parametrize("scrape", [1, 15, 30, 60, 120, 240])
@pytest.mark.parametrize("grain", [1.0, 5.0, 15.0])
def test_regular_scrapes_leave_no_doubt(scrape: float, grain: float) -> None:
    """However seldom, at any phase of the looks, up to the moment that was looked at last."""
    for until in (NOW, NOW - 0.37 * scrape, NOW - 0.99 * scrape):
        line = seen((at for at in every(scrape) if at <= until), grain, until)
        assert line.gaps == ()
        assert all(line.saw(at, RATE + GAUGE) for at in range(600, int(until), 7))


def test_a_point_in_a_gap_tells_nothing() -> None:
    """From a while after the last scrape to two scrapes after the next."""
    line = seen(every(15, (1000, 3000)))
    verdicts = {at: line.saw(at, GAUGE) for at in (990, 1020, 1080, 1200, 2000, 2990, 3010, 3030, 3050, 3100)}
    assert verdicts == {
        **dict.fromkeys((990, 1020, 3050, 3100), True),
        **dict.fromkeys((1080, 1200, 2000, 2990, 3010, 3030), False),
    }
    assert line.why_not() == "no target was scraped from 00:16:33 to 00:50:03 UTC"


def test_what_is_remembered_from_before_a_gap_bridges_it() -> None:
    """A restart of a minute or two: a plain selector and a long range find older samples, a short range does not."""
    line = seen(every(15, (1000, 1120)))
    assert len(line.gaps) == 1
    assert [line.saw(1130, one) for one in (GAUGE, HOUR, read("rate(x[1m])"))] == [True, True, False]


def test_of_the_end_nothing_is_known_for_long() -> None:
    """No scrape, as when the list of targets is lost; what arrives late is believed a little longer."""
    line = seen(every(15, (3000, 9999)))
    assert [line.saw(at, GAUGE) for at in (3020, 3050, 3070, 3600)] == [True, True, False, False]
    assert not line.saw(3050, read("rate(x[1m])"))
    assert line.why_not() == "no target was scraped since 00:49:48 UTC"


def test_nothing_at_all_is_a_gap() -> None:
    """And so is the time before the first scrape."""
    assert not seen([]).saw(NOW, GAUGE)
    assert seen([]).why_not() == "no target was scraped since 00:00:00 UTC or longer"
    line = seen([3590.0])
    assert not line.saw(3595, GAUGE)
    assert line.why_not() == "no target was scraped before 00:59:50 UTC"


def test_before_what_was_looked_at_nothing_is_doubted() -> None:
    """A past of days is not gone through for every question."""
    assert timeline(1000, NOW, [at for at in every(15) if at >= 990], 15, 60).saw(500, GAUGE)


@pytest.mark.parametrize(
    ("query", "windows"),
    [
        pytest.param("vector(1)", [], id="nothing"),
        pytest.param("x or vector(0)", [(0, 0)], id="plain"),
        pytest.param("rate(x[2m] offset 1m)", [(60, 120)], id="range and offset"),
        pytest.param("max_over_time(rate(x[1m])[10m:1m] offset 5m)", [(300, 660)], id="subquery"),
        pytest.param("rate(x[1m]) / rate(y[2m]) + rate(z[1m])", [(0, 60), (0, 120)], id="several"),
    ],
)
def test_what_is_read_follows_from_the_text(query: str, windows: list[tuple[int, int]]) -> None:
    """Each selector by itself."""
    found = [(one.offset // timedelta(seconds=1), one.window // timedelta(seconds=1)) for one in read(query)]
    assert sorted(found) == windows
