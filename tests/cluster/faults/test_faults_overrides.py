"""Overrides that a running operator honours, and those that came about in ways in which it must not."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from governed import GUARDS, approval, ask, audit, forged, governed, in_state, install_policy, patch, path, uninstall
from lab import Lab

import manifests
from harness import ROOT, USER, OperatorProcess, Shop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
LONG: dict[str, Any] = {"bake": {"for": "1h"}}


@pytest.fixture(scope="module")
def people() -> Iterator[Lab]:
    """A region with the policy."""
    with governed() as lab:
        yield lab


@pytest.fixture(scope="module")
def running(people: Lab) -> Iterator[OperatorProcess]:
    """Its operator, a hub of one region too, with the rights of the charts and no more."""
    for name in ("hub-rbac.yaml", "region-rbac.yaml"):
        people.region.grant(USER, ROOT / "charts" / name)
    operator = people.run_operator("overrides", options=["--hub"])
    yield operator
    operator.stop()


def test_an_approved_override_takes_a_release_through(people: Lab, running: OperatorProcess) -> None:
    """Bakes of an hour become seconds and the named Blocker is passed, for this artifact; everything is on record."""
    people.run(_taken_through(people))


async def _taken_through(lab: Lab) -> None:
    shop = await lab.shop("honest")
    slow = {"oneBox": LONG, "rolling": LONG, **LONG}
    freeze = {"owner": "sre", "reason": "payments fail", "stops": "Steps"}
    await shop.installed(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    new = await shop.release("1.1.0", strategy=slow)
    await shop.until(lambda now: "bake" in now.waits_for, "the bake of the one box")
    await shop.create({"apiVersion": manifests.API, "kind": "Blocker", "metadata": {"name": "freeze"}, "spec": freeze})
    passes = [{"kind": "Blocker", "name": "freeze"}]
    await asyncio.to_thread(ask, lab, "alice", namespace=shop.namespace, artifact=new, passes=passes)
    told = await asyncio.to_thread(in_state, lab, "Pending", "fix", shop.namespace)
    assert (shop.now and shop.now.phase) == "OneBoxBake"

    words = shlex.split(told["message"].partition("overrides: ")[2].replace("YOUR-USER-NAME", "bob"))
    assert words[0] == "kubectl"
    bob = f"--kubeconfig={lab.region.kubeconfig_for('bob')}"
    await asyncio.to_thread(lab.region.kubectl, bob, *words[1:])

    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == new
    seen = stable.status["override"]
    assert (seen["name"], seen["requestedBy"], seen["approvedBy"]) == ("fix", "alice", ["bob"])
    await shop.event("Overridden", "freeze")
    await shop.event("Overridden", "before its bake of 1h is over, by Override fix of alice, approved by bob")
    shop.notes.append(await shop.kubectl("get", "overrides", "-o", "wide"))
    await _hold_others(shop)


async def _hold_others(shop: Shop) -> None:
    """The fix is stable, so the next change is held by the Blocker alone, as it has no Override of its own."""
    await shop.release("1.2.0")
    held = await shop.until(lambda now: now.phase == "Blocked", "the next change to wait")

    assert "Blocker" in held.waits_for
    assert "Override" not in held.waits_for


def test_an_approved_override_supersedes_what_is_on_its_way(people: Lab, running: OperatorProcess) -> None:
    """While it is active no other artifact starts; the fix takes the place of one in the middle of its bake."""
    people.run(_superseded(people))


async def _superseded(lab: Lab) -> None:
    shop = await lab.shop("supersede")
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    bad = await shop.release("1.1.0", strategy={"rolling": LONG})
    await shop.until(lambda now: (now.release.get("step") or {}).get("number") == 2, "the first batch")
    fix = await shop.release("1.2.0")
    await shop.until(lambda now: now.artifact("queued") == fix, "the fix to wait")
    made = await asyncio.to_thread(
        ask, lab, "alice", namespace=shop.namespace, artifact=fix, supersede=True, bake={"batch": "1s"}
    )
    await asyncio.to_thread(patch, lab, "bob", approval(made), "fix", shop.namespace)

    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == fix
    assert await shop.boxes() == {fix: 4}
    assert "Reverting" not in shop.watcher.phases()
    await shop.event("Superseded", f"{fix} takes the place of {bad}")
    assert len([event for event in await shop.items("Event") if event["reason"] == "Superseded"]) == 1
    assert shop.watcher.judgement().most(bad) < 4
    assert old not in await shop.boxes()


def test_an_approved_override_lets_the_fix_pass_the_alarm_that_it_ends(people: Lab, running: OperatorProcess) -> None:
    """The fix goes on step by step while the alarm is on, and is stable only when it has ended."""
    people.run(_passed_alarm(people))


async def _passed_alarm(lab: Lab) -> None:
    shop = await lab.shop("incident")
    await shop.installed(manifests.switch(), manifests.rollout(replicas=4, alarms=manifests.alarms()))
    await shop.switch(manifests.FIRING)
    await shop.told("ALARM")
    fix = await shop.release("1.1.0")
    await shop.until(lambda now: "an alarm to end" in now.waits_for, "a hold by the alarm")
    passes = [{"kind": "Alarm", "name": "service"}]
    await asyncio.to_thread(ask, lab, "alice", namespace=shop.namespace, artifact=fix, passes=passes, bake=None)
    told = await asyncio.to_thread(in_state, lab, "Pending", "fix", shop.namespace)
    words = shlex.split(told["message"].partition("overrides: ")[2].replace("YOUR-USER-NAME", "bob"))
    bob = f"--kubeconfig={lab.region.kubeconfig_for('bob')}"
    await asyncio.to_thread(lab.region.kubectl, bob, *words[1:])
    held = await shop.until(
        lambda now: (now.release.get("step") or {}).get("goal") == 4 and "that was there before" in now.waits_for,
        "all boxes, held by the alarm",
    )
    assert held.artifact("stable") != fix
    await shop.switch(manifests.OK)
    await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == fix, "the fix")
    await shop.event("Overridden", "in spite of an alarm", "approved by bob")


def test_no_other_artifact_starts_while_one_is_active(people: Lab, running: OperatorProcess) -> None:
    """The wait names the Override, and the command that it tells ends it."""
    people.run(_held(people))


async def _held(lab: Lab) -> None:
    shop = await lab.shop("held")
    await shop.installed(manifests.rollout(replicas=2))
    made = await asyncio.to_thread(ask, lab, "alice", namespace=shop.namespace)
    await asyncio.to_thread(patch, lab, "bob", approval(made), "fix", shop.namespace)
    await asyncio.to_thread(in_state, lab, "Active", "fix", shop.namespace)
    other = await shop.release("1.1.0")
    held = await shop.until(lambda now: "Override fix to end" in now.waits_for, "the Override")

    waiting = held.status["waitingFor"]
    assert held.phase == "Blocked"
    assert waiting["expected"] == made["spec"]["expires"]
    assert "asked for by alice, approved by bob" in waiting["what"]
    words = shlex.split(waiting["command"])
    await asyncio.to_thread(lab.region.kubectl, *words[1:])
    assert (await shop.phase("Stable")).artifact("stable") == other


def test_a_hub_writes_what_an_override_allows_into_its_regions(people: Lab, running: OperatorProcess) -> None:
    """Short bakes under the Region's floor, with a reference; afterwards the ordinary ones again."""
    people.run(_on_a_hub(people))


