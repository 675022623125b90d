"""Overrides through the runtime: looked up at the API server for every generation, told, and honoured by a Rollout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ombak.api import override_policy
from ombak.core.floors import Floors
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, Object, Unreachable
from ombak.runtime.observe import view_of
from ombak.runtime.override_status import LOOK_EVERY, OverrideReporter
from support.rig import KEY, NAMESPACE, Rig, baking, template

pytestmark = pytest.mark.usefixtures("quiet")

FIX = (NAMESPACE, "fix")
GUARDS = (kinds.POLICIES, override_policy.policy_spec()), (kinds.POLICY_BINDINGS, override_policy.binding_spec())


@pytest.fixture(autouse=True)
def guarded(rig: Rig) -> None:
    """The policy and its binding are there since an hour."""
    for kind, content in GUARDS:
        guard(rig, kind, content)
    rig.clock.advance(3600)


def guard(rig: Rig, kind: Kind, content: Object) -> None:
    """Somebody installs the policy, or its binding."""
    rig.server.create("admin", kind, "", {"metadata": {"name": override_policy.NAME}, "spec": content})
    age(rig, kind, "", override_policy.NAME)


def age(rig: Rig, kind: Kind, namespace: str, name: str) -> None:
    """Let an object be of now by the clock of the test, as by that of an API server."""
    rig.server.patch("server", kind, namespace, name, {"metadata": {"creationTimestamp": stamp(rig.clock.now())}})


def stamp(moment: datetime) -> str:
    """As the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ask(rig: Rig, artifact: str, name: str = "fix", **more: Any) -> str:
    """Alice asks for an Override; returns its uid."""
    fields: dict[str, Any] = {
        "target": {"kind": "Rollout", "name": KEY[1]},
        "artifact": artifact,
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": stamp(rig.clock.now() + timedelta(hours=1)),
        "bake": {"bake": "10s"},
    }
    made = rig.server.create("alice", kinds.OVERRIDES, NAMESPACE, {"metadata": {"name": name}, "spec": fields | more})
    age(rig, kinds.OVERRIDES, NAMESPACE, name)
    return str(made["metadata"]["uid"])


def approve(rig: Rig, uid: str, name: str = "fix") -> None:
    """Bob approves."""
    patch = {"spec": {"approvals": [{"by": "bob", "uid": uid}]}}
    rig.server.patch("bob", kinds.OVERRIDES, NAMESPACE, name, patch)


def reporter(rig: Rig) -> OverrideReporter:
    """What looks at Overrides."""
    return OverrideReporter(rig.kube, rig.gates.overrides, rig.clock, rig.recorder)


def status(rig: Rig, name: str = "fix") -> Object:
    """What an Override says of itself."""
    found: Object = rig.server.get(kinds.OVERRIDES, NAMESPACE, name)["status"]
    return found


def active(rig: Rig) -> str:
    """The name of the Override that counts for the Rollout now, empty if none does."""
    stored = rig.stores.rollouts.get(KEY)
    assert stored is not None
    found = rig.gates.facts(view_of(stored.value)).overrides.active(rig.clock.now())
    return found.name if found is not None else ""


async def test_an_approved_override_shortens_a_bake_that_is_under_way(rig: Rig) -> None:
    """From the look on that finds it guarded; status and Events say who, and the Override what it does."""
    rig.change(template=template("2.0.0"), strategy=baking("10m"))
    await rig.go_on("Bake")
    uid, made = ask(rig, rig.wanted), reporter(rig)
    await made.reconcile(FIX)
    pending = status(rig)
    approve(rig, uid)
    assert active(rig) == ""
    wake = await made.reconcile(FIX)

    assert (pending["state"], status(rig)["state"], status(rig)["approvedBy"]) == ("Pending", "Active", ["bob"])
    assert f'"by":"YOUR-USER-NAME","uid":"{uid}"' in pending["message"]
    assert wake == LOOK_EVERY
    assert active(rig) == "fix"
    for _ in range(3):
        await rig.reconcile()
        rig.clock.advance(15)
    assert rig.phase == "Stable"
    assert rig.status["override"]["requestedBy"] == "alice"
    assert "Overridden" in rig.recorder.reasons


async def test_each_generation_is_looked_at_anew(rig: Rig) -> None:
    """What is found out about one says nothing of the next: the policy may have been away in between."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    await made.reconcile(FIX)
    rig.server.delete("admin", kinds.POLICIES, "", override_policy.NAME)
    approve(rig, uid)
    before = active(rig)
    await made.reconcile(FIX)

    assert (before, active(rig)) == ("", "")
    assert status(rig)["state"] == "Void"
    assert "ValidatingAdmissionPolicy overrides-v1.ombak.dev is missing" in status(rig)["message"]


async def test_a_policy_that_comes_back_is_too_young(rig: Rig) -> None:
    """Nothing is won by taking it away for a moment; and the word Void stays the last one."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    rig.server.delete("admin", kinds.POLICIES, "", override_policy.NAME)
    approve(rig, uid)
    rig.clock.advance(60)
    guard(rig, *GUARDS[0])
    await made.reconcile(FIX)
    assert "it is older than the ValidatingAdmissionPolicy" in status(rig)["message"]
    rig.clock.advance(3600)

    assert await made.reconcile(FIX) is None
    assert status(rig)["state"] == "Void"


