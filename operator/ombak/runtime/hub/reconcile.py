"""One pass over a Pipeline: observe, decide, apply in order, report, wait (design 3 and 5)."""

import dataclasses
from collections import defaultdict
from datetime import datetime, timedelta

import structlog

from ombak.core.conditions import condition
from ombak.core.conveyor import plan
from ombak.core.conveyor.decide import decide
from ombak.core.conveyor.plan import HubPlan
from ombak.core.conveyor.report import Status, status
from ombak.core.conveyor.snapshot import HubSnapshot
from ombak.core.failures import DEFECT
from ombak.core.plan import Note
from ombak.runtime import kinds
from ombak.runtime.clock import Clock
from ombak.runtime.defects import place_of
from ombak.runtime.events import EventRecorder
from ombak.runtime.hub.hub_writer import HubWriter
from ombak.runtime.hub.jobs import JobBook
from ombak.runtime.hub.observe import HubStores, Observer
from ombak.runtime.hub.records import PipelineRecord
from ombak.runtime.hub.region_writer import RegionWriter
from ombak.runtime.kube_port import (
    ApiError,
    Conflict,
    KubeClient,
    NotFound,
    TooManyRequests,
    Unreachable,
    listed,
    mapping,
)
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

SAID_AGAIN_AFTER = timedelta(minutes=1)
"""The same Event of the same Pipeline comes once in this time: a write that is tried again is no news."""
_OF_THE_HUB = (plan.ClearCommand, plan.DeleteArtifact, plan.RetryArtifact)
_NO_REFUSAL = (Conflict, TooManyRequests, Unreachable)
"""What says nothing against what was to be written."""
APPLIED = "Applied"
ByRegion = dict[str, list[plan.Action]]
"""What a plan means for each region, in order."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hands:
    """What carries plans out."""

    hub: HubWriter
    regions: RegionWriter
    jobs: JobBook


class PipelineReconciler:
    """Brings one Pipeline at a time one decision further. All it needs to go on after a restart is in the cluster."""

    def __init__(
        self,
        client: KubeClient,
        stores: HubStores,
        observer: Observer,
        hands: Hands,
        clock: Clock,
        recorder: EventRecorder,
    ) -> None:
        self._client, self._stores, self._observer = client, stores, observer
        self._hands, self._clock, self._recorder = hands, clock, recorder
        self._told: dict[Key, dict[tuple[Note, int], datetime]] = {}
        self._refused: dict[Key, str] = {}
        """What the hub's own cluster did not take, of the last pass."""
        self._unmade: dict[Key, tuple[str, str]] = {}
        """The version whose Artifact it refused, with its words, until it takes it."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """Do one pass; returns after which time to look again at the latest. Raises `ApiError` to be tried again."""
        stored = self._stores.pipelines.get(key)
        if stored is None:
            self._told.pop(key, None)
            self._refused.pop(key, None)
            self._unmade.pop(key, None)
            self._hands.regions.forget(key)
            self._hands.jobs.forget(key)
            self._observer.forget(key)
            return None
        record, now = stored.value, self._clock.now()
        s = self._observer.snapshot(record, self._hands.jobs.facts(key), now)
        hands = self._hands.regions
        s = dataclasses.replace(
            s,
            unmade=dict([self._unmade[key]]) if key in self._unmade else {},
            unwritten=hands.problems(key),
            refused=hands.refused(key),
            dropped=hands.dropped(key, s.artifacts),
        )
        made = decide(s, now)
        was_refused = self._refused.get(key)
        await self._apply(key, record, s, made, now)
        self._hands.jobs.keep(key, {item.sequence for item in made.memory.items if item.is_inside})
        _log(made)
        if self._refused.get(key) != was_refused:
            return timedelta(0)  # the condition that told of it is to be mended
        if made.wake_at is None:
            self._observer.forget(key)
            return None
        return max(made.wake_at - now, timedelta(0))

    async def _apply(self, key: Key, record: PipelineRecord, s: HubSnapshot, made: HubPlan, now: datetime) -> None:
        """Artifacts and verdicts, then the memory, then what it means: each only if the one before succeeded.

        Of what it means every region is by itself, and so is the hub: what fails here must keep no region from
        going back.
        """
        for action in made.actions:
            if isinstance(action, plan.EARLY):
                await self._do_first(key, s, action, now)
        on_hub, by_region = _parted(made)
        self._hands.regions.keep(key, by_region)
        is_fresh = await self._tell(key, record, s, made, now)
        if not is_fresh and any(not self._hands.regions.is_busy(key, region) for region in by_region):
            await self._ensure_newest(key, record, by_region)
        for region, actions in by_region.items():
            self._hands.regions.start(key, region, actions)
        for action in made.actions:
            if isinstance(action, plan.RunTest):
                self._hands.jobs.follow(key, action)
        await self._do_on_hub(key, s, on_hub, now)

    async def _do_first(self, key: Key, s: HubSnapshot, action: plan.Action, now: datetime) -> None:
        """Do what all else waits for. An Artifact that is refused is decided without by the next pass: it says so."""
        try:
            await self._hands.hub.do(s.pipeline, action, now)
        except ApiError as error:
            self._hear_refusal(key, action, error)
            raise

    def _hear_refusal(self, key: Key, action: plan.Action, error: ApiError) -> None:
        """Keep why an Artifact is not taken, in the words of the last try: the cause may be another one by now."""
        if isinstance(action, plan.EnsureArtifact | plan.RetryArtifact) and not isinstance(error, _NO_REFUSAL):
            self._unmade[key] = action.version, str(error)

    async def _ensure_newest(self, key: Key, record: PipelineRecord, by_region: ByRegion) -> None:
        """Raise `Conflict` if another process of this hub wrote the status since: it may have decided otherwise.

        Where nobody can tell, because the hub's own API server does not answer, a way back must not wait for it; all
        else may have been taken back meanwhile, and is tried again by the next pass.
        """
        try:
            await self._write(record, dict(record.status))
        except (Conflict, NotFound):
            raise
        except ApiError as error:
            log.info("nobody can tell whether another process of this hub works on it", error=str(error))
            for region, actions in by_region.items():
                if ways_back := [a for a in actions if isinstance(a, plan.ApplyRollout) and a.is_way_back]:
                    self._hands.regions.start(key, region, ways_back)
            raise

    async def _do_on_hub(self, key: Key, s: HubSnapshot, actions: list[plan.Action], now: datetime) -> None:
        """Do everything that can be done; what was refused is told by the next pass, which comes by itself."""
        failed: list[ApiError] = []
        for action in actions:
            try:
                await self._hands.hub.do(s.pipeline, action, now)
                if isinstance(action, plan.RetryArtifact):
                    self._unmade.pop(key, None)
            except ApiError as error:
                self._hear_refusal(key, action, error)
                failed.append(error)
        refused = "; ".join(str(error) for error in failed if not isinstance(error, Conflict))
        if refused:
            self._refused[key] = refused
        else:
            self._refused.pop(key, None)
        if failed:
            raise failed[0]

    async def tell_defect(self, key: Key, error: Exception, at_most: str) -> None:
        """Put a mistake of ours into the status of the Pipeline that it befell. Raises `ApiError`."""
        stored = self._stores.pipelines.get(key)
        if stored is None:
            return
        record, now = stored.value, self._clock.now()
        message = (
            f"A defect of Ombak ended the work on this Pipeline: {type(error).__name__} in {place_of(error)}. What "
            f"runs in the regions goes on; it is tried again by itself, {at_most} later at most. The hub's log has the "
            "details."
        )
        facts = (("Reconciling", "False", DEFECT, message), ("Stalled", "True", DEFECT, message))
        told = [condition(fact, record.status, record.meta.generation, now) for fact in facts]
        others = listed(record.status.get("conditions"))
        kept = [c for c in others if mapping(c).get("type") not in ("Reconciling", "Stalled")]
        found = {**record.status, "reason": DEFECT, "message": message, "conditions": [*kept, *told]}
        if found != record.status:
            await self._write(record, found)

    async def _tell(self, key: Key, record: PipelineRecord, s: HubSnapshot, made: HubPlan, now: datetime) -> bool:
        """Write the status if it is another one, and post what happened once that is written; whether it was."""
        found = status(s, made, record.status, now)
        found["conditions"] = [*found["conditions"], self._applied(key, record, now)]
        is_news = found != record.status
        if is_news:
            await self._write(record, found)
        for note in made.notes:
            self._say(key, record, note, made.memory.sequence, now)
        return is_news

    def _applied(self, key: Key, record: PipelineRecord, now: datetime) -> Status:
        """The condition of the writes: which of them failed, with the server's own words."""
        found = [f"Region {region}: {why}" for region, why in self._hands.regions.problems(key).items()]
        if refused := self._refused.get(key):
            found.append(f"the hub: {refused}")
        reason = "WriteFailed" if found else "Written"
        fact = (APPLIED, str(not found), reason, "; ".join(found))
        return condition(fact, record.status, record.meta.generation, now)

    async def _write(self, record: PipelineRecord, found: Status) -> None:
        meta = record.meta
        body = {
            "apiVersion": kinds.PIPELINES.api_version,
            "kind": kinds.PIPELINES.kind,
            "metadata": {"namespace": meta.namespace, "name": meta.name, "resourceVersion": meta.resource_version},
            "status": found,
        }
        try:
            answer = await self._client.replace(kinds.PIPELINES, meta.namespace, meta.name, body, subresource="status")
        except Conflict:
            try:
                self._stores.pipelines.upsert(await self._client.get(kinds.PIPELINES, meta.namespace, meta.name))
            except NotFound:
                self._stores.pipelines.discard((meta.namespace, meta.name), meta.uid)
            raise
        self._stores.pipelines.upsert(answer)

    def _say(self, key: Key, record: PipelineRecord, note: Note, last_change: int, now: datetime) -> None:
        """Post what happened, once: a version that comes again soon, as another change, happens again."""
        told = {said: at for said, at in self._told.get(key, {}).items() if now - at < SAID_AGAIN_AFTER}
        if (note, last_change) not in told:
            told[note, last_change] = now
            self._recorder.record(record.view, note, kinds.PIPELINES.kind)
        self._told[key] = told


def _parted(made: HubPlan) -> tuple[list[plan.Action], ByRegion]:
    """Return what a plan means for the hub's own cluster, and for each region, in order."""
    on_hub: list[plan.Action] = []
    by_region: defaultdict[str, list[plan.Action]] = defaultdict(list)
    for action in made.actions:
        if isinstance(action, (*plan.EARLY, plan.RunTest)):
            continue
        if isinstance(action, _OF_THE_HUB) or not action.region:
            on_hub.append(action)
        else:
            by_region[action.region].append(action)
    return on_hub, dict(by_region)


def _log(made: HubPlan) -> None:
    if made.actions or made.notes:
        log.info(
            "pass",
            stage=made.stage,
            artifact=made.version,
            reason=made.reason,
            message=made.message,
            actions=[type(action).__name__ for action in made.actions],
            travelling=len(made.memory.items),
            waits=len(made.waits),
        )
