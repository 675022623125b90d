"""A first version that meets an alarm, and what `ombak alarm show` says of it, on a real control plane."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster
BEFORE = "an alarm to end that was there before"
SIGNAL = {
    "name": "errors",
    "ratio": {"bad": 'http_requests_total{code="500"}', "total": "http_requests_total"},
    "above": "5%",
    "period": "1s",
}

SHOWN = (
    "right now no alarm would take",
    "went ahead, which only holds it: spec.alarms.revert",
    "a (metric): ALARM Certain since",
    "b (metric): OK Certain since",
    "signal errors of the one box: OK Certain",
    "every 1s: ALARM when 2 of 3 points are > 0.05",
)


async def show(shop: Shop, target: str, *more: str, kubeconfig: Path | None = None) -> CompletedProcess[str]:
    """What `ombak alarm show` prints and exits with."""
    where = ["--kubeconfig", str(kubeconfig or shop.region.kubeconfig), "-n", shop.namespace]
    command = [sys.executable, "-m", "ombak", "alarm", "show", target, *where, *more]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)


def watched(replicas: int = 2, **more: object) -> manifests.Manifest:
    """A Rollout that two Alarms and a signal watch."""
    made = manifests.rollout(replicas=replicas, alarms={"revert": 'ALARM("a") OR ALARM("b")'}, **more)
    made["spec"]["signals"] = [SIGNAL]
    return made


async def with_an_alarm_on(shop: Shop, rollout: manifests.Manifest) -> None:
    """Create a Rollout when it is known that one of its two Alarms is on: it was there before any of its boxes."""
    await shop.create(manifests.switch("a", manifests.FIRING), manifests.switch("b"))
    await shop.told("ALARM", "a")
    await shop.told("OK", "b")
    await shop.create(rollout)


@side_by_side
async def test_an_old_alarm_holds_a_first_version_and_a_new_one_fails_it(shop: Shop) -> None:
    """Held in its bake with a wait that names it; then another alarm fires."""
    await with_an_alarm_on(shop, watched())
    held = await shop.until(lambda now: now.phase == "Bake" and BEFORE in now.waits_for, "a hold by the old alarm")
    assert "a: 1 (alarms when > 0.5" in held.waits_for
    assert "ombak.dev/abort=" in held.status["waitingFor"]["command"]

    for more in ((), ("--prometheus", shop.region.prometheus_url)):
        await shop.settled(functools.partial(_is_shown, shop, *more), f"all of {SHOWN} with {more}")
    await shop.switch(manifests.FIRING, "b")
    end = await shop.phase("Failed")

    assert "b {}: new in ALARM" in end.status["message"]
    assert len(await shop.boxes()) == 1


async def _is_shown(shop: Shop, *more: str) -> bool:
    """All of it: of the traffic's signal for a moment nothing may be certain, if its Prometheus has to wait."""
    found = await show(shop, "rollout/front-end", *more)
    assert found.returncode == 0, found.stderr
    shop.notes.append(found.stdout)
    return all(sentence in found.stdout for sentence in SHOWN)


@side_by_side
async def test_an_abort_lets_a_newer_version_past_an_old_alarm(shop: Shop) -> None:
    """It waits behind the first one until then, and bakes when the alarm has ended."""
    await with_an_alarm_on(shop, watched(4))
    held = await shop.until(lambda now: now.phase == "Bake" and BEFORE in now.waits_for, "a hold by the old alarm")
    first = held.artifact("current")
    second = await shop.release("1.1.0")
    await shop.until(
        lambda now: now.artifact("queued") == second and second in (now.status.get("waitingFor") or {}).get("who", ""),
        "the second version in the queue, and a word on how it gets past the first",
    )

    await shop.annotate(abort=first)
    await shop.until(
        lambda now: now.phase == "Bake" and now.artifact("current") == second and BEFORE in now.waits_for,
        "the second version held by the old alarm",
    )
    assert await shop.boxes() == {second: 4}
    await shop.switch(manifests.OK, "a")

    assert (await shop.phase("Stable")).artifact("stable") == second


@side_by_side
async def test_what_stands_in_the_way_of_show_is_one_sentence(shop: Shop) -> None:
    """No such Rollout, no rights, and no valid login."""
    asked = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 600}}
    account = f"/api/v1/namespaces/{shop.namespace}/serviceaccounts"
    await shop.call("POST", account, {"kind": "ServiceAccount", "metadata": {"name": "somebody"}})
    token = (await shop.call("POST", f"{account}/somebody/token", asked))["status"]["token"]
    admin = yaml.safe_load(shop.region.kubeconfig.read_text())
    files = {}
    for name, secret in (("stranger", token), ("nobody", "nonsense")):
        config = {**admin, "users": [{"name": admin["users"][0]["name"], "user": {"token": secret}}]}
        files[name] = shop.region.workdir.logs / f"{shop.namespace}-{name}.yaml"
        files[name].write_text(yaml.safe_dump(config))

    nothing = await show(shop, "rollout/nothing")
    stranger = await show(shop, "rollout/front-end", kubeconfig=files["stranger"])
    nobody = await show(shop, "rollout/front-end", kubeconfig=files["nobody"])

    said = (
        (nothing, "no Rollout nothing is in namespace"),
        (stranger, "ask for the rights get and list"),
        (nobody, "does not accept these credentials"),
    )
    for found, sentence in said:
        assert found.returncode == 1
        assert sentence in found.stderr
        assert len(found.stderr.splitlines()) == 1, found.stderr
