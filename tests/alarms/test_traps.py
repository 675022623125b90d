"""Queries that are valid and do not say what their author means."""

from datetime import timedelta

import pytest

from ombak.alarms.traps import Matcher, Selector, find_traps, nothing_has, selectors, short_window
from ombak.api.alarm import TreatMissingData

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("errors > 0.01", id="plain"),
        pytest.param("(errors) == 0", id="equal"),
        pytest.param('((rate(errors{pod=~"$(pods)"}[$(window)]) >= 1))', id="in parentheses, a template"),
        pytest.param("sum(errors > 1)", id="below a sum"),
        pytest.param("count(up == 0)", id="counted"),
        pytest.param("abs(errors < 1)", id="below a function"),
        pytest.param("errors > 1 and total > 100", id="and"),
        pytest.param("errors and total > 100", id="right of and"),
        pytest.param("errors > 1 unless on() maintenance", id="unless"),
        pytest.param("errors > 1 or latency > 2", id="both sides of or"),
        pytest.param("(errors > 1) * 100", id="in arithmetic"),
        pytest.param("100 * (errors > 1)", id="beside a number"),
        pytest.param("(errors > 1) > bool 2", id="below another one"),
        pytest.param("count_over_time((errors > 1)[5m:])", id="in a subquery"),
    ],
)
def test_a_comparison_that_empties_the_query_is_a_trap(query: str) -> None:
    """With the sign that it is about, and what to write instead."""
    (found,) = find_traps(query)
    assert "empty" in found
    assert "bool`" in found


@pytest.mark.breadth
@pytest.mark.parametrize(
    "query",
    [
        pytest.param("errors", id="none"),
        pytest.param("errors > bool 0.01", id="bool"),
        pytest.param("errors / (total > 0)", id="guards a division"),
        pytest.param("(errors > 1) or vector(0)", id="with a default"),
        pytest.param("absent(up == 1) or vector(0)", id="absent with a default"),
        pytest.param("errors * on(pod) (up == 1)", id="a join that picks"),
        pytest.param("errors unless total < 100", id="right of unless"),
        pytest.param("1 > bool 2", id="numbers"),
        pytest.param(" or ".join(["a"] * 1_600), id="a long chain"),
        pytest.param("abs(" * 1_600 + "a > 1" + ")" * 1_600, id="deeper than anybody looks"),
    ],
)
def test_what_stays_there_when_all_is_well_is_none(query: str) -> None:
    """No false complaint."""
    assert find_traps(query) == ()


@pytest.mark.parametrize("query", ["absent(up)", "sum(absent_over_time(up[5m]))", "absent(up) * 1"])
def test_absent_is_empty_when_all_is_well(query: str) -> None:
    """Which is unknown, unless the author says that an empty answer is a good one."""
    (found,) = find_traps(query)
    assert "or vector(0)`, or treatMissingData: notBreaching" in found
    assert find_traps(query, TreatMissingData.NOT_BREACHING) == ()


def test_not_breaching_is_warned_of_in_its_own_way() -> None:
    """There the empty answer is not unknown; that a metric is gone goes unseen."""
    (found,) = find_traps("errors > 1", TreatMissingData.NOT_BREACHING)
    assert "a metric that is gone looks well too" in found


def test_a_raw_string_is_read_as_it_stands() -> None:
    """As by Prometheus, to which a backslash between backticks is one."""
    (found,) = selectors(r'x{code=~`5\d"`, a="`\\d`"}')
    assert [one.value for one in found.matchers] == ['5\\d"', "`\\d`"]


def test_selectors_are_found_with_their_ranges() -> None:
    """Each once, as PromQL writes it."""
    query = 'sum(rate(bad{code=~"5..", a!="x\\"y"}[5m])) / sum(rate(total[1m] offset 1h)) + up + up'
    found = selectors(query)
    assert [str(one) for one in found] == ['bad{code=~"5..", a!="x\\"y"}', "total", "up"]
    assert [one.range for one in found] == [5 * MINUTE, MINUTE, None]


@pytest.mark.parametrize(
    ("window", "scrape", "complains"),
    [
        pytest.param(MINUTE, MINUTE, True, id="one scrape"),
        pytest.param(2 * MINUTE, MINUTE, False, id="two scrapes"),
        pytest.param(None, MINUTE, False, id="no range"),
    ],
)
def test_a_window_needs_two_scrapes(window: timedelta | None, scrape: timedelta, complains: bool) -> None:
    """And four are advised."""
    found = short_window(Selector("errors", (), window), scrape)
    assert complains == bool(found)
    assert not complains or "write [4m]" in found


def test_the_sentence_about_nothing_names_the_culprit() -> None:
    """The label, the name, or that they never meet."""
    code = Matcher("code", "=~", "5..")
    selector = Selector("errors", (code,))
    assert 'no series of errors has code=~"5.."' in nothing_has(selector, code, is_named=True)
    assert "there is no series errors" in nothing_has(selector, None, is_named=False)
    assert "together" in nothing_has(selector, None, is_named=True)
