"""Three-valued truth, against the definition: try every way in which the unknown can turn out."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.alarms import parser, truth
from ombak.alarms.syntax import And, AtLeast, Constant, Expression, Is, Not, Or, Ref, references
from ombak.api.health import Certainty, State
from support.effort import examples
from support.expressions import expressions, few_refs

_CHILDREN = st.one_of(
    st.sampled_from(State).map(truth.known),
    st.just(truth.unknown("stale")),
    st.sampled_from([State.OK, State.ALARM]).map(lambda state: truth.uncertain(state, "open")),
)
_WORLDS = st.fixed_dictionaries({Ref(name): _CHILDREN for name in "abc"})


def _holds(expression: Expression, worlds: dict[Ref, truth.World]) -> bool:
    """The two-valued meaning, written down a second time as plainly as possible."""
    match expression:
        case Constant(value):
            return value
        case Is(state, ref):
            return state in worlds[ref]
        case AtLeast():
            count = sum((expression.state in worlds[ref]) != expression.negated for ref in expression.refs)
            needed = expression.amount * len(expression.refs) / 100 if expression.percent else expression.amount
            return count >= needed
        case Not(operand):
            return not _holds(operand, worlds)
        case And(operands):
            return all(_holds(operand, worlds) for operand in operands)
        case Or(operands):
            return any(_holds(operand, worlds) for operand in operands)


@given(expressions(few_refs, size=8), _WORLDS)
@settings(max_examples=examples(400))
def test_truth_is_what_trying_every_way_gives(expression: Expression, children: dict[Ref, truth.Child]) -> None:
    """`state` is the reading of AWS; Certain exactly if every way gives the same."""
    found = truth.evaluate(expression, children)
    reading = _holds(expression, {ref: child.reading for ref, child in children.items()})
    ways = itertools.product(*(child.possible for child in children.values()))
    outcomes = {_holds(expression, dict(zip(children, way, strict=True))) for way in ways}
    assert (State.ALARM if reading else State.OK) == found.state
    assert (outcomes == {reading}) == (found.certainty is Certainty.Certain)


@given(expressions(few_refs, size=8), _WORLDS)
def test_contributors_are_children_in_alarm_that_are_enough(
    expression: Expression, children: dict[Ref, truth.Child]
) -> None:
    """There are none without an ALARM, and each of them is in ALARM."""
    found = truth.evaluate(expression, children)
    assert found.state is State.ALARM or not found.contributors
    assert all(State.ALARM in children[ref].reading for ref in found.contributors)


@given(expressions(few_refs, size=8), _WORLDS)
def test_knowing_more_never_proves_the_opposite(expression: Expression, children: dict[Ref, truth.Child]) -> None:
    """Once certain, no unknown child that turns out makes it certain of the other state."""
    before = truth.evaluate(expression, children)
    if before.certainty is Certainty.Uncertain:
        return
    for ref in before.unknown:
        for world in children[ref].possible:
            after = truth.evaluate(expression, {**children, ref: truth.Child(world, (world,))})
            assert after.state is before.state or after.certainty is Certainty.Uncertain


def test_what_is_read_and_cannot_be_is_not_sure() -> None:
    """AWS takes every predicate over something unknown for false, also where one of them has to be true."""
    expression = parser.parse("OK(a) AND NOT OK(b) AND NOT ALARM(b) AND NOT INSUFFICIENT_DATA(b)").expression
    a, _ = references(expression)
    before, after = truth.evaluate(expression, {}), truth.evaluate(expression, {a: truth.known(State.OK)})
    assert (before.state, before.certainty) == (State.OK, Certainty.Certain)
    assert (after.state, after.certainty) == (State.ALARM, Certainty.Uncertain)


def test_an_expression_made_to_be_hard_is_not_sure_instead_of_slow() -> None:
    """Deciding this one needs every combination of forty unknown children; giving up never says Certain."""
    pairs = [f"(ALARM(a{i}) AND OK(b{i}))" for i in range(40)]
    again = [f"(ALARM(b{i}) AND OK(a{i}))" for i in range(40)]
    expression = parser.parse(" OR ".join(pairs + again)).expression
    assert truth.evaluate(expression, {}).certainty is Certainty.Uncertain


def test_a_child_that_is_not_given_is_unknown() -> None:
    """Nobody has to list what is missing."""
    expression = parser.parse("ALARM(a)").expression
    found = truth.evaluate(expression, {})
    assert (Certainty.Uncertain, references(expression)) == (found.certainty, found.unknown)
