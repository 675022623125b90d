"""The health of the region over time, and what alarms that ask a Prometheus say of it."""

import bisect
import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from ombak.alarms.history import Stretch, clipped, good_stretches
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict, unknown_verdict
from ombak.core.memory import Release
from ombak.core.snapshot import RolloutView
from ombak.runtime.alarm_book import UNWATCHED, Reading
from ombak.runtime.clock import Clock
from ombak.runtime.store import Key
from ombak.simulation import agenda
from ombak.simulation.agenda import Timeline
from ombak.simulation.pods import Kubelets, Pod

REVERT, ONE_BOX = "revert", "oneBox"
NAMES = (REVERT, ONE_BOX)
OUTSIDE = "outside"
"""The series of what is not the boxes' doing."""
ANSWERS_AFTER = 1.0
"""Seconds that a range query takes."""
MOST_SKEW = timedelta(seconds=5)
"""An answer by another clock is refused, as by the real evaluator."""
MOST_MOMENTS = 2000


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
        self.is_cured = False
        """No box does harm any more, of whatever version."""
        self._lost: list[tuple[float, float]] = []
        self._loses_since: float | None = None
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
        for pod in self._kubelets.pods.values() if not self.is_cured else ():
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

    def store(self, is_on: bool) -> None:
        """Prometheus stores what it sees from now on, or loses it."""
        now = self._timeline.time()
        if is_on and self._loses_since is not None:
            self._lost.append((self._loses_since, now))
            self._loses_since = None
        elif not is_on and self._loses_since is None:
            self._loses_since = now

    def is_stored(self, moment: float) -> bool:
        """Tell whether there is a sample of a moment that has passed."""
        since = self._loses_since
        return not any(start <= moment < end for start, end in self._lost) and (since is None or moment < since)

    def turns(self, name: str) -> list[float]:
        """Return every moment at which what is stored of an alarm's metric became another."""
        ends = [] if self._loses_since is None else [self._loses_since]
        return sorted(
            [*itertools.chain(*self._changes[name].values()), *(end for span in self._lost for end in span), *ends]
        )


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
        self._asked_past: Stretch | None = None
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
        names = _names(rollout)
        self._watched[key] = (names, is_active)
        if not self._is_planned:
            self._is_planned = True
            self._timeline.call_later(0.05, self._poll)
        return Reading(
            revert=self._verdict(REVERT),
            one_box=self._verdict(ONE_BOX) if alarms.one_box is not None else None,
            samples=self._samples(release),
            poll=timedelta(seconds=self._rule.period),
            has_looked=names <= self._asked.keys(),
        )

    def _samples(self, release: Release | None) -> Mapping[str, float | str]:
        began = release.step.ledger.began_at if release else None
        if began is None:
            return {}
        return {"calls": max(0.0, (self._clock.now() - began).total_seconds())}

    def prove(self, rollout: RolloutView, since: datetime, until: datetime) -> tuple[Stretch, ...] | None:
        """Return when all was OK, as a range query over what is stored tells; not at the first time of asking."""
        key, is_new = (rollout.namespace, rollout.name), self._asked_past != (since, until)
        self._asked_past = since, until
        if is_new:
            self._timeline.call_later(ANSWERS_AFTER, self._told, key)
        skew = self._clock.now() - agenda.at(self._timeline.time())
        if is_new or not self._health.is_answering or abs(skew) > MOST_SKEW:
            return None
        names = _names(rollout)
        step = timedelta(seconds=self._rule.period / 4)
        count = min(MOST_MOMENTS, -(-(until - since) // step)) + 1
        moments = [until - index * step for index in reversed(range(count))]
        looks = [(moment, self._was_ok(names, moment)) for moment in moments]
        return clipped(good_stretches(looks), since, until)

    def _was_ok(self, names: set[str], moment: datetime) -> bool:
        at = (moment - agenda.EPOCH).total_seconds()
        return all(judge(self._health, self._rule, name, at) is State.OK for name in names)

    def _told(self, key: Key) -> None:
        if not self._is_stopped:
            self._on_change(key)

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


def _names(rollout: RolloutView) -> set[str]:
    alarms = rollout.spec.alarms
    if alarms is None:
        return set()
    return {REVERT} | ({ONE_BOX} if alarms.one_box is not None else set())


def evaluate(health: Health, rule: Rule, name: str, now: float) -> frozenset[str] | None:
    """Return the series that are in ALARM if it is asked at this true time; None without an answer, or without data."""
    return bad_series(health, rule, name, now) if health.is_answering else None


def bad_series(health: Health, rule: Rule, name: str, moment: float) -> frozenset[str] | None:
    """Return the series that are in ALARM by the samples up to a moment; None when one of them is not there."""
    moments = [moment - k * rule.period for k in range(rule.points)]
    if not all(map(health.is_stored, moments)):
        return None
    return frozenset(
        series
        for series in health.series(name)
        if sum(health.breached(name, series, each) for each in moments) >= rule.hits
    )


def judge(health: Health, rule: Rule, name: str, moment: float) -> State | None:
    """Return what the samples up to a moment say of an alarm; None when one of them is not there."""
    bad = bad_series(health, rule, name, moment)
    return None if bad is None else State.ALARM if bad else State.OK


def ok_spans(health: Health, rule: Rule, name: str, since: float, until: float) -> list[tuple[float, float]]:
    """Return when the samples truly said OK between two moments, to the last moment; for the monitors."""
    edges = {turn + k * rule.period for turn in health.turns(name) for k in range(rule.points)}
    cuts = [since, *sorted(edge for edge in edges if since < edge < until), until]
    found: list[tuple[float, float]] = []
    for start, end in itertools.pairwise(cuts):
        if judge(health, rule, name, (start + end) / 2) is not State.OK:
            continue
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found
