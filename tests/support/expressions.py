"""Generated expressions, for the property tests of the alarm language."""

from hypothesis import strategies as st

from ombak.alarms.syntax import And, AtLeast, Constant, Expression, Is, Not, Or, Ref
from ombak.api.health import State

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=12)
_PART = st.one_of(st.sampled_from(["a", "b", "OK", "not", "x-1", 'q"', "b\\", " s p ", "(,)"]), _TEXT)


def _is_plain(ref: Ref) -> bool:
    return not str(ref).startswith("arn:")


refs = st.one_of(st.builds(Ref, _PART), st.builds(Ref, _PART, _PART), st.builds(Ref, _PART, _PART, _PART)).filter(
    _is_plain
)
"""References with names that need quoting now and then."""

few_refs = st.sampled_from([Ref("a"), Ref("b"), Ref("c")])
"""References that meet each other in one expression."""


def _at_least(of: st.SearchStrategy[Ref]) -> st.SearchStrategy[AtLeast]:
    lists = st.lists(of, min_size=1, max_size=3, unique=True).map(tuple)
    counts = lists.flatmap(
        lambda listed: st.builds(
            AtLeast,
            st.integers(1, len(listed)),
            st.just(False),
            st.booleans(),
            st.sampled_from(State),
            st.just(listed),
        )
    )
    shares = st.builds(AtLeast, st.integers(1, 100), st.just(True), st.booleans(), st.sampled_from(State), lists)
    return counts | shares


def expressions(of: st.SearchStrategy[Ref], size: int = 12) -> st.SearchStrategy[Expression]:
    """Expressions over such references, with about `size` leaves at most."""
    leaves = st.one_of(st.builds(Is, st.sampled_from(State), of), st.builds(Constant, st.booleans()), _at_least(of))

    def deeper(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(inner, min_size=2, max_size=4).map(tuple)
        return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)

    return st.recursive(leaves, deeper, max_leaves=size)
