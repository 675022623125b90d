"""Signals on a real control plane with real traffic: no Alarm object anywhere."""

from __future__ import annotations

from typing import Any

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster

ERRORS = {
    "name": "errors",
    "ratio": {"bad": 'http_requests_total{code="500"}', "total": "http_requests_total"},
    "above": "5%",
    "period": "1s",
}
LATENCY = {
    "name": "p99",
    "quantile": {"of": "http_request_duration_seconds_bucket", "q": 0.99},
    "above": "500ms",
    "period": "1s",
    "minSamples": 5,
}


def watched(*signals: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Rollout with signals and nothing else that watches it."""
    made = manifests.rollout(signals=list(signals), **spec)
    del made["spec"]["unwatched"]
    return made


@side_by_side
async def test_a_good_release_passes_its_signals(shop: Shop) -> None:
    """Nothing fails, so the ratio is 0; both alarms of each signal are told with their numbers on the way."""
    await shop.installed(watched(ERRORS, LATENCY, replicas=4))

    new = await shop.release("1.1.0")
    seen = await shop.until(
        lambda now: [_told(each) for each in now.status.get("signals", [])] == [("OK", "Certain")] * 2,
        "both signals of the one box in OK, and the service's certain",
    )
    at_rest = await shop.phase("Stable")

    assert at_rest.artifact("stable") == new
    for told in seen.status["signals"]:
        assert f"signal {told['name']} of the one box: " in told["oneBox"]["message"]
    assert "alarms when > 0.05" in seen.status["signals"][0]["service"]["message"]


def _told(signal: dict[str, Any]) -> tuple[str, str]:
    return signal["oneBox"]["state"], signal["service"]["certainty"]


@side_by_side
async def test_the_one_box_is_caught_by_its_own_alarm(shop: Shop) -> None:
    """A fifth of its requests fail, 2 % of all: the same line that the service is well by takes the release back."""
    old = await shop.installed(watched(ERRORS))

    new = await shop.release("1.1.0", {"error-rate": "0.2"})
    at_rest = await shop.phase("Reverted")

    assert await shop.boxes() == {old: 10}
    assert shop.watcher.goals(new) == [1]
    assert "signal errors of the one box" in at_rest.status["message"]


@side_by_side
async def test_slowness_is_caught_too(shop: Shop) -> None:
    """No request fails, but the one box takes two seconds."""
    old = await shop.installed(watched(LATENCY, replicas=4))

    await shop.release("1.1.0", {"latency": "2s"})
    at_rest = await shop.phase("Reverted")

    assert await shop.boxes() == {old: 4}
    assert "signal p99" in at_rest.status["message"]


@side_by_side
async def test_a_metric_that_nobody_has_holds_the_release(shop: Shop) -> None:
    """Unknown is not OK: the first version comes up, and is not called stable."""
    unknown = {"name": "errors", "ratio": {"bad": "typo_total", "total": "typo_total"}, "above": "1%", "period": "1s"}
    await shop.create(watched(unknown, replicas=2))

    held = await shop.until(lambda now: "alarms that can be evaluated" in now.waits_for, "a wait for the signal")

    assert "signal errors" in held.waits_for
    await shop.change(signals=[ERRORS])
    assert (await shop.phase("Stable")).artifact("stable")


@side_by_side
async def test_a_signal_that_cannot_be_read_changes_nothing(shop: Shop) -> None:
    """The CRD cannot parse PromQL: the condition names the field and the fix, and what runs stays."""
    old = await shop.installed(watched(ERRORS, replicas=2))

    broken = {**ERRORS, "ratio": {"bad": "rate(http_requests_total[1m])", "total": "http_requests_total"}}
    await shop.release("1.1.0", signals=[broken])
    held = await shop.until(lambda now: now.condition("SpecValid")["status"] == "False", "the spec found invalid")

    assert "spec.signals[0].ratio.bad" in held.condition("SpecValid")["message"]
    assert await shop.boxes() == {old: 2}
