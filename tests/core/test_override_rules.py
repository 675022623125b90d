"""Which Overrides count: how they came about, who approved them, for how long, and which of several."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.api import override_policy
from ombak.api.override import OverrideState
from ombak.core.overrides.facts import OverrideFacts
from ombak.core.overrides.guard import SETTLES, Guard, GuardObject, flaw
from ombak.core.overrides.view import OverrideView, permit_of
from support.overrides import HOUR, MADE, approved, guard, override
from support.snapshots import NOW, id_of, later

POLICY, BINDING = guard().policy, guard().binding
OLD = NOW - timedelta(days=1)
NO_APPROVAL: dict[str, Any] = {"approvals": []}


def weaker(**more: Any) -> dict[str, Any]:
    """The policy's spec with something changed."""
    return override_policy.policy_spec() | more


FLAWS = [
    pytest.param(Guard(None, BINDING), "ValidatingAdmissionPolicy overrides-v1.ombak.dev is missing", id="no-policy"),
    pytest.param(Guard(POLICY, None), "ValidatingAdmissionPolicyBinding overrides-v1.ombak.dev is m", id="no-binding"),
    pytest.param(guard(spec=weaker(failurePolicy="Ignore")), "its spec differs", id="failure-policy"),
    pytest.param(guard(spec=weaker(validations=[])), "its spec differs", id="no-rules"),
    pytest.param(guard(spec=weaker(matchConditions=[{"name": "no", "expression": "false"}])), "differs", id="narrowed"),
    pytest.param(guard(generation=3), "was altered since it was created", id="altered-and-put-back"),
    pytest.param(guard(is_deleting=True), "is being deleted", id="on-its-way-out"),
    pytest.param(guard(created=MADE + timedelta(seconds=1)), "it is older than", id="younger-than-the-override"),
    pytest.param(guard(created=MADE), "came within 10 s", id="of-the-same-second"),
    pytest.param(
        dataclasses.replace(
            guard(), binding=GuardObject(OLD, 1, override_policy.binding_spec() | {"validationActions": ["Audit"]})
        ),
        "ValidatingAdmissionPolicyBinding overrides-v1.ombak.dev is not the one",
        id="binding-audits-only",
    ),
    pytest.param(
        dataclasses.replace(guard(), binding=GuardObject(OLD, 2, override_policy.binding_spec())),
        "generation is 2, not 1",
        id="binding-altered",
    ),
    pytest.param(
        dataclasses.replace(guard(), binding=GuardObject(MADE, 1, override_policy.binding_spec())),
        "it is older than the ValidatingAdmissionPolicyBinding",
        id="younger-binding",
    ),
    pytest.param(Guard(unreadable="the operator may not read it; bind x"), "may not read it", id="no-right"),
]


@pytest.mark.parametrize(("found", "said"), FLAWS)
def test_what_was_not_guarded_all_its_life_is_void(found: Guard, said: str) -> None:
    """The sentence names what is wrong and the fix; such an Override allows nothing."""
    told = flaw(found, MADE)
    view = override(flaw=told)

    assert said in told
    assert any(word in told for word in ("kubectl apply -f charts/override-policy.yaml", "bind", "create this"))
    assert view.state(NOW) is OverrideState.VOID
    assert OverrideFacts((view,)).active(NOW) is None


def test_what_was_guarded_all_its_life_counts() -> None:
    """From ten seconds after the younger of the two on."""
    assert flaw(guard(), MADE) == ""
    assert flaw(guard(created=MADE - SETTLES), MADE) == ""


@pytest.mark.parametrize(
    ("view", "state"),
    [
        pytest.param(override(), OverrideState.ACTIVE, id="approved"),
        pytest.param(override(**NO_APPROVAL), OverrideState.PENDING, id="nobody-approved"),
        pytest.param(override(flaw=None), OverrideState.PENDING, id="nobody-looked"),
        pytest.param(override(approvals=approved(name="other")), OverrideState.PENDING, id="of-another-object"),
        pytest.param(override(expires=NOW.isoformat()), OverrideState.EXPIRED, id="its-last-moment"),
        pytest.param(override(expires=later(1).isoformat()), OverrideState.ACTIVE, id="before-its-last-moment"),
        pytest.param(override(flaw="it is older than the policy"), OverrideState.VOID, id="void"),
        pytest.param(override(created=later(-24 * 3600)), OverrideState.VOID, id="longer-than-a-day"),
        pytest.param(
            OverrideView("shop", "fix", "u", MADE, None, "spec.x is no field", ""), OverrideState.VOID, id="?"
        ),
    ],
)
def test_an_override_stands_where_its_parts_put_it(view: OverrideView, state: OverrideState) -> None:
    """Only an active one allows anything."""
    assert view.state(NOW) is state
    assert (OverrideFacts((view,)).active(NOW) is not None) == (state is OverrideState.ACTIVE)


def test_the_authors_own_approval_counts_for_nothing() -> None:
    """Also where it got past the API server, in an object that nobody checked."""
    spec = override().spec
    assert spec is not None
    own = spec.approvals[0].model_copy(update={"by": "alice"})
    view = dataclasses.replace(override(), spec=spec.model_copy(update={"approvals": (own,)}))

    assert view.approvers == ()
    assert view.state(NOW) is OverrideState.PENDING


def test_of_several_the_newest_counts() -> None:
    """It must be approved itself; the others are overtaken, and count again when it ends."""
    old = override("v2")
    new = override("v3", name="newer", created=later(-60), approvals=approved(name="newer"))
    pending = override("v4", name="newest", created=later(-30), **NO_APPROVAL)
    facts = OverrideFacts((pending, new, old))

    assert [facts.state(view, NOW) for view in facts.views] == [
        OverrideState.PENDING,
        OverrideState.ACTIVE,
        OverrideState.OVERTAKEN,
    ]
    assert facts.permit(id_of("v2"), NOW) is None
    assert facts.permit(id_of("v3"), NOW) == permit_of(new)
    assert OverrideFacts((old,)).permit(id_of("v2"), NOW) == permit_of(old)


@given(
    st.lists(
        st.builds(
            override,
            st.sampled_from(["v1", "v2", "v3"]),
            name=st.sampled_from(["fix", "other"]),
            created=st.integers(-7200, 0).map(later),
            flaw=st.sampled_from(["", "", None, "void"]),
            approvals=st.sampled_from([approved(), approved(name="other"), []]),
            expires=st.sampled_from([later(-1), later(1), NOW + HOUR]).map(datetime.isoformat),
        ),
        max_size=4,
    )
)
def test_whatever_counts_was_approved_and_guarded_and_is_in_time(views: list[OverrideView]) -> None:
    """For any Overrides at once; at most one is active."""
    facts = OverrideFacts(tuple(views))
    permit, counting = facts.active(NOW), facts.counting(NOW)

    assert (permit is None) == (counting is None)
    if counting is not None and permit is not None:
        assert counting.flaw == ""
        assert permit.approved_by == ("bob",)
        assert permit.until > NOW
        others = [facts.state(view, NOW) for view in views if view != counting]
        assert OverrideState.ACTIVE not in others