async def _on_a_hub(lab: Lab) -> None:
    shop = await lab.shop("hub")
    region = {"access": {"inCluster": {}}, "floors": {"oneBox": "1h"}, "allow": {"namespaces": [shop.namespace]}}
    lab.region.kubectl("apply", "-f", "-", input=yaml.safe_dump(_object("Region", "here", region)))
    await asyncio.to_thread(_apply_pipeline, lab, shop, "1.0.0")
    first = (await shop.phase("Stable")).artifact("stable")
    await asyncio.to_thread(_apply_pipeline, lab, shop, "1.1.0")
    baking = await shop.until(lambda now: "bake" in now.waits_for, "the bake of the one box")
    new = baking.artifact("current")
    assert new != first
    assert baking.spec["strategy"]["oneBox"]["bake"]["for"] == "1h"
    target = {"kind": "Pipeline", "name": shop.name}
    made = await asyncio.to_thread(ask, lab, "alice", namespace=shop.namespace, artifact=new, target=target)
    await asyncio.to_thread(patch, lab, "bob", approval(made), "fix", shop.namespace)

    stable = await shop.until(lambda now: now.phase == "Stable" and now.artifact("stable") == new, "the fix")
    assert stable.spec["strategy"]["oneBox"]["bake"]["for"] == "1s"
    assert stable.annotations["ombak.dev/override"] == f"{shop.namespace}/fix"
    await shop.kubectl("delete", "override", "fix")
    ordinary = await shop.until(
        lambda now: now.spec["strategy"]["oneBox"]["bake"]["for"] == "1h", "the ordinary bake again"
    )
    assert "ombak.dev/override" not in ordinary.annotations

    async def is_told() -> bool:
        told = [e for e in await shop.items("Event") if e["involvedObject"]["kind"] == "Pipeline"]
        return "Overridden" in {event["reason"] for event in told}

    await shop.settled(is_told, "an Event about the Pipeline")


