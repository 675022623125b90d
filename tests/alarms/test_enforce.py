"""A query that is kept to one region says the same as before, about that region only."""

from datetime import timedelta
from typing import Any

import promql_parser as promql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.alarms.enforce import enforce, selector_groups
from ombak.alarms.errors import QuerySyntaxError
from ombak.alarms.lookback import children, lookback
from support.effort import examples

EU = (("cluster", "eu-1"), ("region", 'e"u\\\n'))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("up", 'up{r="eu"}', id="plain"),
        pytest.param('up{job="a"} offset -5m', 'up{job="a", r="eu"} offset -300s', id="offset"),
        pytest.param('{__name__=~"a.*", x!~"y"}', '{__name__=~"a.*", x!~"y", r="eu"}', id="without-a-name"),
        pytest.param('{"a.b", "c.d"="e"}', '{__name__="a.b", "c.d"="e", r="eu"}', id="utf8"),
        pytest.param('a{x="1" or y="2"}', 'a{x="1", r="eu" or y="2", r="eu"}', id="alternatives"),
        pytest.param('up{r="us"}', 'up{r="us", r="eu"}', id="another-region-finds-nothing"),
        pytest.param(
            "sum by (x) (rate(a[5m])) / on (x) group_left (y) count without () (b)",
            'sum by (x) (rate(a{r="eu"}[300s])) / on (x) group_left (y) count without () (b{r="eu"})',
            id="ratio",
        ),
        pytest.param("max_over_time(a[1h:])", 'max_over_time(a{r="eu"}[3600s:])', id="subquery-without-step"),
        pytest.param("-a ^ 2 > bool 1e3", '-a{r="eu"} ^ 2.0 > bool 1000.0', id="numbers"),
        pytest.param("a[1500ms]", 'a{r="eu"}[1500ms]', id="milliseconds"),
        pytest.param(
            'label_replace(a, "b", "$1\\n", "c", "(\\\\d+)\\"")',
            'label_replace(a{r="eu"}, "b", "$1\\n", "c", "(\\\\d+)\\"")',
            id="escapes",
        ),
        pytest.param('topk(3, a) or vector(0) # "', 'topk(3.0, a{r="eu"}) or vector(0.0)', id="comment"),
    ],
)
def test_every_selector_gets_the_matcher(query: str, expected: str) -> None:
    """And nothing else is different."""
    assert expected == enforce(query, (("r", "eu"),))


def test_without_matchers_a_query_stays_as_it_is() -> None:
    """To the letter, also what could not be read."""
    assert enforce("sum( up )", ()) == "sum( up )"


@pytest.mark.parametrize(
    ("query", "part"),
    [
        pytest.param("sum(", "cannot be kept to one region", id="no-query"),
        pytest.param("up @ 5", "@ asks about a fixed moment", id="at"),
        pytest.param("rate(up[5m] @ end())", "@ asks about a fixed moment", id="at-end"),
        pytest.param("sum_over_time(up[5m:1m] @ start())", "@ asks about a fixed moment", id="at-subquery"),
        pytest.param("(" * 1500 + "up" + ")" * 1500, "nested too deeply", id="deep"),
    ],
)
def test_what_cannot_be_rewritten_is_refused(query: str, part: str) -> None:
    """Better no answer than one from another region."""
    with pytest.raises(QuerySyntaxError, match=part):
        enforce(query, EU)


# --- queries of all shapes ---------------------------------------------------------------------------------

TEXTS = ["", "a", 'q"', "back\\slash", "line\nend", "it's", "`", "é", "{}", "a.*|b", "$1"]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


SELECTORS = st.sampled_from(
    [
        *("up", "job:errors:rate5m", "{__name__=~'a.*'}", '{"a b", "c.d"!="e"}', 'a{x="1" or y="2"}'),
        *(f"a{{{label}{sign}{quoted(text)}}}" for label in ("pod", "region") for sign in ("=", "!=") for text in TEXTS),
    ]
)
TIMES = st.sampled_from(["1ms", "1500ms", "90s", "5m", "1h30m", "7d", "1y"])
SHIFTS = st.sampled_from(["", " offset 1m", " offset -90s", " offset 1500ms"])
NUMBERS = st.sampled_from(["0", "3", "1e-3", "Inf", "NaN", "0x1f", ".5", "-2"])
SIGNS = st.sampled_from(["+", "*", "^", "atan2", "<=", "> bool", "%"])
SETS = st.sampled_from(["or", "unless", "and", "and on (job)", "==", "!= bool", "/", "- ignoring (le, pod)", "+ on ()"])
GROUPS = st.sampled_from(["sum", "sum by (job)", "avg without (pod, le)", "count by ()", 'max by ("a.b")'])


def grown(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Everything that can be made of vectors."""
    return st.one_of(
        st.builds("max_over_time(({})[{}:{}]{})".format, vectors, TIMES, st.just("") | TIMES, SHIFTS),
        st.builds("{}({})".format, GROUPS, vectors),
        st.builds("topk by (job) ({}, {})".format, NUMBERS, vectors),
        st.builds("count_values({}, {})".format, st.just(quoted('a"b')), vectors),
        st.builds('label_replace({}, "a", {}, "b", "(.*)")'.format, vectors, st.sampled_from(TEXTS).map(quoted)),
        st.builds("-({})".format, vectors),
        st.builds("-{}".format, vectors),
        st.builds("{} {} {}".format, vectors, SIGNS, NUMBERS),
        st.builds("({}) {} ({})".format, vectors, SETS, vectors),
        st.builds("{} or {}".format, vectors, vectors),
        st.builds("({}) * on (job) group_left (pod) ({})".format, vectors, vectors),
        st.builds("clamp({}, scalar({}), pi())".format, vectors, vectors),
    )


VECTORS = st.recursive(
    st.builds("{}{}".format, SELECTORS, SHIFTS) | st.builds("rate({}[{}]{})".format, SELECTORS, TIMES, SHIFTS),
    grown,
    max_leaves=5,
)


def selectors_of(root: Any) -> list[Any]:
    """Every selector of a query, found in another way than in the code."""
    own = [root] if isinstance(root, promql.VectorSelector) else []
    return [*own, *(found for child in children(root) for found in selectors_of(child))]


@settings(deadline=None, max_examples=examples(60))
@given(VECTORS)
def test_no_selector_of_any_query_is_left_alone(query: str) -> None:
    """Each has the matchers once more, after its own, and asks for the same name, time and range."""
    before = selectors_of(promql.parse(query))
    after = selectors_of(promql.parse(enforce(query, EU)))

    added = [(label, "=", value) for label, value in EU]
    assert [(s.name, s.offset) for s in after] == [(s.name, s.offset) for s in before]
    assert [[*group, *added] for group in map(list, selector_groups(query))] == list(
        map(list, selector_groups(enforce(query, EU)))
    )


@settings(deadline=None, max_examples=examples(60))
@given(VECTORS)
def test_rewriting_changes_nothing_else(query: str) -> None:
    """Taking the matchers out again gives what was there: rewritten with none and with some, it prints alike."""
    once = enforce(query, (("only", "here"),))

    bare = once.replace(', only="here"', "").replace('only="here"', "")
    assert enforce(bare, (("only", "here"),)) == once
    assert lookback(once) == lookback(query) >= timedelta(0)
