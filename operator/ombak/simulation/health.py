"""The health of the region over time, and what alarms that ask a Prometheus say of it."""

import bisect
import dataclasses
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from ombak.alarms.history import Stretch
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict, unknown_verdict
from ombak.core.memory import Release
from ombak.core.snapshot import RolloutView
from ombak.runtime.alarm_book import UNWATCHED, Reading
from ombak.runtime.clock import Clock
from ombak.runtime.store import Key
from ombak.simulation.agenda import Timeline
from ombak.simulation.pods import Kubelets, Pod

REVERT, ONE_BOX = "revert", "oneBox"
NAMES = (REVERT, ONE_BOX)
OUTSIDE = "outside"
"""The series of what is not the boxes' doing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """One answer of Prometheus, by the true time at which it was asked."""

    at: float
    state: State | None
    """None: no answer."""
    series: frozenset[str] = frozenset()
    """What is in ALARM: `OUTSIDE`, or the artifact whose boxes do it."""


class Health:
    """Whether the metric behind each alarm breaches, at every moment so far: what Prometheus has stored."""

    def __init__(self, timeline: Timeline, kubelets: Kubelets) -> None:
        self._timeline, self._kubelets = timeline, kubelets
        self._changes: dict[str, dict[str, list[float]]] = {name: {} for name in NAMES}
        """By alarm and series: when it began to breach, when it ended, and so on in turn."""
        self.ambient: set[str] = set()
        """Alarms that something outside of the Rollout makes breach."""
        self.is_answering = True
        """Prometheus can be reached."""
        self.evaluations: dict[str, list[Evaluation]] = {name: [] for name in NAMES}
        """Every evaluation that any operator made; for the monitors."""
        self.read_at: dict[str, Evaluation] = {}
        """What the operator that acts just now decided upon; for the monitors."""
        kubelets.watchers.append(self._pod_changed)

    def _pod_changed(self, pod: Pod, what: str) -> None:
        if what == "ready" and pod.behaviour.burns_after:
            self._timeline.call_later(pod.behaviour.burns_after + 0.001, self.look)
        if what in ("ready", "lost", "waits", "gone"):
            self.look()

    def look(self) -> None:
        """Store what is true now."""
        now = self._timeline.time()
        for name, known in self._changes.items():
            bad = self._bad(name, now) | ({OUTSIDE} if name in self.ambient else set())
            for series in bad | known.keys():
                changes = known.setdefault(series, [])
                if (series in bad) is not bool(len(changes) % 2):
                    changes.append(now)

    def _bad(self, name: str, now: float) -> set[str]:
        serving: dict[str, int] = {}
        found: set[str] = set()
        for pod in self._kubelets.pods.values():
            how = pod.behaviour
            if not pod.is_ready or now < self._kubelets.first_served[pod.artifact] + how.burns_after:
                continue
            if name == ONE_BOX:
                if pod.is_one_box and how.bad_one_box:
                    found.add(pod.artifact)
            elif how.bad_from:
                serving[pod.artifact] = serving.get(pod.artifact, 0) + 1
                if serving[pod.artifact] >= how.bad_from:
                    found.add(pod.artifact)
        return found

    def series(self, name: str) -> Collection[str]:
        """Return all series of an alarm that ever breached."""
        return self._changes[name].keys()

    def breached(self, name: str, series: str, moment: float) -> bool:
        """Tell whether a series breached at a moment that has passed."""
        return bisect.bisect_right(self._changes[name][series], max(0.0, moment)) % 2 == 1


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """An alarm on a metric: `hits` of the last `points` samples, one each `period` seconds."""

    period: float = 10.0
    points: int = 3
    hits: int = 2

    @property
    def window(self) -> timedelta:
        """How far back it looks."""
        return timedelta(seconds=self.period * self.points)


class SimulatedAlarms:
    """The `AlarmBook` of one operator process: polls while somebody asks, and knows only what its polls said."""

    def __init__(
        self, health: Health, rule: Rule, clock: Clock, timeline: Timeline, on_change: Callable[[Key], None]
    ) -> None:
        self._health, self._rule, self._clock, self._timeline = health, rule, clock, timeline
        self._on_change = on_change
        self._verdicts: dict[str, Verdict] = {}
        self._asked: dict[str, float] = {}
        self._latest: dict[str, Evaluation] = {}
        self.read_at: dict[str, Evaluation] = {}
        """What the latest reading rested on."""
        self._watched: dict[Key, tuple[set[str], bool]] = {}
        self._is_planned = False
        self._is_stopped = False

    @property
    def _interval(self) -> float:
        is_active = any(active for _, active in self._watched.values())
        return self._rule.period / (4 if is_active else 1)

    def read(self, rollout: RolloutView, release: Release | None, *, is_active: bool) -> Reading:
        """Return what the last polls said."""
        alarms, key = rollout.spec.alarms, (rollout.namespace, rollout.name)
        if alarms is None:
            self.forget(key)
            return UNWATCHED
        names = {REVERT} | ({ONE_BOX} if alarms.one_box is not None else set())
        self._watched[key] = (names, is_active)
        if not self._is_planned:
            self._is_planned = True
            self._timeline.call_later(0.05, self._poll)
        return Reading(
            revert=self._verdict(REVERT),
            one_box=self._verdict(ONE_BOX) if alarms.one_box is not None else None,
            samples=self._samples(release),
            poll=timedelta(seconds=self._rule.period),
        )

    def _samples(self, release: Release | None) -> Mapping[str, float | None]:
        began = release.step.ledger.began_at if release else None
        if began is None:
            return {}
        return {"calls": max(0.0, (self._clock.now() - began).total_seconds())}

    def prove(
        self,
        rollout: RolloutView,  # noqa: ARG002 - the port's
        since: datetime,  # noqa: ARG002 - the port's
        until: datetime,  # noqa: ARG002 - the port's
    ) -> tuple[Stretch, ...] | None:
        """Prove nothing: this Prometheus keeps no past."""
        return ()

    def forget(self, key: Key) -> None:
        """Stop polling for a Rollout."""
        self._watched.pop(key, None)

    def stop(self) -> None:
        """The process ends."""
        self._is_stopped = True

    def _verdict(self, name: str) -> Verdict:
        asked = self._asked.get(name)
        if asked is None or self._clock.monotonic() - asked > 2 * self._rule.period + 5:
            self.read_at[name] = Evaluation(self._timeline.time(), None)
            return unknown_verdict(name, "was not evaluated for too long")
        self.read_at[name] = self._latest[name]
        return self._verdicts[name]

    def _poll(self) -> None:
        """Ask about everything that is watched, and tell whoever waits for it."""
        self._is_planned = False
        if self._is_stopped or not self._watched:
            return
        changed = False
        for name in NAMES:
            if any(name in names for names, _ in self._watched.values()):
                changed |= self._ask(name)
        for key, (_, is_active) in list(self._watched.items()):
            if changed or is_active:
                self._on_change(key)
        self._is_planned = True
        self._timeline.call_later(self._interval, self._poll)

    def _ask(self, name: str) -> bool:
        before = self._verdicts.get(name)
        self._asked[name] = self._clock.monotonic()
        now = self._timeline.time()
        bad = evaluate(self._health, self._rule, name, now)
        state = None if bad is None else State.ALARM if bad else State.OK
        self._latest[name] = Evaluation(now, state, bad or frozenset())
        self._health.evaluations[name].append(self._latest[name])
        if bad is None or state is None:
            self._verdicts[name] = unknown_verdict(name, "Prometheus does not answer")
        else:
            self._verdicts[name] = Verdict(
                state,
                Certainty.Certain,
                self._clock.now(),
                self._rule.window,
                (name,) if bad else (),
                message=f"{name} breaches" if bad else "",
                causes=tuple(Contributor(name, series) for series in sorted(bad)),
            )
        after = self._verdicts[name]
        return before is None or (before.state, before.causes) != (after.state, after.causes)


def evaluate(health: Health, rule: Rule, name: str, now: float) -> frozenset[str] | None:
    """Return the series that are in ALARM if it is asked at this true time; None when there is no answer."""
    if not health.is_answering:
        return None
    return frozenset(
        series
        for series in health.series(name)
        if sum(health.breached(name, series, now - k * rule.period) for k in range(rule.points)) >= rule.hits
    )