def _apply_pipeline(lab: Lab, shop: Shop, version: str) -> None:
    bake = {"bake": {"for": "1s"}}
    rollout = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": shop.name}},
        "template": manifests.template(version),
        "strategy": {"oneBox": bake, "rolling": bake},
        "unwatched": "what it proves needs no alarm",
    }
    stages = [{"name": "prod", "phase": "Prod", "regions": {"names": ["here"]}, **bake}]
    made = _object("Pipeline", shop.name, {"rollout": {"spec": rollout}, "stages": stages})
    lab.region.kubectl("-n", shop.namespace, "apply", "-f", "-", input=yaml.safe_dump(made))


def _object(kind: str, name: str, spec: dict[str, Any]) -> manifests.Manifest:
    return {"apiVersion": manifests.API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_what_came_about_without_the_policy_is_void(people: Lab, running: OperatorProcess) -> None:
    """Missing, unbound, altered, altered and put back, or younger: the release bakes on, and each says why."""
    people.run(_all_void(people))


async def _all_void(lab: Lab) -> None:
    shop = await lab.shop("void")
    await shop.installed(manifests.rollout(replicas=2))
    new = await shop.release("1.1.0", strategy={"oneBox": LONG})
    await shop.until(lambda now: "bake" in now.waits_for, "the bake of the one box")
    await asyncio.to_thread(_forge_all, lab, shop.namespace, new)
    await shop.scale(3)
    await shop.sized(3)

    assert (shop.now and shop.now.phase) == "OneBoxBake"
    assert shop.watcher.goals(new) == [1]


def _forge_all(lab: Lab, namespace: str, artifact: str) -> None:
    """Every way around the policy that somebody has who may alter it; each Override says why it is void."""

    def void(name: str, said: str) -> None:
        in_state(lab, "Void", name, namespace, said)

    def forge(name: str) -> None:
        forged(lab, name, namespace, artifact=artifact)

    uninstall(lab, GUARDS[0])
    forge("without-policy")
    void("without-policy", "ValidatingAdmissionPolicy overrides-v1.ombak.dev is missing")
    install_policy(lab)
    void("without-policy", "it is older than the ValidatingAdmissionPolicy overrides")

    uninstall(lab, GUARDS[1])
    forge("without-binding")
    void("without-binding", "ValidatingAdmissionPolicyBinding overrides-v1.ombak.dev is missing")
    install_policy(lab)
    void("without-binding", "it is older than the ValidatingAdmissionPolicyBinding")

    audit(lab, is_all=True)
    forge("under-an-audit")
    void("under-an-audit", "ValidatingAdmissionPolicyBinding overrides-v1.ombak.dev is not the one")
    audit(lab, is_all=False)
    void("under-an-audit", "was altered since it was created (its generation is 3")

    status = {"status": {"state": "Active", "approvedBy": ["bob"], "message": "it is fine"}}
    lab.region.plane.client.call("PATCH", path(namespace, "under-an-audit", "status"), status)
    void("under-an-audit", "was altered since it was created")
