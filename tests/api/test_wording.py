"""Sentences from pieces that others wrote."""

import pytest

from ombak.api.wording import clause, sentence


@pytest.mark.parametrize(
    ("text", "inside", "alone"),
    [
        pytest.param("it is down", "it is down", "it is down.", id="without an end"),
        pytest.param("it is down.", "it is down", "it is down.", id="with one"),
        pytest.param("it is down. \n", "it is down", "it is down.", id="and a line break"),
        pytest.param("it is down..", "it is down", "it is down.", id="with two"),
        pytest.param("is it down?", "is it down?", "is it down?", id="a question"),
        pytest.param("limit is 0.5", "limit is 0.5", "limit is 0.5.", id="a number"),
        pytest.param("", "", "", id="nothing"),
    ],
)
def test_a_text_has_one_end_or_none(text: str, inside: str, alone: str) -> None:
    """However its author ended it."""
    assert (clause(text), sentence(text)) == (inside, alone)
