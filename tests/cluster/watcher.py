"""Judges from outside whether the promises about capacity were kept (P1, P2, P6), over all that happened.

The arithmetic is written anew from design 2, so that a mistake in the product's own is found: F = ceil(minAvailable
x N) boxes serve at every moment, at most B = max(1, floor(batch x N)) are away at once, in one zone at a time, and
never more of a new version exist than the status had approved before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from timeline import Key, PodSeen, RolloutSeen, Seen, SetSeen, Timeline

PATIENCE_S = 60.0
"""How long a watch may need to hear of everything on a slow machine."""
BLINK_S = 3.0
"""A box that stopped being ready by itself counts as serving for so long: nobody can have known of it earlier."""


FOLLOW_S = 3.0
"""Controllers follow an order so much later at most: what was ordered for the old number of replicas may still happen
after the operator has seen the new one."""


def share(value: int | str, count: int, *, round_up: bool) -> int:
    """A count, or a percentage of one."""
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * count // 100) if round_up else percent * count // 100


@dataclass(frozen=True, slots=True)
class Promise:
    """What is owed to the users of a Rollout as its spec is now."""

    replicas: int
    min_available: int | str
    batch: int | str
    zones: tuple[str, ...]

    @property
    def floor(self) -> int:
        """So many boxes serve at every moment."""
        wanted = max(share(self.min_available, self.replicas, round_up=True), -(-66 * self.replicas // 100))
        return min(self.replicas, wanted)

    @property
    def least(self) -> int:
        """So many boxes serve at every moment when no more than one batch is away."""
        most = max(1, min(share(self.batch, self.replicas, round_up=False), 33 * self.replicas // 100))
        return max(self.floor, self.replicas - most)

    @property
    def surge(self) -> int:
        """So many boxes of a new version may be there beyond what is approved: none may be away, so one comes first."""
        return int(self.floor >= self.replicas)

    def share_of(self, zone: str) -> int:
        """So many boxes belong into a zone."""
        whole, rest = divmod(self.replicas, len(self.zones))
        return whole + (self.zones.index(zone) < rest)


def promise_of(seen: RolloutSeen, batch: int | str | None = None) -> Promise:
    """The promise in a spec, for a forward batch or one on the way back."""
    strategy = seen.spec.get("strategy") or {}
    rolling = strategy.get("rolling") or {}
    if seen.phase == "Reverting":
        batch = (strategy.get("revert") or {}).get("batch", "33%")
    return Promise(
        replicas=int(seen.spec.get("replicas", 0)),
        min_available=rolling.get("minAvailable", "66%"),
        batch=rolling.get("batch", "33%") if batch is None else batch,
        zones=tuple(seen.spec.get("zones") or ()),
    )


@dataclass(frozen=True, slots=True)
class Exposure:
    """So many boxes of a version there were, and so many served, from this moment on."""

    version: int
    at: float
    artifact: str
    boxes: int
    serving: int


@dataclass(slots=True)
class Judgement:
    """The outcome: what was broken, and what was seen on the way."""

    violations: list[str] = field(default_factory=list)
    exposures: list[Exposure] = field(default_factory=list)
    removals: int = 0
    """So many serving boxes were taken away; a test that sees none has proven nothing."""
    lowest: int | None = None
    """The fewest boxes that served at any removal."""

    def most(self, artifact: str) -> int:
        """The most boxes of a version that existed at once."""
        return max((e.boxes for e in self.exposures if e.artifact == artifact), default=0)

    def first(self, artifact: str) -> Exposure:
        """When the first box of a version appeared."""
        return next(e for e in self.exposures if e.artifact == artifact and e.boxes)


class _Replay:
    """The state of one Rollout at each moment, and the checks at it."""

    def __init__(self, excuses: Sequence[tuple[float, float]]) -> None:
        self.judgement = Judgement()
        self._excuses = excuses
        self._pods: dict[str, PodSeen] = {}
        self._ordered: dict[str, int] = {}
        """How many boxes each ReplicaSet was told to have."""
        self._blinked: dict[str, float] = {}
        self._promise: Promise | None = None
        self._rollout: RolloutSeen | None = None
        self._floor = self._least = self._surge = 0
        """What is owed while `replicas` moves: the smallest floor and batch, the largest surge of all sizes since the
        boxes were complete."""
        self._due: float | None = None
        """When what is owed since the last change of `replicas` is due; None until the operator has seen it."""
        self._is_full = False
        """All boxes have served since `replicas` last changed, so that what is missing is missing because of us."""
        self._known: int | None = None
        """The last `replicas` that the operator spoke of."""
        self._approved_at: tuple[str, int, int] | None = None

    def feed(self, seen: Seen) -> None:
        if isinstance(seen, RolloutSeen):
            self._take_rollout(seen)
        elif isinstance(seen, SetSeen):
            self._ordered[seen.name] = 0 if seen.is_gone else seen.replicas
        else:
            self._take_pod(seen)
        self._arm(seen.at)

    def _take_rollout(self, seen: RolloutSeen) -> None:
        self._rollout = seen
        promise = promise_of(seen)
        if self._promise is None or promise.replicas != self._promise.replicas:
            self._floor = min(self._floor, promise.floor)
            self._least = min(self._least, promise.least)
            self._surge = max(self._surge, promise.surge)
            self._is_full = False
            self._due = None
        self._promise = promise
        if self._known is None or seen.observed >= seen.generation:
            self._known = promise.replicas
        if self._due is None and seen.observed >= seen.generation:
            self._due = seen.at + FOLLOW_S
        step = seen.release.get("step") or {}
        name = (str(seen.release.get("artifact", "")), int(step.get("number", 0)))
        if not seen.release or self._approved_at is None or self._approved_at[:2] != name:
            self._approved_at = (*name, self._known) if seen.release else None

    def _take_pod(self, seen: PodSeen) -> None:
        before = self._pods.get(seen.name)
        if seen.is_gone:
            self._pods.pop(seen.name, None)
            self._blinked.pop(seen.name, None)
        else:
            self._pods[seen.name] = seen
        if before is not None and before.serves and not seen.serves:
            if seen.is_gone or seen.is_deleting:
                self._check_removal(seen)
            else:
                self._blinked[seen.name] = seen.at
        elif seen.serves:
            self._blinked.pop(seen.name, None)
        self._expose(seen)

    def _expose(self, seen: PodSeen) -> None:
        mine = [p for p in self._pods.values() if p.artifact == seen.artifact and not p.is_deleting]
        found = Exposure(seen.version, seen.at, seen.artifact, len(mine), sum(p.serves for p in mine))
        self.judgement.exposures.append(found)
        self._check_approval(found, len(mine) - self._unordered(mine))

    def _unordered(self, mine: Sequence[PodSeen]) -> int:
        """So many boxes did a ReplicaSet make beyond its order.

        Its controller makes one again if the API server dies before it answers, and takes the surplus away when it
        sees both: nobody approved it, but nobody asked for it either.
        """
        made = Counter(pod.owner for pod in mine)
        return sum(max(0, count - self._ordered.get(owner, count)) for owner, count in made.items())

    def _serving(self, now: float, zone: str | None = None) -> int:
        return sum(
            pod.serves or (not pod.is_deleting and now - self._blinked.get(name, -BLINK_S) < BLINK_S)
            for name, pod in self._pods.items()
            if zone is None or pod.zone == zone
        )

    def _arm(self, now: float) -> None:
        if self._promise is None or self._due is None or now < self._due:
            return
        serving = sum(pod.serves for pod in self._pods.values())
        if serving >= self._promise.floor:
            self._floor = self._promise.floor
        if serving >= self._promise.replicas:
            self._is_full = True
            self._least, self._surge = self._promise.least, self._promise.surge

    def _check_removal(self, seen: PodSeen) -> None:
        if self._promise is None or self._rollout is None or self._rollout.is_gone:
            return
        serving = self._serving(seen.at)
        found = self.judgement
        found.removals += 1
        found.lowest = serving if found.lowest is None else min(found.lowest, serving)
        if self._is_excused(seen.at):
            self._floor, self._least, self._is_full = min(self._floor, serving), 0, False
            return
        told = f"at {seen.version} ({self._rollout.phase}) {seen.name} went and {serving} boxes served"
        if serving < self._floor:
            found.violations.append(f"{told}, under the floor of {self._floor} of {self._promise.replicas}")
        elif serving < self._least:
            found.violations.append(f"{told}, more than a batch away of {self._promise.replicas}")
        self._check_zones(seen, told)

    def _is_excused(self, at: float) -> bool:
        return any(start <= at <= end for start, end in self._excuses)

    def _check_zones(self, seen: PodSeen, told: str) -> None:
        promise = self._promise
        if promise is None or not promise.zones or not self._is_full:
            return
        lacking = [zone for zone in promise.zones if self._serving(seen.at, zone) < promise.share_of(zone)]
        if len(lacking) > 1:
            self.judgement.violations.append(f"{told}, boxes are away in zones {', '.join(lacking)} at once")

    def _check_approval(self, found: Exposure, asked_for: int) -> None:
        """Nobody runs more of a new version than was approved; one may be there beyond it where it surges.

        Growth goes to the old version, unless all boxes were approved: then all that come are of the new one.
        """
        if self._rollout is None or self._promise is None or self._approved_at is None:
            return
        release = self._rollout.release
        if release.get("mode") == "Install" or release.get("artifact") != found.artifact:
            return
        if self._is_excused(found.at):
            return
        goal = int((release.get("step") or {}).get("goal", 0))
        is_everywhere = goal >= self._approved_at[2]
        if asked_for > (max(goal, self._promise.replicas) if is_everywhere else goal) + self._surge:
            self.judgement.violations.append(
                f"at {found.version} there were {asked_for} boxes of {found.artifact}, and {goal} were approved"
            )


def judge(events: Sequence[Seen], excuses: Sequence[tuple[float, float]] = ()) -> Judgement:
    """Replay events in the order of their versions; `excuses` are stretches of monotonic time to be forgiven."""
    replay = _Replay(excuses)
    for seen in events:
        replay.feed(seen)
    return replay.judgement


class Watcher:
    """Watches one Rollout from before it exists; `finish` fails the test if a promise was broken."""

    def __init__(self, timeline: Timeline, key: Key) -> None:
        """Nothing to start: the timeline records everything."""
        self.timeline = timeline
        self.key = key
        self._excuses: list[tuple[float, float]] = []

    @contextlib.asynccontextmanager
    async def excused(self, why: str) -> AsyncIterator[None]:
        """The test itself takes boxes away: what goes in this block is not the operator's doing.

        It ends when all of that was heard of: moments are those of hearing.
        """
        assert why
        start = time.monotonic()
        yield
        await self._catch_up(PATIENCE_S)
        self._excuses.append((start, time.monotonic()))

    def judgement(self) -> Judgement:
        """What is known so far."""
        return judge(self.timeline.events(self.key), self._excuses)

    def visits(self) -> list[RolloutSeen]:
        """The first state of each visit to a phase, in order."""
        found: list[RolloutSeen] = []
        for seen in self.timeline.history(self.key):
            if seen.phase and (not found or found[-1].phase != seen.phase):
                found.append(seen)
        return found

    def phases(self) -> list[str]:
        """The phases in order, each once per visit."""
        return [seen.phase for seen in self.visits()]

    def story(self) -> str:
        """The phases with seconds since the first, for a person."""
        visits = self.visits()
        return " > ".join(f"{seen.phase} {seen.at - visits[0].at:.1f}" for seen in visits)

    def goals(self, artifact: str) -> list[int]:
        """How many boxes of a version were approved, step by step."""
        found: list[int] = []
        for seen in self.timeline.history(self.key):
            if seen.release.get("artifact") == artifact:
                goal = int(_step(seen).get("goal", 0))
                if not found or found[-1] != goal:
                    found.append(goal)
        return found

    async def finish(self, patience_s: float = PATIENCE_S) -> Judgement:
        """Return the judgement once everything was heard of; raises AssertionError for a broken promise."""
        await self._catch_up(patience_s)
        found = self.judgement()
        assert not found.violations, "broken promises:\n  " + "\n  ".join(found.violations)
        return found

    async def _catch_up(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while not await asyncio.to_thread(self.timeline.is_caught_up, self.key):
            assert time.monotonic() < until, f"the watch of {self.key} does not catch up"
            await asyncio.sleep(0.1)


def _step(seen: RolloutSeen) -> Mapping[str, Any]:
    step: Mapping[str, Any] = seen.release.get("step") or {}
    return step
