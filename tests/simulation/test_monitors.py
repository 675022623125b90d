"""The monitors see what an operator that breaks its promises does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.core.snapshot import Proof
from ombak.runtime import kinds
from ombak.runtime.backfill import Backfill
from ombak.runtime.gaps import Gaps
from ombak.runtime.kube_port import Object
from ombak.simulation.agenda import Agenda
from ombak.simulation.batches import one
from ombak.simulation.client import OPERATOR
from ombak.simulation.gatekeeping import block
from ombak.simulation.health import OUTSIDE, REVERT, Evaluation, SimulatedAlarms
from ombak.simulation.pods import Behaviour
from ombak.simulation.process import QuickProcess
from ombak.simulation.region import NAME, NAMESPACE, Region, template
from ombak.simulation.run import Run
from ombak.simulation.scenario import Act, Scenario, spec

pytestmark = pytest.mark.breadth

ZONES = ["a", "b", "c"]


def settled(made: Object) -> tuple[Run, Agenda]:
    """A Rollout that the real operator installed, and that is stable; the operator is gone."""
    agenda = Agenda()
    run = Run(Scenario("monitored", made), 1, Region(agenda, 1))
    run.region.apply(made)
    operator = QuickProcess(run.region, run.machine, run.faults, run.rng, run.tell)
    agenda.run_until(300)
    operator.end()
    assert run.region.phase == "Stable"
    assert run.outcome.violations == []
    return run, agenda


def fleets(run: Run) -> list[Object]:
    """The ReplicaSets of the fleet, by name."""
    return sorted(run.region.server.all("ReplicaSet"), key=lambda o: o["metadata"]["name"])


def shrink(run: Run, index: int, size: int) -> None:
    """The operator writes a size."""
    run.region.server.patch(
        OPERATOR, kinds.REPLICA_SETS, NAMESPACE, fleets(run)[index]["metadata"]["name"], {"spec": {"replicas": size}}
    )


def take_four(run: Run) -> None:
    """One box more than the floor allows."""
    shrink(run, 0, 5)


def take_two_zones(run: Run) -> None:
    """A box of each of two zones."""
    shrink(run, 0, 2)
    shrink(run, 1, 2)


def deliver_unrecorded(run: Run) -> None:
    """A version that no release on record approves."""
    made = fleets(run)[0]
    other = template("v2", Behaviour())
    labels = made["spec"]["template"]["metadata"]["labels"] | {naming.ARTIFACT: "a1c0aa48c0e0"}
    other["metadata"]["labels"] = labels
    body = {"metadata": {**made["metadata"], "name": "more"}, "spec": {**made["spec"], "template": other}}
    run.region.server.create(OPERATOR, kinds.REPLICA_SETS, NAMESPACE, body)


def change_content(run: Run) -> None:
    """The same version with another content."""
    made = fleets(run)[0]
    patch = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    run.region.server.patch(OPERATOR, kinds.REPLICA_SETS, NAMESPACE, made["metadata"]["name"], patch)


def promote_unproven(run: Run) -> None:
    """A version is called stable of which there is no release."""
    name = run.region.server.all("Artifact")[0]["metadata"]["name"]
    patch = {"status": {"stable": {"order": 2, "at": "2026-01-05T09:00:00Z"}}}
    run.region.server.patch(OPERATOR, kinds.ARTIFACTS, NAMESPACE, name, patch, subresource="status")


@pytest.mark.parametrize(
    ("zones", "do", "promise"),
    [
        pytest.param(None, take_four, "P1", id="below the floor"),
        pytest.param(ZONES, take_two_zones, "P6", id="two zones at once"),
        pytest.param(None, deliver_unrecorded, "exposure", id="more than approved"),
        pytest.param(None, change_content, "P5", id="another content"),
        pytest.param(None, promote_unproven, "P2", id="promoted without a release"),
    ],
)
def test_a_broken_promise_is_seen(zones: list[str] | None, do: Callable[[Run], None], promise: str) -> None:
    """At the very write that breaks it."""
    more = {"zones": zones} if zones else {}
    run, _ = settled(spec(9 if zones else 10, template("v1", Behaviour()), **more))

    do(run)

    assert [v.split()[0] for v in run.outcome.violations][:1] == [promise]


def held() -> tuple[Run, Agenda]:
    """A first install that the real operator holds because of an old alarm; the operator is gone."""
    agenda = Agenda()
    made = spec(10, template("v1", Behaviour(bad_from=1, burns_after=300.0)))
    run = Run(Scenario("monitored", made), 1, Region(agenda, 1))
    run.region.apply(made)
    run.region.health.ambient.add(REVERT)
    run.region.health.look()
    operator = QuickProcess(run.region, run.machine, run.faults, run.rng, run.tell)
    agenda.run_until(100)
    assert run.region.is_held
    operator.end()
    assert run.outcome.violations == []
    return run, agenda


def test_a_rejection_by_an_old_alarm_is_seen() -> None:
    """An operator that takes a version back for what was there before it."""
    run, _ = held()
    name = run.region.server.all("Artifact")[0]["metadata"]["name"]
    patch = {"status": {"rejected": {"reason": "AlarmFired", "message": "x", "at": "2026-01-05T09:00:00Z"}}}

    run.region.server.patch(OPERATOR, kinds.ARTIFACTS, NAMESPACE, name, patch, subresource="status")

    assert [v.split()[0] for v in run.outcome.violations] == ["baseline"]


def test_a_hold_in_spite_of_a_new_contributor_is_seen() -> None:
    """An operator that goes on holding when the version itself is in ALARM too."""
    run, _ = held()
    artifact = run.region.status["artifacts"]["current"]
    run.region.health.read_at = {REVERT: Evaluation(run.now, State.ALARM, frozenset({OUTSIDE, artifact}))}
    patch = {"status": {"message": "as before"}}

    run.region.server.patch(OPERATOR, kinds.ROLLOUTS, NAMESPACE, NAME, patch, subresource="status")

    assert [v.split()[0] for v in run.outcome.violations] == ["baseline"]


def start_unasked(run: Run) -> None:
    """A release begins."""
    at = "2026-01-05T09:05:00Z"
    step = {"number": 1, "approvedAt": at, "goal": 1, "highWater": 0, "progressAt": at}
    position = {"segment": 0, "boxes": 1, "of": 1}
    began = {"artifact": "a1c0aa48c0e0", "mode": "Forward", "beganAt": at, "position": position, "step": step}
    run.region.server.patch(
        OPERATOR, kinds.ROLLOUTS, NAMESPACE, NAME, {"status": {"memory": {"release": began}}}, subresource="status"
    )


@pytest.mark.parametrize(
    "closing",
    [
        pytest.param(block("freeze"), id="blocked"),
        pytest.param(block("event", "Steps", cluster=True), id="blocked-everywhere"),
        pytest.param(lambda stage: stage.region.change({"windows": ["nowhere"]}), id="window-missing"),
    ],
)
def test_a_start_in_a_closed_time_is_seen(closing: Act) -> None:
    """Once the operator must know of what closes it, and not before."""
    run, agenda = settled(spec(10, template("v1", Behaviour())))
    closing(run.stage(lambda: None, lambda _: None))
    agenda.run_until(301)
    start_unasked(run)
    assert [v for v in run.outcome.violations if v.startswith("gates")] == []
    run.region.erase_status()
    agenda.run_until(330)

    start_unasked(run)

    assert [v for v in run.outcome.violations if v.startswith("gates")] != []


def test_what_the_world_takes_is_not_the_operators_fault() -> None:
    """Boxes that die count against nobody, nor does their replacement; exchanging what is left does."""
    run, agenda = settled(spec(10, template("v1", Behaviour())))
    for pod in list(run.region.kubelets.pods.values())[:5]:
        run.region.kubelets.lose(pod)
    agenda.run_until(320)
    shrink(run, 0, 4)
    assert run.outcome.violations == []

    shrink(run, 0, 3)

    assert run.outcome.violations[0].startswith("P1")


def test_bake_time_that_was_not_good_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prometheus that calls every past good makes the ledger hold more than the truth."""
    assert one("outages", 3, "quick").violations == []
    monkeypatch.setattr(SimulatedAlarms, "prove", lambda _self, _rollout, since, until: ((since, until),))

    broken = one("outages", 3, "quick").violations

    assert [v.split()[0] for v in broken][:1] == ["P4"]


def test_gaps_are_proven_in_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wholly, in part and not at all: else the runs would show nothing."""
    seen: list[float] = []

    async def prove(self: Backfill, gaps: Gaps, *more: Any) -> Proof | None:
        gap = gaps.oldest
        proof = await honest(self, gaps, *more)
        if gap is not None and gap.until is not None and gaps.oldest is not gap:
            seen.append((proof.length if proof else timedelta(0)) / (gap.until - gap.since))
        return proof

    honest = Backfill.prove
    monkeypatch.setattr(Backfill, "prove", prove)
    for seed in range(1, 4):
        one("outages", seed, "quick")

    assert any(share == 1 for share in seen)
    assert any(0 < share < 0.9 for share in seen)
    assert any(share == 0 for share in seen)