async def test_an_active_override_is_void_from_the_look_on_that_finds_no_policy(rig: Rig) -> None:
    """It is looked at again and again as long as it lasts; the Rollout hears of it."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    approve(rig, uid)
    await made.reconcile(FIX)
    assert active(rig) == "fix"
    rig.server.delete("admin", kinds.POLICY_BINDINGS, "", override_policy.NAME)
    await made.reconcile(FIX)

    assert active(rig) == ""
    assert [note.reason for note in rig.recorder.notes][-2:] == ["Active", "Void"]
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status(rig)["conditions"]}
    assert conditions == {"Active": ("False", "Void"), "Valid": ("False", "Void")}


async def test_a_forged_status_changes_nothing_and_is_put_right(rig: Rig) -> None:
    """No decision reads it."""
    ask(rig, "a1ffffffffff")
    rig.server.replace(
        "mallory", kinds.OVERRIDES, *FIX, {"metadata": {}, "status": {"state": "Active"}}, subresource="status"
    )
    await reporter(rig).reconcile(FIX)

    assert active(rig) == ""
    assert status(rig)["state"] == "Pending"


async def test_an_override_ends_once(rig: Rig) -> None:
    """One write, then it rests; that it was guarded stays on record."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    approve(rig, uid)
    await made.reconcile(FIX)
    rig.clock.advance(3600 - 5)
    assert await made.reconcile(FIX) == timedelta(seconds=5)
    rig.clock.advance(5)
    count = len(rig.kube.writes)

    assert await made.reconcile(FIX) is None
    assert await made.reconcile(FIX) is None
    assert status(rig)["state"] == "Expired"
    assert {c["type"]: c["status"] for c in status(rig)["conditions"]} == {"Active": "False", "Valid": "True"}
    assert len(rig.kube.writes) == count + 1
    assert active(rig) == ""


async def test_without_the_right_to_read_the_policy_nothing_is_allowed(rig: Rig) -> None:
    """It says which right is missing."""
    uid = ask(rig, "a1ffffffffff")
    approve(rig, uid)
    rig.kube.fail("get ValidatingAdmissionPolicy", Forbidden(403, "Forbidden", "no"))
    await reporter(rig).reconcile(FIX)

    assert active(rig) == ""
    assert "charts/rbac.yaml" in status(rig)["message"]


async def test_a_cut_connection_is_tried_again(rig: Rig) -> None:
    """Nothing is known then, so nothing is allowed; a conflict means that the watch will tell."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    approve(rig, uid)
    rig.kube.fail("get ValidatingAdmissionPolicy", Unreachable("cut"))
    with pytest.raises(Unreachable):
        await made.reconcile(FIX)
    assert active(rig) == ""

    rig.kube.fail("replace Override/status", ApiError.of(409))
    await made.reconcile(FIX)
    assert active(rig) == "fix"


async def test_a_deleted_override_is_forgotten(rig: Rig) -> None:
    """And one of the same name is another one, which nobody has looked at."""
    uid, made = ask(rig, "a1ffffffffff"), reporter(rig)
    approve(rig, uid)
    await made.reconcile(FIX)
    rig.server.delete("alice", kinds.OVERRIDES, *FIX)
    assert active(rig) == ""
    assert await made.reconcile(FIX) is None
    uid = ask(rig, "a1eeeeeeeeee")
    approve(rig, uid)

    assert active(rig) == ""


async def test_an_override_that_cannot_be_read_says_so_and_holds_nobody(rig: Rig) -> None:
    """What nobody can read, nobody approved."""
    ask(rig, "a1ffffffffff", bake={"everything": "1s"})
    await reporter(rig).reconcile(FIX)

    assert status(rig)["state"] == "Void"
    assert "spec.bake.everything" in status(rig)["message"]
    rig.change(template=template("2.0.0"))
    await rig.go_on("Stable")


async def test_floors_of_the_region_hold_a_bake_of_nothing(rig: Rig) -> None:
    """`for: 0s` in a manifest is no way round; with an Override it is short again."""
    rig.gates.region_floors = lambda: Floors(bake=timedelta(hours=1))
    rig.change(template=template("2.0.0"))
    await rig.go_on("Bake")
    for _ in range(5):
        rig.clock.advance(15)
        await rig.reconcile()
    assert rig.phase == "Bake"
    assert "of 1h by" in rig.status["progress"]["bake"]
    approve(rig, ask(rig, rig.wanted))
    await reporter(rig).reconcile(FIX)

    await rig.go_on("Stable")
