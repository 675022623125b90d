"""People who try to cheat with Overrides, each refused by the API server, whatever the CRD itself would let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from governed import NAMESPACE, WITHIN, approval, ask, body, governed, patch, path, read, stamp
from lab import Lab

from harness import ROOT
from ombak.sandbox import wait_for
from ombak.sandbox.client import ApiStatusError, Json

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def people() -> Iterator[Lab]:
    """A region with the policy, whose CRD has lost all its rules: the policy must be enough by itself."""
    with governed() as lab:
        crd = yaml.safe_load((ROOT / "crds" / "ombak.dev_overrides.yaml").read_text())
        _drop_rules(crd)
        lab.region.kubectl("apply", "-f", "-", input=yaml.safe_dump(crd))
        wait_for("the rules to be gone", lambda: _is_left_to_the_policy(lab), WITHIN)
        yield lab


def _is_left_to_the_policy(lab: Lab) -> bool:
    """What both the CRD and the policy refuse is refused by the policy: a changed CRD holds a moment later."""
    own = [{"by": "alice", "uid": "u"}]
    try:
        ask(lab, "alice", dry_run=True, approvals=own)
    except ApiStatusError as error:
        return "ValidatingAdmissionPolicy" in str(error)
    return False


def _drop_rules(part: Any) -> None:
    """Take every CEL rule out of a schema."""
    if isinstance(part, dict):
        part.pop("x-kubernetes-validations", None)
        for value in part.values():
            _drop_rules(value)
    elif isinstance(part, list):
        for value in part:
            _drop_rules(value)


@pytest.fixture
def approved(people: Lab) -> Iterator[Json]:
    """An Override that alice asked for and bob approved."""
    made = ask(people, "alice")
    yield patch(people, "bob", approval(made, note="read the diff"))
    people.region.plane.client.call("DELETE", path(name="fix"))


def refusal(work: Callable[[], object]) -> str:
    """What the API server says of something that must be refused."""
    with pytest.raises(ApiStatusError) as refused:
        work()
    assert refused.value.status in (403, 422)
    return str(refused.value)


CREATIONS = [
    pytest.param("alice", {"requestedBy": "carol"}, "write requestedBy: alice", id="in-anothers-name"),
    pytest.param("mallory", {"requestedBy": "alice"}, "write requestedBy: mallory", id="as-a-stranger"),
    pytest.param(
        "alice",
        {"approvals": [{"by": "bob", "uid": "u"}]},
        "is created without approvals",
        id="approved-from-the-start",
    ),
    pytest.param("alice", {"expires": stamp(timedelta(days=9))}, "at most 24h away", id="for-longer-than-a-day"),
    pytest.param("alice", {"expires": stamp(-timedelta(minutes=1))}, "must be in the future", id="in-the-past"),
]


@pytest.mark.parametrize(("user", "spec", "said"), CREATIONS)
def test_an_override_is_not_created_by_cheating(people: Lab, user: str, spec: dict[str, Any], said: str) -> None:
    """Neither in somebody's name, nor approved, nor for ever."""
    told = refusal(lambda: ask(people, user, "cheat", **spec))

    assert "ValidatingAdmissionPolicy 'overrides-v1.ombak.dev'" in told
    assert said in told


def spec(**fields: Any) -> Callable[[Json], Json]:
    """A change of the spec, whatever is there."""
    return lambda _made: {"spec": fields}


UPDATES = [
    pytest.param("alice", lambda made: approval(made, "alice"), "cannot approve it", id="own-approval"),
    pytest.param("alice", lambda made: approval(made, "carol"), "write by: alice", id="approval-in-anothers-name"),
    pytest.param("mallory", lambda made: approval(made, "mallory"), "mallory may not approve", id="without-the-verb"),
    pytest.param("mallory", lambda made: approval(made, "carol"), "write by: mallory", id="stranger-in-anothers-name"),
    pytest.param("alice", spec(reason="something else"), "cannot be changed", id="another-reason"),
    pytest.param("alice", spec(artifact="a1eeeeeeeeee"), "cannot be changed", id="another-artifact"),
    pytest.param("bob", spec(artifact="a1eeeeeeeeee"), "cannot be changed", id="another-artifact-by-the-approver"),
    pytest.param("alice", spec(expires=stamp(timedelta(hours=20))), "cannot be changed", id="a-later-end"),
    pytest.param("alice", spec(bake={"bake": "1ms"}), "cannot be changed", id="a-shorter-bake"),
    pytest.param("alice", spec(supersede=True), "cannot be changed", id="a-field-more"),
    pytest.param("alice", spec(bake=None, supersede=True), "cannot be changed", id="a-field-less"),
    pytest.param("alice", spec(requestedBy="carol"), "cannot be changed", id="another-author"),
    pytest.param("alice", spec(target={"name": "other"}), "cannot be changed", id="another-target"),
    pytest.param("alice", spec(approvals=[]), "was given stays", id="an-approval-removed"),
    pytest.param("bob", spec(approvals=None), "was given stays", id="ones-own-approval-removed"),
]


