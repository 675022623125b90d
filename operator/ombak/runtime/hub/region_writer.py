"""Writes of plans to regions: each region by itself, so that one that fails or hangs delays nobody else."""

import asyncio
import dataclasses
import random
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from ombak.core.conveyor import manifests, plan
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, NotFound, Object
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

WITHIN = timedelta(seconds=60)
"""All writes of one decision into one region; what takes longer hangs, and is decided anew."""
AGAIN = Backoff(timedelta(milliseconds=500), timedelta(seconds=30))
_OVERTAKEN = (AlreadyExists, Conflict, NotFound)


@dataclasses.dataclass(slots=True)
class _Lane:
    """The writes of one Pipeline into one region."""

    task: asyncio.Task[None] | None = None
    failures: int = 0
    problem: str = ""


class RegionWriter:
    """Carries out what plans say of regions, in the background; `wake` is told when something came of it."""

    def __init__(self, regions: Regions, rng: random.Random, wake: Callable[[Key, timedelta], None]) -> None:
        self._regions, self._rng, self._wake = regions, rng, wake
        self._lanes: dict[Key, dict[str, _Lane]] = {}

    def is_busy(self, key: Key, region: str) -> bool:
        """Whether an earlier decision is still being written there: what is decided meanwhile waits."""
        lane = self._lanes.get(key, {}).get(region)
        return lane is not None and lane.task is not None

    def problems(self, key: Key) -> dict[str, str]:
        """Why the last writes failed, by region; empty where they did not."""
        lanes = self._lanes.get(key, {})
        return {region: lanes[region].problem for region in sorted(lanes) if lanes[region].problem}

    def start(self, key: Key, region: str, actions: Iterable[plan.Action]) -> None:
        """Begin to write; must not be called while it is busy there."""
        lane = self._lanes.setdefault(key, {}).setdefault(region, _Lane())
        lane.task = asyncio.create_task(self._write(key, region, lane, tuple(actions)), name=f"write {key} {region}")

    def forget(self, key: Key) -> None:
        """Drop what is known of a Pipeline that is gone; what is being written ends by itself."""
        busy = {region: lane for region, lane in self._lanes.pop(key, {}).items() if lane.task is not None}
        if busy:
            self._lanes[key] = busy

    async def close(self) -> None:
        """Give up all writes."""
        lanes = (lane for found in self._lanes.values() for lane in found.values())
        tasks = [lane.task for lane in lanes if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, key: Key, region: str, lane: _Lane, actions: tuple[plan.Action, ...]) -> None:
        try:
            async with asyncio.timeout(WITHIN.total_seconds()):
                for action in actions:
                    await self._do(region, action)
        except (ApiError, TimeoutError) as error:
            lane.failures += 1
            told = str(error) or "it took too long"
            lane.problem = "" if _is_overtaken(error) else told
            log.info("writes to a region failed", namespace=key[0], pipeline=key[1], region=region, error=told)
        except Exception as error:
            # A mistake of ours about one region must not end the hub.
            lane.failures += 1
            lane.problem = repr(error)
            log.exception("writes to a region failed", namespace=key[0], pipeline=key[1], region=region)
        else:
            lane.failures, lane.problem = 0, ""
        finally:
            lane.task = None
        self._wake(key, AGAIN.delay(lane.failures, self._rng) if lane.failures else timedelta(0))

    async def _do(self, region: str, action: plan.Action) -> None:
        match action:
            case plan.ApplyObject(manifest=manifest):
                await self._regions.apply(region, manifest)
            case plan.ApplyRollout():
                await self._rollout(region, action)
            case plan.Claim():
                meta = {"annotations": {manifests.CLAIMED: action.hub}, "resourceVersion": action.resource_version}
                patch = {"metadata": meta}
                await self._regions.patch(region, kinds.ROLLOUTS, action.namespace, action.name, patch)
            case _:
                # `Regions.create` leaves the size to the region already, so there is nothing to release.
                raise AssertionError(f"no write of a region: {action}")

    async def _rollout(self, region: str, action: plan.ApplyRollout) -> None:
        """Write it, provided it is as it was seen; if it is not, read it, so that the next decision sees it."""
        log.info("writing a rollout", region=region, namespace=action.namespace, rollout=action.name, why=action.why)
        try:
            if not action.resource_version:
                await self._regions.create(region, action.manifest)
                return
            meta = {**action.manifest["metadata"], "resourceVersion": action.resource_version}
            await self._regions.apply(region, {**action.manifest, "metadata": meta}, force=True)
        except _OVERTAKEN:
            await self._look(region, action)
            raise

    async def _look(self, region: str, action: plan.ApplyRollout) -> Object | None:
        try:
            return await self._regions.get(region, kinds.ROLLOUTS, action.namespace, action.name)
        except NotFound:
            return None


def _is_overtaken(error: Exception) -> bool:
    """The Rollout changed since it was seen, which is nobody's fault and over at once."""
    return isinstance(error, AlreadyExists) or (isinstance(error, Conflict) and "modified" in error.message)
