"""Writes of plans to regions: each region by itself, so that one that fails or hangs delays nobody else."""

import asyncio
import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta

import structlog

from ombak.core.conveyor import content, manifests, plan
from ombak.core.conveyor.snapshot import HubArtifact, Refused
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.hub.bringing import OVERTAKEN, RefusedError, bring, drop
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, NotFound, Object
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

WITHIN = timedelta(seconds=60)
"""All writes of one decision into one region; what takes longer hangs, and is decided anew."""
AGAIN = Backoff(timedelta(milliseconds=500), timedelta(seconds=30))
SOONEST = timedelta(milliseconds=50)
OFTEN = 5
"""What was overtaken, or written anew, so many times in a row is told all the same."""
SOON = timedelta(minutes=1)
"""What is written once more within this time was changed there meanwhile, or was not seen yet."""
CHANGED = "something there, such as an admission policy, changes it after each write"
_OF_CONTENT = ("namespace", "name", "manifest", "hub")


class _OvertakenError(Exception):
    """The Rollout is not as it was seen any more, which is nobody's fault: the next decision sees it as it is."""


@dataclasses.dataclass(slots=True)
class _Last:
    """What was last written into a region, to tell that the same is written again: without pause that never ends."""

    content: str
    at: float
    repeats: int = 0
    due: float = 0.0


@dataclasses.dataclass(slots=True)
class _Lane:
    """The writes of one Pipeline into one region; `failed` are the last ones if they failed, to be tried at `due`."""

    task: asyncio.Task[None] | None = None
    failures: int = 0
    problem: str = ""
    refused: Refused | None = None
    failed: tuple[plan.Action, ...] = ()
    due: float = 0.0


