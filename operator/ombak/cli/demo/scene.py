"""What there is to see at one moment: the Rollout's own status, its boxes, its alarms' numbers, its Events."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms import metric, template
from ombak.api.alarm import AlarmSpec
from ombak.api.common import API_VERSION
from ombak.api.duration import parse_duration
from ombak.api.rollout_status import Phase, RolloutStatus
from ombak.cli.demo.boxes import Box, BoxWatch, Told, told_of
from ombak.core import naming
from ombak.core.memory import ZERO, load_memory
from ombak.sandbox import Region, SandboxError

_NEWEST_EVENTS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """What the query of a metric alarm gives now; the operator asks the same."""

    alarm: str
    value: float | None
    condition: str
    """When it alarms, such as `> 0.01`."""
    is_bad: bool
    about: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """Bake time of the step under way."""

    proven: timedelta
    needed: timedelta


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """One moment of one Rollout. `generation` is that of the spec, `status` says which one it speaks of."""

    now: datetime
    generation: int
    status: RolloutStatus
    boxes: tuple[Box, ...]
    numbers: tuple[Number, ...]
    ledger: Ledger | None
    events: tuple[Told, ...]

    @property
    def phase(self) -> Phase | None:
        """The phase, None while the operator has not yet seen the spec as it is now."""
        return self.status.phase if self.status.observed_generation == self.generation else None

    @property
    def ready(self) -> int:
        """Boxes that serve."""
        return sum(box.is_ready for box in self.boxes)


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """The query of one metric alarm, ready to be asked."""

    alarm: str
    query: str
    rule: metric.Rule
    about: str


def questions(alarms: Sequence[Mapping[str, Any]], namespace: str, rollout: str) -> tuple[Question, ...]:
    """Return the queries of the metric alarms in these manifests."""
    context = template.Context(namespace=namespace, name=rollout, pods=naming.one_box_pods(rollout))
    found = []
    for manifest in alarms:
        spec = AlarmSpec.model_validate(manifest["spec"])
        if spec.metric is None:
            continue
        m = spec.metric
        n = m.evaluation_periods
        rule = metric.Rule(m.comparison, m.threshold, n, m.datapoints_to_alarm or n, m.treat_missing_data)
        query = template.render(m.query, context, m.period)
        found.append(Question(manifest["metadata"]["name"], query, rule, spec.description))
    return tuple(found)


def ledger_of(status: RolloutStatus, now: datetime) -> Ledger | None:
    """Return the bake ledger as it must be by now, None while no bake is under way.

    The operator writes it on transitions and every five minutes only; in between it grows while all is well.
    """
    release, told = load_memory(status.memory).release, status.progress.bake
    if release is None or release.step.available_since is None or " of " not in told:
        return None
    ledger, needed = release.step.ledger, parse_duration(told.rpartition(" of ")[2].partition(" by ")[0])
    since = now - ledger.proven_until if ledger.proven_until and is_all_ok(status) else ZERO
    return Ledger(max(ZERO, min(needed, ledger.accrued + since)), needed)


def is_all_ok(status: RolloutStatus) -> bool:
    """Every expression that the release depends on is OK, as the operator last said."""
    views = (status.alarms.revert, status.alarms.one_box) if status.alarms else ()
    return all(view.state == "OK" for view in views if view is not None)


class Camera:
    """Takes scenes of one Rollout in a region."""

    def __init__(self, region: Region, watch: BoxWatch, asked: Sequence[Question], namespace: str, name: str) -> None:
        """`asked` are the queries to show the numbers of."""
        self._region = region
        self._watch = watch
        self._asked = asked
        self._rollout = f"/apis/{API_VERSION}/namespaces/{namespace}/rollouts/{name}"
        self._events = f"/api/v1/namespaces/{namespace}/events"

    def take(self, now: datetime) -> Scene:
        """Return what there is to see now. Raises ApiStatusError, OSError."""
        client = self._region.plane.client
        rollout = client.call("GET", self._rollout)
        listed = client.call("GET", self._events, fieldSelector="involvedObject.kind=Rollout")
        status = RolloutStatus.model_validate(rollout.get("status") or {})
        return Scene(
            now=now,
            generation=int(rollout["metadata"]["generation"]),
            status=status,
            boxes=self._watch.boxes,
            numbers=tuple(map(self._number, self._asked)),
            ledger=ledger_of(status, now),
            # Their names carry the microsecond, their times only the second.
            events=tuple(map(told_of, sorted(listed["items"], key=lambda e: e["metadata"]["name"])))[-_NEWEST_EVENTS:],
        )

    def _number(self, question: Question) -> Number:
        value = self._value(question.query)
        is_bad = value is not None and question.rule.breaches(value)
        return Number(question.alarm, value, str(question.rule), is_bad, question.about)

    def _value(self, query: str) -> float | None:
        try:
            value = self._region.prometheus.value(query)
        except (OSError, SandboxError, ValueError):
            return None
        return None if value is None or math.isnan(value) else value
