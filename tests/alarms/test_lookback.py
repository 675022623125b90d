"""How far back queries read, and what is no query."""

from datetime import timedelta

import pytest

from ombak.alarms.errors import QuerySyntaxError, TemplateError
from ombak.alarms.lookback import check_query, lookback


@pytest.mark.parametrize(
    ("query", "minutes"),
    [
        pytest.param("up", 0, id="a plain selector"),
        pytest.param("1 + 1", 0, id="a constant"),
        pytest.param("rate(x[5m])", 5, id="a range"),
        pytest.param("rate(x[5m] offset 10m)", 15, id="a range with an offset"),
        pytest.param("x offset 2m", 2, id="an offset"),
        pytest.param("x offset -5m", 0, id="an offset into the future"),
        pytest.param("rate(x[5m] offset -2m)", 3, id="a range reaching into the future"),
        pytest.param("max_over_time(rate(x[5m])[1h:1m])", 65, id="a subquery"),
        pytest.param("max_over_time(rate(x[5m] offset 1m)[1h:] offset 10m)", 76, id="all of it"),
        pytest.param("sum(rate(a[1m])) / sum(rate(b[3m]))", 3, id="the longer of two"),
        pytest.param("topk(scalar(max_over_time(z[7m])), x)", 7, id="in a parameter"),
        pytest.param("-(((rate(x[5m]))))", 5, id="in parentheses"),
        pytest.param('rate(x{pod=~"$(pods)"}[5m])', 5, id="a template"),
        pytest.param(r"rate(x{code=~`5\d\d`}[5m])", 5, id="a raw string"),
        pytest.param("rate(x{code=~'`'}[5m]) # `\\d", 5, id="backticks that begin none"),
        pytest.param("(" * 490 + "rate(x[5m])" + ")" * 490, 5, id="as deep as a query may be"),
    ],
)
def test_lookback_is_the_longest_time_read_back(query: str, minutes: int) -> None:
    """Ranges, offsets and subqueries inside each other add up."""
    assert timedelta(minutes=minutes) == check_query(query).lookback


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("-" * 8_000 + "1", id="signs"),
        pytest.param("(" * 4_000 + "1" + ")" * 4_000, id="brackets"),
        pytest.param("+".join(["a"] * 4_000), id="a sum"),
        pytest.param(" or ".join(["a"] * 1_500), id="words"),
    ],
)
def test_a_query_that_would_keep_the_parser_busy_is_refused(query: str) -> None:
    """The parser's time grows with the square of these; the operator has other alarms to look after."""
    with pytest.raises(QuerySyntaxError, match=r"more than 1000 names.*rule"):
        check_query(query)


@pytest.mark.parametrize(
    ("query", "line", "column", "says"),
    [
        pytest.param("", 1, 1, "no expression", id="nothing"),
        pytest.param("foo bar", 1, 5, "'bar'", id="two selectors"),
        pytest.param("x > 1\n  and ) y", 2, 7, "unexpected right parenthesis", id="on the second line"),
        pytest.param("rate(x)", 1, 5, "got vector", id="no range"),
        pytest.param('sum(rate(x{pod=~"$(pods)"}[5m]) foo', 1, 33, "'foo'", id="behind a variable"),
        pytest.param("x[5m]", 1, 1, "rate()", id="a range of values"),
        pytest.param("(x[5m:1m])", 1, 1, "rate()", id="a subquery of values"),
        pytest.param("'text'", 1, 1, "numbers", id="a text"),
        pytest.param('y{a="@"} @ end()', 1, 10, "fixed moment", id="a fixed moment"),
    ],
)
def test_what_is_no_query_is_pointed_at(query: str, line: int, column: int, says: str) -> None:
    """In the text that the user wrote, variables and all."""
    with pytest.raises(QuerySyntaxError) as caught:
        check_query(query)
    assert (line, column) == (caught.value.line, caught.value.column)
    assert says in str(caught.value)


def test_an_unknown_variable_is_found_too() -> None:
    """Before the query is ever asked."""
    with pytest.raises(TemplateError):
        check_query('x{a="$(pod)"}')


@pytest.mark.parametrize(
    "query",
    [
        "rate(x[999999999d])",
        "x offset 999999999d",
        "x offset -999999999d",
        "max_over_time(max_over_time(x[600000000d:1d])[600000000d:1d])",
        "max_over_time(x[2000d:1d] offset 2000d)",
    ],
)
def test_a_query_that_reads_an_absurd_time_is_refused(query: str) -> None:
    """Such a time fits into no date, and into no Prometheus; what is asked all the same counts as ten years."""
    with pytest.raises(QuerySyntaxError, match="write shorter ranges"):
        check_query(query)
    assert lookback(query) <= timedelta(days=3650)