class RegionWriter:
    """Carries out what plans say of regions, in the background; `wake` is told when something came of it."""

    def __init__(self, regions: Regions, rng: random.Random, wake: Callable[[Key, timedelta], None]) -> None:
        self._regions, self._rng, self._wake = regions, rng, wake
        self._lanes: dict[Key, dict[str, _Lane]] = {}
        self._last: defaultdict[Key, dict[str, _Last]] = defaultdict(dict)
        self._dropped: defaultdict[Key, set[tuple[str, str, str]]] = defaultdict(set)

    def is_busy(self, key: Key, region: str) -> bool:
        """Whether an earlier decision is still being written there: what is decided meanwhile waits."""
        lane = self._lanes.get(key, {}).get(region)
        return lane is not None and lane.task is not None

    def problems(self, key: Key) -> dict[str, str]:
        """Why the last writes failed, by region; empty where they did not."""
        lanes = self._lanes.get(key, {})
        return {region: lanes[region].problem for region in sorted(lanes) if lanes[region].problem}

    def refused(self, key: Key) -> dict[str, Refused]:
        """Return the objects that were not written because they are somebody else's or were edited, by region."""
        lanes = self._lanes.get(key, {})
        return {name: found for name in sorted(lanes) if (found := lanes[name].refused) is not None}

    def dropped(self, key: Key, kept: Iterable[HubArtifact]) -> frozenset[tuple[str, str, str]]:
        """Return the copies of ConfigMaps that were dealt with: region, namespace and name.

        Those of versions that are not `kept` any more are forgotten: nobody asks about them again.
        """
        if found := self._dropped.pop(key, None):
            names = {name for artifact in kept for name in manifests.copies(artifact)}
            self._dropped[key] = {place for place in found if place[2] in names}
        return frozenset(self._dropped.get(key, ()))

    def start(self, key: Key, region: str, actions: Iterable[plan.Action]) -> None:
        """Begin to write, unless something is being written there or this has just failed: then it is woken for."""
        lane, wanted = self._lanes.setdefault(key, {}).setdefault(region, _Lane()), tuple(actions)
        if lane.task is not None:
            return
        early = self._due(key, region, lane, wanted) - asyncio.get_running_loop().time()
        if early > 0:
            self._wake(key, max(timedelta(seconds=early), SOONEST))
            return
        lane.task = asyncio.create_task(self._write(key, region, lane, wanted), name=f"write {key} {region}")

    def _due(self, key: Key, region: str, lane: _Lane, wanted: tuple[plan.Action, ...]) -> float:
        """Return when this may be written: later where just this failed, or was changed there after it was written."""
        due, last = (lane.due if lane.failed == wanted else 0.0), self._last[key].get(region)
        is_again = last is not None and last.repeats > 0 and last.content == _content(wanted)
        return max(due, last.due) if last is not None and is_again else due

    def forget(self, key: Key) -> None:
        """Drop what is known of a Pipeline that is gone; what is being written ends by itself."""
        self._dropped.pop(key, None)
        self._last.pop(key, None)
        busy = {region: lane for region, lane in self._lanes.pop(key, {}).items() if lane.task is not None}
        if busy:
            self._lanes[key] = busy

    def keep(self, key: Key, regions: Collection[str]) -> None:
        """Forget what failed in all other regions: nothing is to be written there any more."""
        lanes = self._lanes.get(key, {})
        for region in [name for name, lane in lanes.items() if lane.task is None and name not in regions]:
            del lanes[region]

    async def close(self) -> None:
        """Give up all writes."""
        lanes = (lane for found in self._lanes.values() for lane in found.values())
        tasks = [lane.task for lane in lanes if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, key: Key, region: str, lane: _Lane, actions: tuple[plan.Action, ...]) -> None:
        problem: str | None = None
        refused: Refused | None = None
        try:
            async with asyncio.timeout(WITHIN.total_seconds()):
                for action in actions:
                    await self._do(key, region, action)
        except _OvertakenError as error:
            problem = str(error) if lane.failures >= OFTEN else ""
        except RefusedError as error:
            problem, refused = str(error), error.refused
            log.info("an object is left alone", namespace=key[0], pipeline=key[1], region=region, why=problem)
        except (ApiError, TimeoutError) as error:
            problem = str(error) or "it took too long"
            log.info("writes to a region failed", namespace=key[0], pipeline=key[1], region=region, error=problem)
        except Exception as error:
            # A mistake of ours about one region must not end the hub.
            problem = repr(error)
            log.exception("writes to a region failed", namespace=key[0], pipeline=key[1], region=region)
        finally:
            lane.task, lane.refused = None, refused
        if problem is None:
            lane.problem = self._wrote(key, region, actions)
        self._wake(key, self._ended(lane, actions, problem))

    def _wrote(self, key: Key, region: str, actions: tuple[plan.Action, ...]) -> str:
        """Note what was written; returns what is wrong if that is the same again and again."""
        moment, made = asyncio.get_running_loop().time(), _content(actions)
        last = self._last[key].get(region)
        is_again = last is not None and last.content == made and moment - last.at < SOON.total_seconds()
        repeats = last.repeats + 1 if last is not None and is_again else 0
        pause = AGAIN.delay(repeats, self._rng).total_seconds() if repeats else 0.0
        self._last[key][region] = _Last(made, moment, repeats, moment + pause)
        return CHANGED if repeats >= OFTEN else ""

    def _ended(self, lane: _Lane, actions: tuple[plan.Action, ...], problem: str | None) -> timedelta:
        """Note how writes ended (None: well); returns after which time to decide again."""
        if problem is None:
            lane.failures, lane.failed = 0, ()
            return timedelta(0)
        lane.failures += 1
        lane.problem, lane.failed = problem, actions
        pause = AGAIN.delay(lane.failures, self._rng)
        lane.due = asyncio.get_running_loop().time() + pause.total_seconds()
        return pause

    async def _do(self, key: Key, region: str, action: plan.Action) -> None:
        match action:
            case plan.ApplyObject():
                self._dropped[key].discard((region, action.namespace, action.manifest["metadata"]["name"]))
                await self._object(region, action)
            case plan.DropConfig():
                await drop(self._regions, region, action)
                self._dropped[key].add(action.place)
            case plan.ApplyRollout():
                await self._rollout(region, action)
            case plan.Claim():
                meta = {"annotations": {manifests.CLAIMED: action.hub}, "resourceVersion": action.resource_version}
                patch = {"metadata": meta}
                await self._regions.patch(region, kinds.ROLLOUTS, action.namespace, action.name, patch)
            case _:
                raise AssertionError(f"no write of a region: {action}")

    async def _object(self, region: str, action: plan.ApplyObject) -> None:
        try:
            await bring(self._regions, region, action)
        except (AlreadyExists, Conflict) as error:
            raise _OvertakenError(str(error)) from error

    async def _rollout(self, region: str, action: plan.ApplyRollout) -> None:
        """Write it, provided it is as it was seen; if it is not, read it, so that the next decision sees it.

        With its uid, which keeps one that was deleted meanwhile from being made anew without its size.
        """
        log.info("writing a rollout", region=region, namespace=action.namespace, rollout=action.name, why=action.why)
        try:
            if not action.resource_version:
                await self._regions.create(region, action.manifest)
                return
            seen = {"uid": self._uid(region, action), "resourceVersion": action.resource_version}
            meta = {**action.manifest["metadata"], **{k: v for k, v in seen.items() if v}}
            await self._regions.apply(region, {**action.manifest, "metadata": meta}, force=True)
        except (AlreadyExists, Conflict, NotFound) as error:
            await self._look(region, action)
            if _is_overtaken(error, action):
                raise _OvertakenError(str(error)) from error
            raise

    def _uid(self, region: str, action: plan.ApplyRollout) -> str:
        view = self._regions.view(region, (action.namespace, action.name))
        return view.rollout.uid if view is not None and view.rollout is not None else ""

    async def _look(self, region: str, action: plan.ApplyRollout) -> Object | None:
        try:
            return await self._regions.get(region, kinds.ROLLOUTS, action.namespace, action.name)
        except NotFound:
            return None


def _content(actions: Iterable[plan.Action]) -> str:
    """Return what tells writes apart, whatever version of an object they were decided from."""
    return content.short_hash([[type(a).__name__, *(str(getattr(a, n, "")) for n in _OF_CONTENT)] for a in actions])


def _is_overtaken(error: ApiError, action: plan.ApplyRollout) -> bool:
    """It was created, changed or deleted since it was seen; where it never was, `NotFound` is of the namespace."""
    if isinstance(error, NotFound):
        return bool(action.resource_version)
    return isinstance(error, AlreadyExists) or OVERTAKEN in error.message
