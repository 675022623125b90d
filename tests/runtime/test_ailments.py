"""Questions about pods stay few, however many Rollouts wait for their boxes."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from ombak.runtime.ailments import ASK_AT_LEAST_EVERY, ASK_EVERY, SHARE, Ailments
from ombak.runtime.kube_port import KubeClient, Unreachable
from ombak.simulation.agenda import run_virtual
from support.fake_metrics import LoopClock
from support.rig import Rig, template


class Pods:
    """Answers a list after `takes` seconds, with one pod that does not come up."""

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.asked: list[float] = []
        self.busy = 0
        self.most = 0
        self.error: Exception | None = None

    async def list(self, *_: Any, **__: Any) -> dict[str, Any]:
        """As a KubeClient's."""
        self.asked.append(asyncio.get_running_loop().time())
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(self.takes)
        self.busy -= 1
        if self.error is not None:
            raise self.error
        return {"items": [{"status": {"phase": "Pending"}}]}


def play(pods: Pods, script: Callable[[Ailments], Awaitable[None]]) -> None:
    """Run a script on a virtual loop."""

    async def main() -> None:
        await script(Ailments(cast("KubeClient", pods), LoopClock()))

    run_virtual(main())


def test_a_hundred_that_wait_ask_one_at_a_time_and_seldom() -> None:
    """At 50 ms an answer, five minutes of a hundred impatient Rollouts cost 5 % of the time, not all of it."""
    pods, minutes = Pods(takes=0.05), 5

    async def script(ailments: Ailments) -> None:
        for _ in range(minutes * 60):
            await asyncio.gather(*(ailments.ask(("shop", f"app-{i}"), "a1") for i in range(100)))
            await asyncio.sleep(1)

    play(pods, script)
    assert pods.most == 1
    assert 0 < len(pods.asked) * pods.takes <= SHARE * (minutes * 61 + 20)


def test_one_rollout_is_asked_ever_less_often() -> None:
    """After 15 s, 30 s, 1 min, ... at last every four minutes."""
    pods = Pods(takes=0.0)

    async def script(ailments: Ailments) -> None:
        for _ in range(30 * 60):
            await ailments.ask(("shop", "app"), "a1")
            await asyncio.sleep(1)

    play(pods, script)
    gaps = [b - a for a, b in zip(pods.asked, pods.asked[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (ASK_EVERY.total_seconds(), ASK_AT_LEAST_EVERY.total_seconds())


def test_the_last_answer_stands_when_the_next_fails() -> None:
    """And is forgotten when the boxes are up."""
    pods, key = Pods(takes=0.0), ("shop", "app")

    async def script(ailments: Ailments) -> None:
        await ailments.ask(key, "a1")
        pods.error = Unreachable("no answer")
        await asyncio.sleep(60)
        await ailments.ask(key, "a1")
        assert len(pods.asked) == 2
        assert ailments.told(key) == {"a1": "1 x not ready (Pending)"}
        ailments.forget(key)
        assert ailments.told(key) == {}

    play(pods, script)


async def crashing() -> Rig:
    """A second version, whose pods crash, is asked for."""
    rig = Rig()
    await rig.installed()
    rig.change(template=template("2.0.0"))
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m"}
    box = {"name": "app", "ready": False, "restartCount": 4, "state": {"waiting": waiting}}
    rig.kube.pods = [{"metadata": {"name": "front-end-2"}, "status": {"phase": "Running", "containerStatuses": [box]}}]
    return rig


async def test_a_way_back_does_not_tell_what_ails_the_version_that_goes() -> None:
    """Its own boxes may well be fine: what the others said is in the verdict."""
    rig = await crashing()
    await rig.go_on("Reverting", ready=False)
    assert "CrashLoopBackOff" in rig.status["message"]
    assert "CrashLoopBackOff" not in rig.status["waitingFor"]["what"]


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        pytest.param(0, "0 pods of it are there: its controller has made none in time.", id="none was made"),
        pytest.param(2, "2 pods of it are there, and ready by now.", id="they came too late"),
    ],
)
async def test_a_verdict_on_boxes_without_trouble_tells_what_there_is(pods: int, told: str) -> None:
    """A late controller, or late boxes: "no more came up" by itself leaves people to guess."""
    rig = await crashing()
    ready = {"type": "Ready", "status": "True"}
    rig.kube.pods = [{"metadata": {"name": f"front-end-{n}"}, "status": {"conditions": [ready]}} for n in range(pods)]
    await rig.go_on("Reverted", ready=False)
    found = next(o for o in rig.server.all("Artifact") if (o.get("status") or {}).get("rejected"))
    assert found["status"]["rejected"]["message"].endswith(f"within progressDeadline 10m. {told}")


async def test_a_verdict_on_boxes_tells_its_cause_however_busy_the_cluster_is() -> None:
    """It stands on the Artifact for good, so the pods are asked once more before it is written."""
    rig = await crashing()
    rig.reconciler._ailments._rested_at = math.inf  # other Rollouts have used up the share of such questions
    await rig.go_on("Reverted", ready=False)
    found = next(o for o in rig.server.all("Artifact") if (o.get("status") or {}).get("rejected"))
    assert "CrashLoopBackOff" in found["status"]["rejected"]["message"]
