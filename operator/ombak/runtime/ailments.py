"""What ails boxes that do not come up, asked of their pods: a courtesy that must never cost a busy cluster much."""

import asyncio
import dataclasses
from datetime import timedelta

import structlog

from ombak.core import naming
from ombak.core.explain import explain_none, explain_pods
from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.kube_port import ApiError, KubeClient, Object
from ombak.runtime.store import Key

log = structlog.get_logger()

ASK_EVERY = timedelta(seconds=15)
"""The pods of one Rollout are asked again after this, then after twice as long, and so on."""
ASK_AT_LEAST_EVERY = timedelta(minutes=4)
SHARE = 0.05
"""At most this share of the time is spent on such questions, however many Rollouts wait for boxes."""


@dataclasses.dataclass(slots=True)
class _Case:
    artifact: str
    asked_at: float
    pause: timedelta = ASK_EVERY
    trouble: str = ""


class Ailments:
    """Answers are remembered until a Rollout's boxes are up.

    A list of pods by label is a scan of the namespace for the API server: where a thousand Rollouts wait for the
    boxes of a slow cluster, to ask about each would make it slower still. So one question goes out at a time, the
    next only after a rest that is long beside the last answer, and ever less often for the same Rollout.
    """

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._cases: dict[Key, _Case] = {}
        self._asking = asyncio.Lock()
        self._rested_at = 0.0

    def told(self, key: Key) -> dict[str, str]:
        """Return the last answer by the version that it is about, empty if none."""
        case = self._cases.get(key)
        return {case.artifact: case.trouble} if case and case.trouble else {}

    def forget(self, key: Key) -> None:
        """The boxes are up, or the Rollout is gone."""
        self._cases.pop(key, None)

    async def ask(self, key: Key, artifact: str) -> None:
        """Ask the pods of one version of a Rollout, unless it is too early for that."""
        began = self._clock.monotonic()
        case = self._cases.get(key)
        is_early = case is not None and began - case.asked_at < case.pause.total_seconds()
        if is_early or self._asking.locked() or began < self._rested_at:
            return
        pause = ASK_EVERY if case is None else min(2 * case.pause, ASK_AT_LEAST_EVERY)
        async with self._asking:
            pods = await self._pods(key, artifact)
        ended = self._clock.monotonic()
        self._rested_at = ended + (ended - began) * (1 / SHARE - 1)
        before = self.told(key).get(artifact, "")
        self._cases[key] = _Case(artifact, began, pause, before if pods is None else explain_pods(pods))

    async def insist(self, key: Key, artifact: str) -> None:
        """Ask whatever the hour: a verdict is about to be recorded for good, and its cause is not known yet."""
        pods = await self._pods(key, artifact)
        if pods is not None:
            trouble = explain_pods(pods) or explain_none(len(pods))
            self._cases[key] = _Case(artifact, self._clock.monotonic(), trouble=trouble)

    async def _pods(self, key: Key, artifact: str) -> list[Object] | None:
        namespace, name = key
        chosen = f"{naming.ROLLOUT}={name},{naming.ARTIFACT}={artifact}"
        try:
            pods = await self._client.list(kinds.PODS, namespace, chosen, limit=100)
        except ApiError as error:
            log.info("pods were not asked", error=str(error))
            return None
        return list(pods.get("items") or ())
