"""Durations as people write them."""

import re
from datetime import timedelta

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.api.duration import DURATION_PATTERN, Duration, format_duration, parse_duration


class Model(pydantic.BaseModel):
    """A manifest with durations."""

    pause: Duration = timedelta(minutes=90)
    limit: Duration | None = None


@pytest.mark.parametrize(
    ("text", "length"),
    [
        pytest.param("0", timedelta(0), id="zero"),
        pytest.param("0s", timedelta(0), id="zero seconds"),
        pytest.param("90s", timedelta(seconds=90), id="seconds"),
        pytest.param("5m", timedelta(minutes=5), id="minutes"),
        pytest.param("1h30m", timedelta(minutes=90), id="two units"),
        pytest.param("2d", timedelta(days=2), id="days"),
        pytest.param("500ms", timedelta(milliseconds=500), id="milliseconds"),
        pytest.param("1.5h", timedelta(minutes=90), id="a fraction"),
        pytest.param("0.5ms", timedelta(microseconds=500), id="less than a millisecond"),
        pytest.param("1m1m", timedelta(minutes=2), id="a unit twice, as in Go"),
    ],
)
def test_text_is_read(text: str, length: timedelta) -> None:
    """Go's form, and days."""
    assert parse_duration(text) == length
    assert re.fullmatch(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    "text", ["", "5", "-5m", "5 m", "5M", "PT5M", "m", "1.5", "5m\n", "٣s", "9" * 60 + "s", "1m" * 40]
)
def test_other_text_is_refused_with_the_fix(text: str) -> None:
    """The sentence says what to write."""
    with pytest.raises(ValueError, match="write for example 90s, 5m, 1h30m, 2d or 500ms"):
        parse_duration(text)


def test_what_no_timedelta_holds_is_refused() -> None:
    """Instead of an OverflowError."""
    with pytest.raises(ValueError, match="too long for a duration"):
        parse_duration("999999999d999999999d")


def test_a_field_takes_ten_years_at_most() -> None:
    """A date that far ahead does not exist, and would end every decision in an error."""
    with pytest.raises(pydantic.ValidationError, match="too long; write at most 3650d"):
        pydantic.TypeAdapter(Duration).validate_python("99999999d")


@given(st.timedeltas(min_value=timedelta(0)))
def test_what_is_written_is_read_back_the_same(length: timedelta) -> None:
    """To the microsecond, and it fits the pattern of the CRD."""
    text = format_duration(length)
    assert parse_duration(text) == length
    assert re.fullmatch(DURATION_PATTERN, text)


@given(st.text(max_size=70))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    """Nothing else is ever raised."""
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError as error:
        assert "duration" in str(error)  # noqa: PT017 - either outcome is right, this is about the second


def test_a_model_reads_and_writes_the_text() -> None:
    """In YAML and JSON it is text, in Python a timedelta."""
    model = Model.model_validate({"pause": "1h30m"})
    assert model.pause == timedelta(minutes=90)
    assert model.model_dump_json() == '{"pause":"1h30m","limit":null}'
    assert Model.model_json_schema()["properties"]["pause"]["pattern"] == DURATION_PATTERN


@pytest.mark.parametrize("value", [pytest.param(90, id="a number"), pytest.param("-5m", id="negative")])
def test_a_model_refuses_what_is_no_duration(value: object) -> None:
    """Also a number, whose unit nobody knows."""
    with pytest.raises(pydantic.ValidationError, match="5m"):
        Model.model_validate({"pause": value})
