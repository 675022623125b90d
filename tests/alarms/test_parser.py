"""The parser: what it prints it reads, and nothing that is thrown at it gets it off its feet."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.alarms import syntax
from ombak.alarms.errors import ExpressionError
from ombak.alarms.parser import parse
from support.expressions import expressions, refs

_KEYWORDS = ["ALARM", "OK", "INSUFFICIENT_DATA", "AT_LEAST", "AND", "OR", "NOT", "TRUE", "FALSE"]
_WORDS = st.sampled_from([*_KEYWORDS, *'(),"\\~é\n\t2a', "50%", "ns/b", '"q"', '\\"'])
_SOUP = st.lists(_WORDS, max_size=200).map(" ".join) | st.lists(_WORDS, max_size=200).map("".join)


@given(expressions(refs))
def test_what_is_printed_is_read_back_the_same(expression: syntax.Expression) -> None:
    """parse(print(x)) == x, with names that hold quotation marks, spaces, keywords and backslashes."""
    assert expression == parse(syntax.print_expression(expression)).expression


@given(_SOUP | st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    """Nothing else is ever raised, and the error points into the text and can be shown."""
    found = _parse_or_error(text)
    if isinstance(found, ExpressionError):
        assert 0 <= found.position <= len(text)
        assert found.render().splitlines()[-1].endswith("^")
    else:
        assert found == parse(syntax.print_expression(found)).expression


def _parse_or_error(text: str) -> syntax.Expression | ExpressionError:
    try:
        return parse(text).expression
    except ExpressionError as error:
        return error


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 10_240, id="parentheses"),
        pytest.param("NOT " * 2_560, id="NOTs"),
        pytest.param("(" * 5_000 + "TRUE" + ")" * 5_000, id="closed parentheses"),
        pytest.param("NOT(" * 2_000 + "TRUE" + ")" * 2_000, id="NOTs and parentheses"),
        pytest.param('ALARM("' + "\\" * 10_000, id="backslashes without an end"),
        pytest.param('"' * 10_240, id="quotation marks"),
        pytest.param("AT_LEAST(1, ALARM, (" + "a," * 5_000, id="an endless list"),
        pytest.param("ALARM(a) OR " * 850, id="an endless chain"),
        pytest.param("9" * 10_240, id="a huge number"),
    ],
)
def test_hostile_text_of_full_length_is_an_expression_error(text: str) -> None:
    """Neither the recursion limit nor a regular expression is a way in."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(_depth_now() + 150)
        with pytest.raises(ExpressionError):
            parse(text)
    finally:
        sys.setrecursionlimit(limit)


def _depth_now() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    return depth


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("TRUE " + " " * 10_236, "at most 10240 characters", id="length"),
        pytest.param(" OR ".join(f"OK(a{i})" for i in range(101)), "at most 100 alarms", id="children"),
        pytest.param(" OR ".join(["TRUE"] * 501), "at most 500 elements", id="elements"),
        pytest.param("(" * 65 + "TRUE" + ")" * 65, "at most 64 deep", id="depth of parentheses"),
        pytest.param("NOT " * 65 + "TRUE", "at most 64 deep", id="depth of NOT"),
    ],
)
def test_a_limit_is_named_when_it_is_passed(text: str, says: str) -> None:
    """AWS's limits, and the depth of B4.1."""
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("TRUE" + " " * 10_236, id="length"),
        pytest.param(" OR ".join(f"OK(a{i})" for i in range(100)), id="children"),
        pytest.param(" OR ".join(["TRUE"] * 500), id="elements"),
        pytest.param("(" * 64 + "TRUE" + ")" * 64, id="depth of parentheses"),
        pytest.param("NOT " * 64 + "TRUE", id="depth of NOT"),
        pytest.param(f"OK({'n' * 255})", id="name"),
    ],
)
def test_a_limit_may_be_reached(text: str) -> None:
    """The last allowed value of each limit."""
    expression = parse(text).expression
    assert expression == parse(syntax.print_expression(expression)).expression


def test_an_error_shows_the_line_and_a_caret_under_the_place() -> None:
    """As a person sees it, the long line cut around the place."""
    text = "ALARM(a) OR\n" + "OK(b) OR " * 20 + "Oldest OR OK(c) OR OK(d) OR OK(e) OR OK(f) OR OK(g) OR OK(h) OR OK(i)"
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    message, line, caret = caught.value.render().splitlines()
    assert message.startswith("line 2, column 181: found 'Oldest', expected one of: '(', ALARM, AT_LEAST, FALSE,")
    assert line.startswith("  ... ")
    assert line.endswith(" ...")
    assert line.index("Oldest") == caret.index("^")