@pytest.mark.parametrize(("user", "change", "said"), UPDATES)
def test_an_override_is_not_changed_by_cheating(
    people: Lab, approved: Json, user: str, change: Callable[[Json], Json], said: str
) -> None:
    """What was approved is what is there, and only others approve, each for himself."""
    told = refusal(lambda: patch(people, user, change(approved)))

    assert "ValidatingAdmissionPolicy 'overrides-v1.ombak.dev'" in told
    assert said in told
    assert read(people)["spec"] == approved["spec"]


def test_somebodys_approval_is_not_edited(people: Lab, approved: Json) -> None:
    """Not its note, nor what it was given for; and a second one of the same person replaces none."""
    for change in ({"note": "did not read it"}, {"uid": "another"}):
        one = {**approved["spec"]["approvals"][0], **change}
        assert "was given stays" in refusal(lambda one=one: patch(people, "bob", {"spec": {"approvals": [one]}}))  # type: ignore[misc]


def test_an_approval_is_of_what_was_reviewed(people: Lab) -> None:
    """Another Override in its place, of the same name, does not get it."""
    made = ask(people, "alice", "swapped")
    people.region.plane.client_for("alice").call("DELETE", path(name="swapped"))
    ask(people, "alice", "swapped", artifact="a1eeeeeeeeee")
    told = refusal(lambda: patch(people, "bob", approval(made), "swapped"))

    assert "its uid must be metadata.uid of this Override" in told


@pytest.mark.parametrize("user", ["alice", "bob", "mallory"])
def test_nobody_but_the_operator_writes_a_status(people: Lab, approved: Json, user: str) -> None:
    """Plain RBAC; the status decides nothing anyway."""
    client = people.region.plane.client_for(user)
    change = {"status": {"state": "Active", "approvedBy": ["bob"]}}

    assert approved["spec"]["approvals"]
    assert "cannot patch resource" in refusal(
        lambda: client.call("PATCH", path(name="fix", subresource="status"), change)
    )


def test_nobody_approves_in_a_namespace_where_he_may_not(people: Lab) -> None:
    """The verb is asked for where the Override is."""
    people.region.kubectl("create", "namespace", "elsewhere")
    people.region.kubectl("create", "rolebinding", "dora", "-n", NAMESPACE, "--clusterrole=writer", "--user=dora")
    made = ask(people, "alice", namespace="elsewhere")
    client = people.region.plane.client_for("mallory")
    told = refusal(lambda: client.call("PATCH", path("elsewhere", "fix"), approval(made, "mallory")))

    assert "the verb approve on overrides.ombak.dev in namespace elsewhere" in told


def test_two_people_may_approve_one_after_the_other(people: Lab, approved: Json) -> None:
    """The honest way works; as server-side apply too, and the API server warns of nothing in the policy."""
    admin = people.region.plane.client
    both = admin.call("PATCH", path(name="fix"), approval(approved, "sandbox-admin"))
    policy = admin.call(
        "GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/overrides-v1.ombak.dev"
    )

    assert [each["by"] for each in both["spec"]["approvals"]] == ["bob", "sandbox-admin"]
    assert (policy.get("status") or {}).get("typeChecking") in (None, {})


def test_what_is_whole_is_created_by_who_asks(people: Lab) -> None:
    """As `kubectl apply` does it, by a user with no more than the shipped role."""
    config = str(people.region.kubeconfig_for("alice"))
    people.region.kubectl(
        f"--kubeconfig={config}", "-n", NAMESPACE, "apply", "-f", "-", input=yaml.safe_dump(body("applied"))
    )

    assert read(people, "applied")["spec"]["requestedBy"] == "alice"
