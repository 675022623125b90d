"""When a Prometheus scraped, and which points of an answer that leaves to be believed."""

import itertools
from collections.abc import Iterable
from datetime import timedelta

import pytest

from ombak.alarms.lookback import Read, reads
from ombak.alarms.scrapes import Timeline, timeline

LONG, NOW = 0.0, 3600.0


def seen(times: Iterable[float], grain: float = 15.0, until: float = NOW, delay: float = 0.0) -> Timeline:
    """What looking every `grain` seconds shows of these scrapes."""
    known = sorted(times)
    looks = [until - step * grain for step in range(int((until - LONG) // grain) + 1)]
    found = {max((one for one in known if look - 300 < one <= look), default=None) for look in looks}
    return timeline(LONG, until, sorted(one for one in found if one is not None), grain, 60.0, delay)


def every(seconds: float, *away: tuple[float, float]) -> list[float]:
    """Scrapes in that rhythm, but for the times in which Prometheus was away."""
    ticks = itertools.takewhile(lambda at: at <= NOW, (3.3 + n * seconds for n in itertools.count(-int(600 / seconds))))
    return [at for at in ticks if not any(start <= at < end for start, end in away)]


def read(query: str) -> tuple[Read, ...]:
    return reads(query)


RATE, GAUGE, HOUR = read("rate(x[2m])"), read("count(x)"), read("increase(x[1h])")


@pytest.mark.breadth
@pytest.mark.parametrize("scrape", [1, 15, 30, 60, 120, 240])
@pytest.mark.parametrize("grain", [1.0, 5.0, 15.0])
def test_regular_scrapes_leave_no_doubt(scrape: float, grain: float) -> None:
    """However seldom, at any phase of the looks, up to the moment that was looked at last."""
    for until in (NOW, NOW - 0.37 * scrape, NOW - 0.99 * scrape):
        line = seen((at for at in every(scrape) if at <= until), grain, until)
        assert line.gaps == ()
        assert all(line.saw(at, RATE + GAUGE) for at in range(600, int(until), 7))


@pytest.mark.breadth
@pytest.mark.parametrize("grain", [1.0, 2.5, 15.0])
@pytest.mark.parametrize("offsets", [(0, 4), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (0, 3, 31), (0, 55), (7,)])
def test_targets_at_uneven_moments_leave_no_doubt(offsets: tuple[int, ...], grain: float) -> None:
    """A few of them do not spread over the minute: the pause of each minute is no gap."""
    times = [3.3 + 60 * minute + offset for minute in range(-9, 61) for offset in offsets]
    for until in (NOW - 57, NOW - 31, NOW - 1):
        assert seen((at for at in times if at <= until), grain, until).gaps == ()


def test_the_first_scrapes_of_many_targets_are_no_rhythm() -> None:
    """Ten that follow each other closely, once a minute, begin: two more minutes have to show it."""
    times = [3000.0 + 60 * minute + offset for minute in range(2) for offset in range(10)]
    assert seen(times, 2.5, 3110.0).usual == 60


def test_what_a_young_prometheus_tells_of_its_rhythm_counts() -> None:
    """Before three minutes of scrapes show it; the rhythm that they show counts even so."""
    short = every(5, (0, 3500))
    young = timeline(LONG, 3520.0, [at for at in short if at >= 3500], 2.5, 60.0, told=5.0)
    assert young.usual == 5
    assert [young.saw(at, RATE) for at in (3500, 3510, 3515)] == [False, False, True]
    assert not timeline(LONG, 3520.0, young.times, 2.5, 60.0).saw(3515, RATE)
    assert timeline(LONG, NOW, [3500.0, 3530.0, 3560.0, 3590.0], 2.5, 60.0, told=5.0).usual == 30


def test_outages_again_and_again_are_no_rhythm() -> None:
    """A crash loop with more and more time between starts; nor what no plain selector outlives, nor old ones."""
    away = ((2000, 2110), (2150, 2290), (2330, 2510), (2550, 2810), (3000, 3320))
    line = seen(every(15, *away), 7.5)
    assert line.usual == 15
    assert len(line.gaps) == len(away)
    long = ((2000, 2320), (2340, 2660), (2680, 3000))
    assert seen((at for at in every(15, *long) if at <= 3100), 7.5, 3100.0).usual <= 60
    assert seen(every(15, (500, 600), (700, 800), (900, 1000)), 7.5).usual == 15  # alike, but of another time


def test_a_rhythm_that_became_slower_is_usual_after_three_times() -> None:
    """The job with the most scrapes was removed; until then a minute is bridged by what was stored before."""
    times = [at for at in every(10) if at <= 3000] + [3060.0, 3120.0]
    line = seen(times, 7.5, 3150.0)
    assert line.usual == 10
    assert all(line.saw(at, RATE + GAUGE) for at in range(2900, 3150))
    assert not line.saw(3050, read("rate(x[30s])"))
    assert seen([*times, 3180.0], 7.5, 3200.0).gaps == ()


def test_what_comes_late_is_no_gap_where_the_query_reads_further_back() -> None:
    """Samples that can be asked for after a minute; not if it takes longer, and not for what reads only that minute."""
    line = seen((at for at in every(15) if at <= NOW - 60), 7.5, NOW, delay=55.0)
    assert line.saw(NOW, GAUGE)
    assert line.saw(NOW, RATE)
    assert not line.saw(NOW, read("rate(x[1m])"))
    gone = seen((at for at in every(15) if at <= NOW - 150), 7.5, NOW, delay=55.0)
    assert not gone.saw(NOW, GAUGE)


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
