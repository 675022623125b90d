"""Query templates: safe values, and words for what does not fit."""

from datetime import timedelta

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.alarms import template
from ombak.alarms.errors import TemplateError
from ombak.alarms.template import Context

MINUTE = timedelta(minutes=1)
CONTEXT = Context("shop", "front-end", "front-end-onebox-[a-z0-9]+", "eu-1", "v1-abc", zone="eu-1a")


def test_every_variable_is_filled_in() -> None:
    """One query with all of them."""
    query = 'rate(x{a="$(namespace)/$(name)", pod=~"$(pods)", r="$(region)/$(zone)", v="$(artifact)"}[$(window)])'
    expected = 'rate(x{a="shop/front-end", pod=~"front-end-onebox-[a-z0-9]+", r="eu-1/eu-1a", v="v1-abc"}[60s])'
    assert expected == template.render(query, CONTEXT, MINUTE)


@given(st.text(min_size=1), st.sampled_from("\"'"))
def test_a_pattern_stays_inside_its_string(pods: str, mark: str) -> None:
    """Whatever the pattern holds, the literal has exactly that value, and nothing of it is query."""
    rendered = template.render(f"x{{pod={mark}$(pods){mark}}}", Context(pods=pods), MINUTE)
    matchers = promql_parser.parse(rendered).matchers.matchers
    assert [("pod", pods)] == [(matcher.name, matcher.value) for matcher in matchers]


@pytest.mark.parametrize("value", ['a"} or up{b="', "a b", "a\nb", "-a", "a)", "$(name)"])
def test_a_name_that_is_no_name_is_refused(value: str) -> None:
    """Only what Kubernetes allows in names and labels gets into a query."""
    with pytest.raises(TemplateError, match=r"\$\(region\) cannot be"):
        template.render('x{region="$(region)"}', Context(region=value), MINUTE)


def test_a_variable_without_a_value_is_refused() -> None:
    """A query by region of an operator that was not told its name."""
    with pytest.raises(TemplateError, match=r"\$\(region\) has no value here; the operator has one with --region"):
        template.render('x{region="$(region)"}', Context(namespace="shop"), MINUTE)


def test_an_unknown_variable_is_named_with_the_known_ones() -> None:
    """The fix is in the sentence."""
    with pytest.raises(TemplateError) as caught:
        template.variables('x{a="$(names)"}')
    assert str(caught.value) == (
        "$(names) is no variable of a query; "
        "there are $(namespace), $(name), $(pods), $(region), $(zone), $(artifact), $(window)"
    )


@pytest.mark.parametrize(
    ("query", "free"),
    [
        pytest.param("rate(x[5m])", True, id="no variable"),
        pytest.param("rate(x[$(window)])", True, id="only the window"),
        pytest.param('rate(x{pod=~"$(pods)"}[5m])', False, id="pods"),
        pytest.param('x{a=~"^(a|b)$"}', True, id="a dollar of its own"),
    ],
)
def test_a_query_is_context_free_without_variables_of_somebody(query: str, free: bool) -> None:
    """Such an Alarm has a state of its own."""
    assert free == template.is_context_free(query)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        pytest.param(timedelta(minutes=5), "300s", id="minutes"),
        pytest.param(timedelta(milliseconds=1500), "1500ms", id="milliseconds"),
        pytest.param(timedelta(microseconds=1), "1ms", id="rounded up"),
    ],
)
def test_durations_are_written_as_promql_reads_them(length: timedelta, text: str) -> None:
    """Whole seconds where possible."""
    assert text == template.promql_duration(length)


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", fullmatch=True))
def test_a_literal_pattern_of_a_name_needs_no_backslash(name: str) -> None:
    """So it means the same in every kind of string literal."""
    assert "\\" not in template.regex_literal(name)
