"""The parser: what it prints it reads, and nothing that is thrown at it gets it off its feet."""

import random
import sys
import time
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.alarms import syntax
from ombak.alarms.errors import ExpressionError
from ombak.alarms.parser import parse
from support.effort import examples
from support.expressions import expressions, refs

_KEYWORDS = ["ALARM", "OK", "INSUFFICIENT_DATA", "AT_LEAST", "AND", "OR", "NOT", "TRUE", "FALSE"]
_WORDS = st.sampled_from([*_KEYWORDS, *'(),"\\~é\n\t2a', "50%", "ns/b", '"q"', '\\"'])
_SOUP = st.lists(_WORDS, max_size=200).map(" ".join) | st.lists(_WORDS, max_size=200).map("".join)


@given(expressions(refs))
def test_what_is_printed_is_read_back_the_same(expression: syntax.Expression) -> None:
    """parse(print(x)) == x, with names that hold quotation marks, spaces, keywords and backslashes."""
    assert expression == parse(syntax.print_expression(expression)).expression


# Up to the full length: few pieces repeated often, one after the other, and many pieces in no order.
_REPEATED = st.lists(st.tuples(_WORDS | st.text(max_size=4), st.integers(1, 6_000)), min_size=1, max_size=6).map(
    lambda parts: "".join(word * count for word, count in parts)[: syntax.MAX_LENGTH]
)
_SEEDED = st.integers(0, 2**32).map(lambda seed: _shuffled(random.Random(seed)))


def _shuffled(chance: random.Random) -> str:
    pieces = [*_KEYWORDS, *'(),"\\ é\n2a', "50%", "ns/b", '"q"', 'ALARM("a")', " OR ", " AND ", "(", ")"]
    few = chance.sample(pieces, chance.randint(1, len(pieces)))
    return "".join(chance.choices(few, k=syntax.MAX_LENGTH))[: syntax.MAX_LENGTH]


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        pytest.param("OK(a) AND OK(b) OR OK(c)", '(OK("a") AND OK("b")) OR OK("c")', id="AND in OR"),
        pytest.param("NOT TRUE AND (TRUE OR NOT (FALSE AND TRUE))", None, id="as it was"),
    ],
)
def test_what_is_printed_says_which_binds_stronger(expression: str, printed: str | None) -> None:
    """By parentheses, which the language itself asks for: printed text is never warned of."""
    found = syntax.print_expression(parse(expression).expression)
    assert found == (printed or expression)
    assert parse(found).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" OR ".join(["TRUE AND TRUE"] * 250), id="elements"),
        pytest.param("NOT (" * 32 + "TRUE AND TRUE OR TRUE" + ")" * 32, id="depth"),
    ],
)
def test_an_expression_at_a_limit_is_printed_without_more_parentheses(text: str) -> None:
    """They would bring it over the limit, and then it could not be read back."""
    expression = parse(text).expression
    assert expression == parse(syntax.print_expression(expression)).expression


@given(_SOUP | st.text(max_size=300))
@settings(max_examples=examples(300))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    """Nothing else is ever raised, and the error points into the text and can be shown."""
    _is_read_or_refused(text)


@given(_REPEATED | _SEEDED)
@settings(max_examples=examples(200), deadline=None)
def test_a_text_of_any_length_is_an_expression_or_an_expression_error(text: str) -> None:
    """Up to the 10,240 characters that an expression may have."""
    _is_read_or_refused(text)


def _is_read_or_refused(text: str) -> None:
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


# Each grows with its number; some are expressions, the others are refused at their end, or at once.
_GROWING: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n,
    "closed parentheses": lambda n: "(" * (n // 2) + "TRUE" + ")" * (n // 2),
    "NOTs": lambda n: "NOT " * (n // 4),
    "a chain": lambda n: " OR ".join(["TRUE"] * (n // 8)),
    "a mixed chain": lambda n: " OR TRUE AND ".join(["TRUE"] * (n // 17)),
    "groups side by side": lambda n: "AND".join(["(NOT TRUE)"] * (n // 13)),
    "a list": lambda n: f"AT_LEAST(1, ALARM, ({','.join(f'a{i}' for i in range(n // 6))}))",
    "a list without an end": lambda n: "AT_LEAST(1, ALARM, (" + "a," * (n // 2),
    "backslashes without an end": lambda n: 'ALARM("' + "\\" * n,
    "quotation marks": lambda n: '"' * n,
    "a name": lambda n: f"ALARM({'n' * n})",
    "a number": lambda n: f"AT_LEAST({'9' * n}",
    "keywords in one": lambda n: "NOT" * (n // 3),
    "space": lambda n: " " * n,
    "space that ends": lambda n: "TRUE" + " " * n + "x",
    "lines": lambda n: "\n" * n + "?",
}
_SHORT = 1_250
_TIMES = 8


@pytest.mark.breadth
@pytest.mark.parametrize("name", _GROWING)
def test_reading_takes_linear_time(name: str) -> None:
    """Eight times the text is eight times the calls, where a square would be sixty-four times.

    A match of a regular expression is one call however long it takes, so that time is looked at too: its ratio, with
    slack for everything but a square.
    """
    short, long = (_GROWING[name](n) for n in (_SHORT, _TIMES * _SHORT))
    assert len(long) <= syntax.MAX_LENGTH
    _parse_or_error(short)  # what is made once is made now
    assert _calls(long) <= 1.5 * _TIMES * _calls(short)
    assert _seconds(long) <= 4 * _TIMES * max(_seconds(short), 0.0005)


def _calls(text: str) -> int:
    """How many functions are called to read a text, those written in C too."""
    count = 0

    def counted(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        _parse_or_error(text)
    finally:
        sys.setprofile(before)
    return count


def _seconds(text: str) -> float:
    """Of the processor, the least of some attempts."""
    found = []
    for _ in range(5):
        began = time.process_time()
        _parse_or_error(text)
        found.append(time.process_time() - began)
    return min(found)


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
