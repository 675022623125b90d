"""The alarms of Rollouts: their expressions handed to the evaluator, their sample quotas asked of Prometheus."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from ombak.alarms import lookback, template
from ombak.alarms.errors import AlarmError
from ombak.alarms.history import Stretch
from ombak.alarms.signals import OF_ALL_BOXES, OF_THE_ONE_BOX, worst
from ombak.alarms.syntax import Is, Ref, print_expression
from ombak.alarms.verdict import State, Verdict
from ombak.api.rollout import RolloutSpec, SampleQuota
from ombak.core import naming
from ombak.core.layout import Part, zones_with_boxes
from ombak.core.memory import Release
from ombak.core.snapshot import NO_TRAPS, RolloutView, SignalReading
from ombak.runtime.alarm_asking import Asker
from ombak.runtime.alarm_book import UNWATCHED, Reading
from ombak.runtime.alarm_interest import DEFAULT_ENDPOINT, Wanted, wanted_signal
from ombak.runtime.alarm_polling import PollSettings
from ombak.runtime.alarm_queries import QueryKey
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.clock import Clock
from ombak.runtime.guards import Guards
from ombak.runtime.metrics_port import MetricsSource, QueryError
from ombak.runtime.rollout_traps import RolloutTraps
from ombak.runtime.store import Key

log = structlog.get_logger()

REVERT = "revert"
ONE_BOX = "oneBox"
QUOTA_EVERY = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=5)
"""Between two attempts at a past that Prometheus does not tell."""
_SLOWEST = timedelta(seconds=15)


@dataclasses.dataclass(frozen=True, slots=True)
class WatchName:
    """What is watched: for all boxes or for the one box, the expression, the signal or the guard of that name."""

    part: str
    signal: str = ""
    guard: str = ""

    def __str__(self) -> str:
        return f"{self.part}/{self.signal}/{self.guard}".rstrip("/")


@dataclasses.dataclass(slots=True)
class _Counted:
    """The samples of one Rollout's step, as last asked."""

    since: object = None
    asked_at: float | None = None
    values: dict[str, float | str] = dataclasses.field(default_factory=dict)
    task: asyncio.Task[None] | None = None


@dataclasses.dataclass(slots=True)
class _Asked:
    """A past that is asked for, and how often in vain; `again_at` is monotonic."""

    span: Stretch
    task: asyncio.Task[tuple[Stretch, ...] | None] | None = None
    failures: int = 0
    again_at: float = 0.0


