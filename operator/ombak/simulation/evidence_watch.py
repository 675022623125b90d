"""Monitors of P2 and of the honest bake: what was true when the operator approved a step."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from ombak.alarms.verdict import State
from ombak.api.duration import parse_duration
from ombak.core.memory import Mode, load_memory
from ombak.runtime.kube_port import Object
from ombak.simulation.client import OPERATOR
from ombak.simulation.health import NAMES, REVERT, ok_spans
from ombak.simulation.pods import Pod
from ombak.simulation.region import Region

Fail = Callable[[str, str], None]
Spans = list[tuple[float, float]]


@dataclasses.dataclass(slots=True)
class Track:
    """How many boxes of a version were available, over time."""

    times: list[float]
    counts: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Proven:
    """How long everything was good, and by how much who looks now and then may be wrong, in seconds."""

    seconds: float
    slack: float

    @property
    def most(self) -> float:
        """The most that a ledger may hold."""
        return self.seconds + self.slack


def overlap(left: Spans, right: Spans) -> Spans:
    """Return the stretches of time that are in both."""
    found = []
    for start, end in left:
        for begin, stop in right:
            low, high = max(start, begin), min(end, stop)
            if low < high:
                found.append((low, high))
    return found


class EvidenceWatch:
    """Looks at every approval, wherever it is written."""

    def __init__(self, region: Region, lag: float, fail: Fail) -> None:
        self._region, self._lag, self._fail = region, lag, fail
        self._tracks: dict[str, Track] = {}
        self._approved: tuple[object, float] = (None, 0.0)
        self._of = self._least = 0
        """The number of boxes asked for then, and the smallest one since."""
        region.server.monitors.append(self._written)
        region.kubelets.watchers.append(self._pod)

    @property
    def _now(self) -> float:
        return self._region.timeline.time()

    def _pod(self, pod: Pod, what: str) -> None:
        if what not in ("available", "lost", "gone") or (what == "gone" and not pod.is_available):
            return
        track = self._tracks.setdefault(pod.artifact, Track([0.0], [0]))
        track.times.append(self._now)
        track.counts.append(track.counts[-1] + (1 if what == "available" else -1))

    def _written(self, by: str, kind: str, old: Object | None, new: Object | None) -> None:
        if kind == "Rollout" and new is not None:
            self._least = min(self._least, int(new["spec"].get("replicas") or 0))
        if by != OPERATOR or old is None or new is None:
            return
        if kind == "Rollout":
            self._rollout_written(old, new)
        elif kind == "Artifact" and _order(new) > _order(old):
            release = release_of(self._region.rollout or {})
            if release is None or release["artifact"] != new["spec"]["id"]:
                self._fail("P2", f"{new['spec']['id']} is called stable, and no release of it is on record")
                return
            self._check(release, is_last=True)

    def _rollout_written(self, old: Object, new: Object) -> None:
        """Take note of a status; an approval is one whose step is a later one of the same version."""
        before, after = release_of(old), release_of(new)
        if after is None:
            return
        identity = (after["artifact"], after["step"]["number"])
        if identity == self._approved[0]:
            is_same = before is not None and before["step"]["approvedAt"] == after["step"]["approvedAt"]
            if not is_same:  # approved anew, for another layout
                self._of = self._least = int(new["spec"].get("replicas") or 0)
            self._check_ledger(before if is_same else None, after)
            return
        is_next = before is not None and before["artifact"] == after["artifact"]
        if before is not None and is_next and after["step"]["number"] > before["step"]["number"]:
            self._check(before, is_last=False)
        if release_began(before, after) and after["mode"] == Mode.BACK.value:
            self._check_way_back(after["artifact"])
        self._approved = (identity, self._now)
        self._of = self._least = int(new["spec"].get("replicas") or 0)

    def _check(self, release: Object, *, is_last: bool) -> None:
        spec = (self._region.rollout or {})["spec"]
        lost = self._lost_lately(release["artifact"])
        need = self._need(release, spec, int(spec.get("replicas") or 0)) - lost
        since = self._available_since(release["artifact"], need)
        told = f"step {release['step']['number']} of {release['artifact']} ({need} boxes)"
        if since is None:
            self._fail("P2", f"{told} is done, and its boxes do not serve")
            return
        names = () if release["mode"] == Mode.BACK.value else alarms_of(spec)
        for name in names:
            self._check_alarm(name, since, told)
        for_ = _bake(spec, release, is_last)
        proven = self._proven(release, self._need(release, spec, self._least) - lost, names)
        if proven.most < for_:
            self._fail("P4", f"{told} is done, and of its bake of {for_:g} s only {proven.seconds:.1f} s were good")

    def _check_way_back(self, artifact: str) -> None:
        """Only to what was good before, and only while an alarm was read as being on."""
        records = [o for o in self._region.server.all("Artifact") if o["spec"]["id"] == artifact]
        if not any(_order(o) and not (o.get("status") or {}).get("rejected") for o in records):
            self._fail("P2", f"{artifact} goes as a way back, and it was never good here")
        read = [self._region.health.read_at.get(name) for name in NAMES]
        if not any(each is not None and each.state is State.ALARM for each in read):
            self._fail("P2", f"{artifact} goes as a way back, and no alarm was read as being on")

    def _check_ledger(self, before: Object | None, release: Object) -> None:
        """No ledger holds more than the time in which all was truly good since its step was approved."""
        accrued = _accrued(release)
        if before is not None and accrued <= _accrued(before):
            return
        spec = (self._region.rollout or {})["spec"]
        need = self._need(release, spec, self._least) - self._lost_lately(release["artifact"])
        proven = self._proven(release, need, alarms_of(spec))
        if accrued > proven.most:
            told = f"step {release['step']['number']} of {release['artifact']} ({need} boxes)"
            self._fail("P4", f"{told} has baked {accrued:.1f} s, and only {proven.seconds:.1f} s were good")

    def _lost_lately(self, artifact: str) -> int:
        """Return how many boxes stopped serving so lately that their controller may not have told."""
        track = self._tracks.get(artifact)
        if track is None:
            return 0
        pairs = zip(track.times, track.counts, [0, *track.counts], strict=False)
        return sum(before > count for at, count, before in pairs if at >= self._now - self._lag)

    def _need(self, release: Object, spec: Object, size: int) -> int:
        """All boxes of the step, but those that churn; of a fleet of a smaller size the same share of it."""
        goal = release["step"]["goal"]
        if size < self._of:
            goal = _share(goal, self._of, size, len(spec.get("zones") or "1"))
        goal = min(goal, size, spec.get("replicas") or 0)
        asked = sum(
            o["spec"]["replicas"]
            for kind in ("ReplicaSet", "Deployment")
            for o in self._region.server.all(kind)
            if (o["metadata"].get("labels") or {}).get("ombak.dev/artifact") == release["artifact"]
        )
        goal = min(goal, asked)
        return int(goal - 5 * goal // 100)

    def _available_since(self, artifact: str, need: int) -> float | None:
        """Return since when so many boxes serve; breaks too short to be noticed do not count."""
        spans = self._spans(artifact, need)
        if not spans or spans[-1][1] < self._now - self._lag:
            return None
        return spans[-1][0]

    def _spans(self, artifact: str, need: int) -> Spans:
        track = self._tracks.get(artifact)
        if track is None:
            return []
        found: Spans = []
        ends = [*track.times[1:], self._now]
        for start, end, count in zip(track.times, ends, track.counts, strict=True):
            if count < need:
                continue
            if found and start - found[-1][1] <= self._lag:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return found

    def _check_alarm(self, name: str, since: float, told: str) -> None:
        acting = self._region.health.read_at.get(name)
        if acting is None:
            self._fail("P2", f"{told} is done, and alarm {name} was never read")
        elif acting.state is not State.OK:
            self._fail("P2", f"{told} is done while alarm {name} is {acting.state}")
        elif self._now - acting.at > 2 * self._region.rule.period + 5 + self._lag:
            self._fail("P2", f"{told} is done on an evaluation of {name} that is {self._now - acting.at:.0f} s old")
        elif acting.at - self._region.rule.window.total_seconds() < since - 0.01:
            self._fail("P2", f"{told} is done, and {name} rests on data from before its boxes served")

    def _proven(self, release: Object, need: int, names: tuple[str, ...]) -> "Proven":
        began = self._approved[1] if self._approved[0] is not None else 0.0
        found = overlap([(began, self._now)], self._spans(release["artifact"], need))
        for name in names:
            good = ok_spans(self._region.health, self._region.rule, name, began, self._now)
            found = overlap(found, good)
        # A change is seen at the next poll only, and a box that is lost by the next event.
        poll = self._region.rule.period / 4
        slack = 0.05 + poll * len(found) + 2 * self._region.rule.period * (self._lag > 1)
        return Proven(sum(end - start for start, end in found), slack)


def _share(goal: int, of: int, size: int, zones: int) -> int:
    """Return how many boxes of a fleet of `size` are what `goal` is of `of`.

    Zones are filled in their order, whole ones stay whole; of the last one the share is rounded down, its one box kept.
    """
    found = 0
    for index in range(zones):
        old, new = (n // zones + (index < n % zones) for n in (of, size))
        taken = min(goal, old)
        goal -= taken
        if taken == old:
            found += new
        elif taken:
            rest = (taken - 1) * max(0, new - 1) // max(1, old - 1)
            found += min(new, 1 + rest) if index == 0 else min(new, 1 + rest, taken * new // old)
    return found


def _accrued(release: Object) -> float:
    memory = load_memory({"release": release}).release
    return memory.step.ledger.accrued.total_seconds() if memory is not None else 0.0


def _order(artifact: Object) -> int:
    return int(((artifact.get("status") or {}).get("stable") or {}).get("order") or 0)


def release_of(rollout: Object) -> dict[str, Any] | None:
    """Return the release that a Rollout remembers."""
    return ((rollout.get("status") or {}).get("memory") or {}).get("release")


def release_began(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Tell whether a status is the first one that tells of a release."""
    return before is None or before["artifact"] != after["artifact"]


def alarms_of(spec: Object) -> tuple[str, ...]:
    """Return the alarms that a spec depends on."""
    alarms = spec.get("alarms")
    if not alarms:
        return ()
    return NAMES if alarms.get("oneBox") else (REVERT,)


def _seconds(bake: Object | None, default: str) -> float:
    found: timedelta = parse_duration((bake or {}).get("for", default))
    return found.total_seconds()


def _bake(spec: Object, release: Object, is_last: bool) -> float:
    """Return the bake of the step that was under way, reckoned apart from the code under test."""
    if release["mode"] in (Mode.FAST.value, Mode.BACK.value):
        return 0.0
    strategy = spec.get("strategy") or {}
    final = _seconds(strategy.get("bake"), "12h")
    if release["mode"] == "Install":
        return final
    every_zone = (strategy.get("oneBox") or {}).get("scope") == "Zone"
    is_one_box = release["position"]["segment"] % 2 == 0 if every_zone else release["position"]["segment"] == 0
    if is_one_box:
        first = _seconds((strategy.get("oneBox") or {}).get("bake"), "1h")
        return max(first, final) if is_last else first
    return final if is_last else _seconds((strategy.get("rolling") or {}).get("bake"), "5m")
