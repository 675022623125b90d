"""Guards: an Alarm reaches its own namespace and its team's, and never a stranger's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.runtime.guards import Guards, decode_namespace
from support import snapshots

NAMESPACES, TEAMS = ("a", "b", "c", "d"), ("", "red", "blue")


def guarding(guards: Guards, namespace: str, **labels: str) -> tuple[tuple[str, str], ...]:
    view: Any = snapshots.rollout(snapshots.spec(), namespace=namespace, labels=labels)
    return guards.guarding(view)


@pytest.mark.parametrize(
    ("teams", "expected"),
    [
        pytest.param({}, {"a"}, id="no-teams"),
        pytest.param({"a": "red", "b": "red", "c": "blue"}, {"a", "b"}, id="own-team"),
        pytest.param({"b": "red", "c": "red"}, {"a"}, id="no-team-of-its-own"),
        pytest.param({"a": "", "b": ""}, {"a"}, id="empty-is-none"),
    ],
)
def test_an_alarm_guards_its_namespace_and_its_team(teams: dict[str, str], expected: set[str]) -> None:
    """And nobody else."""
    guards = Guards()
    for namespace, team in teams.items():
        guards.set_team(namespace, team)
    guards.set_alarm(("a", "high"), {})
    assert {namespace for namespace in NAMESPACES if guarding(guards, namespace)} == expected


def test_all_labels_have_to_match() -> None:
    """An empty selector is for all."""
    guards = Guards()
    guards.set_alarm(("a", "both"), {"app": "x", "tier": "web"})
    guards.set_alarm(("a", "all"), {})
    assert guarding(guards, "a", app="x", tier="web", more="y") == (("a", "all"), ("a", "both"))
    assert guarding(guards, "a", app="x") == (("a", "all"),)


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("team"), st.sampled_from(NAMESPACES), st.sampled_from(TEAMS)),
        st.tuples(st.just("alarm"), st.sampled_from(NAMESPACES), st.sampled_from([None, {}, {"app": "x"}])),
    ),
    max_size=20,
)


@given(CHANGES)
def test_whoever_is_guarded_otherwise_hears_of_it(changes: list[tuple[str, str, Any]]) -> None:
    """A change names at least the namespaces in which it changed something; the order of changes does not matter."""
    guards, last = Guards(), {}
    for kind, namespace, value in changes:
        before = {each: guarding(guards, each, app="x") for each in NAMESPACES}
        told = guards.set_team(namespace, value) if kind == "team" else guards.set_alarm((namespace, "high"), value)
        assert {each for each in NAMESPACES if guarding(guards, each, app="x") != before[each]} <= told
        last[kind, namespace] = value
    fresh = Guards()
    for (kind, namespace), value in last.items():
        fresh.set_team(namespace, value) if kind == "team" else fresh.set_alarm((namespace, "high"), value)
    assert [guarding(fresh, each, app="x") for each in NAMESPACES] == [
        guarding(guards, each, app="x") for each in NAMESPACES
    ]


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": {}}, {"metadata": {"labels": None}}, {"metadata": {"labels": {"ombak.dev/team": ""}}}]
)
def test_a_namespace_without_the_label_has_no_team(obj: dict[str, Any]) -> None:
    """Whatever it holds."""
    assert decode_namespace(obj).team == ""