class AlarmReader:
    """Implements `AlarmBook` on the evaluator."""

    def __init__(
        self,
        service: AlarmService,
        source: MetricsSource,
        clock: Clock,
        on_change: Callable[[Key], None],
        guards: Guards | None = None,
        traps: RolloutTraps | None = None,
        region: str = "",
    ) -> None:
        self._service = service
        self._asker = Asker({DEFAULT_ENDPOINT: source}, clock, PollSettings().timeout, PollSettings().most_skew)
        self._clock = clock
        self._on_change = on_change
        self._guards = guards or Guards()
        self._traps = traps
        self._region = region
        self._proofs: dict[Key, _Asked] = {}
        self._counted: dict[Key, _Counted] = {}

    def read(self, rollout: RolloutView, release: Release | None, *, is_active: bool) -> Reading:
        """Return what is known of the Rollout's expressions, and keep them evaluated."""
        key = (rollout.namespace, rollout.name)
        artifact = release.artifact if release else rollout.artifact
        wanted = wanted_of(rollout, artifact, self._guards, self._region)
        if not wanted:
            self._unwatch(key)
            return dataclasses.replace(UNWATCHED, samples=self._samples(rollout, release, artifact))
        self._service.watch(key, {str(name): one for name, one in wanted.items()}, is_active, is_settled=not is_active)
        verdicts = {name: _named(name, self._service.verdict(key, str(name))) for name in wanted}
        return Reading(
            revert=worst([verdict for name, verdict in verdicts.items() if name.part == REVERT]),
            one_box=worst([verdict for name, verdict in verdicts.items() if name.part == ONE_BOX]),
            signals=tuple(
                SignalReading(s.name, verdicts[WatchName(REVERT, s.name)], verdicts[WatchName(ONE_BOX, s.name)])
                for s in rollout.spec.signals or ()
            ),
            traps=self._traps.found(key) if self._traps is not None else NO_TRAPS,
            samples=self._samples(rollout, release, artifact),
            poll=self._service.slowest(key) or _SLOWEST,
            has_looked=self._service.has_looked(key),
        )

    def prove(self, rollout: RolloutView, since: datetime, until: datetime) -> tuple[Stretch, ...] | None:
        """Return when all was OK between two moments, None while Prometheus is being asked."""
        key = (rollout.namespace, rollout.name)
        if not self._service.is_watching(key):
            return ((since, until),)  # it rests on nothing
        asked = self._proofs.get(key)
        if asked is None or asked.span != (since, until):
            self._drop_proof(key)
            asked = self._proofs[key] = _Asked((since, until), again_at=self._clock.monotonic())
        if asked.task is not None and not asked.task.done():
            return None
        found = asked.task.result() if asked.task is not None else None
        if found is None and self._clock.monotonic() >= asked.again_at:
            asked.task = asyncio.create_task(self._prove(key, asked))
        return found

    async def _prove(self, key: Key, asked: _Asked) -> tuple[Stretch, ...] | None:
        """Ask once. None if there is no answer: what Prometheus stored it can still tell later."""
        try:
            found = await self._service.ok_stretches(key, *asked.span)
        except QueryError as error:
            pause = min(LONGEST_PAUSE, QUOTA_EVERY * 2 ** min(asked.failures, 10))
            asked.failures, asked.again_at = asked.failures + 1, self._clock.monotonic() + pause.total_seconds()
            log.info("the past was not told", error=str(error), attempts=asked.failures)
            return None
        self._on_change(key)
        return found

    def _drop_proof(self, key: Key) -> None:
        asked = self._proofs.pop(key, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    def forget(self, key: Key) -> None:
        """Stop evaluating for a Rollout."""
        self._unwatch(key)
        self._drop(key)

    def _unwatch(self, key: Key) -> None:
        self._service.unwatch(key)
        if self._traps is not None:
            self._traps.forget(key)
        self._drop_proof(key)

    def _drop(self, key: Key) -> None:
        counted = self._counted.pop(key, None)
        if counted is not None and counted.task is not None:
            counted.task.cancel()

    def _samples(self, rollout: RolloutView, release: Release | None, artifact: str) -> Mapping[str, float | str]:
        """Return the quotas' counts since the bake began, and see to it that they are asked again."""
        key, since = (rollout.namespace, rollout.name), release.step.ledger.began_at if release else None
        strategy = rollout.spec.strategy
        listed = (*strategy.one_box.bake.at_least, *strategy.rolling.bake.at_least, *strategy.bake.at_least)
        quotas = tuple({quota.name: quota for quota in listed}.values())
        if since is None or not quotas:
            self._drop(key)
            return {}
        counted = self._counted.setdefault(key, _Counted(since))
        if counted.since != since:
            self._drop(key)
            counted = self._counted[key] = _Counted(since)
        mono = self._clock.monotonic()
        is_due = counted.asked_at is None or mono - counted.asked_at >= QUOTA_EVERY.total_seconds()
        if is_due and (counted.task is None or counted.task.done()):
            counted.asked_at = mono
            window = max(timedelta(seconds=1), self._clock.now() - since)
            context = _context(rollout, artifact, naming.all_pods(rollout.name), self._region)
            counted.task = asyncio.create_task(self._count(key, counted, quotas, context, window))
        return dict(counted.values)

    async def _count(
        self,
        key: Key,
        counted: _Counted,
        quotas: tuple[SampleQuota, ...],
        context: template.Context,
        window: timedelta,
    ) -> None:
        for quota in quotas:
            counted.values[quota.name] = await self._ask(quota, context, window)
        self._on_change(key)

    async def _ask(self, quota: SampleQuota, context: template.Context, window: timedelta) -> float | str:
        """Return the sum over all series of the answer, or why there is none to be had."""
        try:
            text = template.render(quota.query, context, window)
            lookback.check_query(text)
            result = await self._asker.once(QueryKey(DEFAULT_ENDPOINT, text, QUOTA_EVERY), self._clock.now())
        except QueryError as error:
            return str(error)
        except AlarmError as error:
            return f"its query {quota.query!r} is wrong, {error}"
        return sum(series.points[-1][1] for series in result.series) if result.series else "its query gives no series"


def _context(rollout: RolloutView, artifact: str, pods: str, region: str) -> template.Context:
    zones = zones_with_boxes(rollout.spec)
    return template.Context(rollout.namespace, rollout.name, pods, region, artifact, zones=zones)


def _named(name: WatchName, verdict: Verdict) -> Verdict:
    """A guard stands in no field of the Rollout: its name is told with what it says, or nobody knew who said it."""
    if not name.guard or not verdict.message or verdict.message.startswith(f"{name.guard}:"):
        return verdict
    return dataclasses.replace(verdict, message=f"{name.guard}: {verdict.message}")


def wanted_of(rollout: RolloutView, artifact: str, guards: Guards, region: str = "") -> dict[WatchName, Wanted]:
    """Return everything that a release of this Rollout depends on: expressions, signals, and guards of its team."""
    own = own_wanted(rollout.namespace, rollout.name, rollout.spec, artifact, region)
    return own | _guarded(rollout, artifact, guards, region)


def _guarded(rollout: RolloutView, artifact: str, guards: Guards, region: str) -> dict[WatchName, Wanted]:
    """The alarms of its team that guard it, each in its context."""
    context = _context(rollout, artifact, naming.all_pods(rollout.name), region)
    found = {}
    for namespace, name in guards.guarding(rollout):
        ref = Ref(name, None if namespace == rollout.namespace else namespace)
        text = print_expression(Is(State.ALARM, ref))
        found[WatchName(REVERT, guard=str(ref))] = Wanted(text, rollout.namespace, context)
    return found


def own_wanted(namespace: str, name: str, spec: RolloutSpec, artifact: str, region: str) -> dict[WatchName, Wanted]:
    """Return what a Rollout itself says that its releases depend on: its expressions and its signals."""
    member = naming.base(name)
    everyone, one_box = (
        template.Context(namespace, name, pods, region, artifact, crowd, member, zones=zones_with_boxes(spec, part))
        for pods, crowd, part in (
            (naming.all_pods(name), naming.EVERY_POD, None),
            (naming.one_box_pods(name), naming.EVERY_ONE_BOX_POD, Part.ONE_BOX),
        )
    )
    found = {}
    if spec.alarms is not None:
        found[WatchName(REVERT)] = Wanted(spec.alarms.revert, namespace, everyone)
    if spec.alarms is not None and spec.alarms.one_box is not None:
        found[WatchName(ONE_BOX)] = Wanted(spec.alarms.one_box, namespace, one_box)
    for signal in spec.signals or ():
        found[WatchName(REVERT, signal.name)] = wanted_signal(signal, everyone, OF_ALL_BOXES)
        found[WatchName(ONE_BOX, signal.name)] = wanted_signal(signal, one_box, OF_THE_ONE_BOX)
    return found
