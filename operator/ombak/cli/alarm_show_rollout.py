"""What watches one Rollout, and what of it would take a release back right now."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

from ombak.adapters.clock import SystemClock
from ombak.alarms.errors import AlarmError
from ombak.alarms.resolve import AlarmKey, Resolution
from ombak.alarms.signals import define_signal
from ombak.alarms.verdict import Contributor, Verdict
from ombak.alarms.zoned import origin
from ombak.api.duration import format_duration
from ombak.api.signal import Signal
from ombak.cli.alarm_show_facts import (
    AlarmShown,
    Said,
    leaf_facts,
    node_of,
    nodes_of,
    said_by_status,
    said_by_verdict,
    since_of,
    verdict_of,
)
from ombak.cli.alarm_show_read import Surroundings
from ombak.core.baseline import news_in
from ombak.core.conditions import written
from ombak.core.memory import Memory, Release, load_memory
from ombak.core.report import SOUND
from ombak.core.snapshot import RolloutView
from ombak.runtime.alarm_conditions import is_template
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_reader import ONE_BOX, REVERT, WatchName, wanted_of
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.kube_port import listed, mapping
from ombak.runtime.observe import view_of
from ombak.runtime.records import RolloutRecord

_WATCHER = "show"
_WHOSE = {REVERT: "of all boxes", ONE_BOX: "of the one box"}
_NOT_TOLD = "nothing is told while no release is on its way; add --prometheus URL to ask now"


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """One thing that watches a Rollout; `news` are its contributors that count against the release."""

    part: str
    shown: AlarmShown
    is_new: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutShown:
    """Everything that is printed of a Rollout."""

    name: str
    phase: str
    boxes: str
    flying: str
    """The version on its way, empty if there is none."""
    is_going_back: bool
    waits: str
    command: str
    together: Mapping[str, Said]
    """What the operator says of all of a part together."""
    watches: tuple[Watch, ...]
    notes: tuple[str, ...]

    @property
    def against(self) -> list[str]:
        """What takes the release back now; only what is in ALARM for sure and was not so before it went ahead."""
        named = [w.shown.title for w in self.watches if w.shown.said.is_alarm and w.is_new]
        if named or any(w.shown.said.is_alarm for w in self.watches):
            return named
        return [name for said in self.together.values() if said.is_alarm for name in said.contributors or (said.why,)]

    @property
    def old(self) -> list[str]:
        """What was in ALARM before the release went ahead."""
        return [w.shown.title for w in self.watches if w.shown.said.is_alarm and not w.is_new]

    @property
    def unknown(self) -> list[str]:
        """What is told, and not for sure: it holds a release."""
        told = [w.shown for w in self.watches if w.shown.said.state]
        return [shown.title for shown in told if shown.said.is_unknown]


@dataclasses.dataclass(frozen=True, slots=True)
class _Scene:
    rollout: RolloutView
    status: Mapping[str, object]
    memory: Memory
    found: Surroundings
    service: AlarmService
    is_live: bool


async def show_rollout(
    record: RolloutRecord, found: Surroundings, service: AlarmService, *, is_live: bool
) -> RolloutShown:
    """Gather what watches a Rollout; with `is_live` every Prometheus is asked, else the statuses are all there is.

    The record's spec must be readable.
    """
    rollout, memory = view_of(record), load_memory(record.status.get("memory"))
    artifact = memory.release.artifact if memory.release else rollout.artifact
    wanted = wanted_of(rollout, artifact, found.guards)
    service.watch(_WATCHER, {str(name): one for name, one in wanted.items()}, is_active=True)
    if is_live:
        await service.poll_due()
    scene = _Scene(rollout, record.status, memory, found, service, is_live)
    status = record.status
    waits, told = mapping(status.get("waitingFor")), mapping(status.get("alarms"))
    return RolloutShown(
        name=f"{rollout.namespace}/{rollout.name}",
        phase=str(status.get("phase") or "not looked at yet"),
        boxes=str(mapping(status.get("progress")).get("boxes") or ""),
        flying=memory.release.artifact if memory.release else "",
        is_going_back=memory.reverting is not None,
        waits=str(waits.get("what") or ""),
        command=str(waits.get("command") or ""),
        together={part: said_by_status(mapping(told[part])) for part in (REVERT, ONE_BOX) if told.get(part)},
        watches=tuple(_watch(name, one, scene) for name, one in wanted.items()),
        notes=(*_notes(record), *found.notes),
    )


def _notes(record: RolloutRecord) -> Iterable[str]:
    seen = record.status.get("observedGeneration")
    if seen != record.meta.generation:
        yield f"the operator has not looked at generation {record.meta.generation} of its spec; is it running?"
    if record.problem:
        yield f"its spec is invalid: {record.problem}"
    unsound = written(record.status, SOUND).get("message")
    if unsound:
        yield f"a query cannot mean what it should: {unsound}"


def _watch(name: WatchName, wanted: Wanted, scene: _Scene) -> Watch:
    verdict = scene.service.verdict(_WATCHER, str(name)) if scene.is_live else None
    signal = next((s for s in scene.rollout.spec.signals or () if s.name == name.signal), None)
    if signal is not None:
        shown = _signal(name, signal, wanted, verdict, scene)
    else:
        shown = _expression(name, wanted, verdict, scene)
    return Watch(name.part, shown, _is_new(name.part, verdict, scene))


def _is_new(part: str, verdict: Verdict | None, scene: _Scene) -> bool:
    """Whether what it says counts against the release: where nobody was asked, the operator's own wait tells."""
    memory = scene.memory
    release: Release | None = memory.release
    if release is None:
        return True
    if verdict is not None:
        news: tuple[Contributor, ...] = news_in(scene.rollout.name, release, part, verdict)
        return bool(news)
    return memory.wait is None or memory.wait.key != "alarm"


def _signal(name: WatchName, signal: Signal, wanted: Wanted, verdict: Verdict | None, scene: _Scene) -> AlarmShown:
    views = {str(mapping(each).get("name")): mapping(each) for each in listed(scene.status.get("signals"))}
    field = "service" if name.part == REVERT else ONE_BOX
    told = said_by_status(mapping(views.get(signal.name, {}).get(field)))
    title = f"signal {signal.name} {_WHOSE[name.part]}"
    try:
        alarm = define_signal(signal, wanted.context)
    except AlarmError as error:
        return AlarmShown(title, Said(why=str(error)))
    said = said_by_verdict(verdict, _since(told, verdict)) if verdict is not None else told
    latency = scene.service.detection_latency(_WATCHER, str(name))
    return AlarmShown(
        title=title,
        said=said if said.state else dataclasses.replace(said, why=_NOT_TOLD),
        facts=leaf_facts(alarm),
        latency="" if latency is None else f"{format_duration(latency)}, and the wait for a scrape",
    )


def _since(told: Said, verdict: Verdict) -> datetime | None:
    return told.since if (told.state, told.certainty) == (verdict.state.value, verdict.certainty.value) else None


def _expression(name: WatchName, wanted: Wanted, verdict: Verdict | None, scene: _Scene) -> AlarmShown:
    found, service, namespace = scene.found, scene.service, wanted.namespace
    resolution = service.resolution(_WATCHER, str(name))
    if resolution is None:
        return AlarmShown(f"spec.alarms.{name.part}", Said(why="it cannot be understood"), (wanted.expression,))
    since = since_of(resolution.expression, namespace, found)
    if verdict is not None:
        said = said_by_verdict(verdict, since)
    else:
        said = _told(name.part, resolution, scene) or said_by_verdict(
            resolution.evaluate(lambda key: verdict_of(key, found, service, namespace), SystemClock().now()), since
        )
    if name.guard:
        space, _, alarm = name.guard.rpartition("/")
        made = node_of(AlarmKey(space or namespace, alarm), f"guard {name.guard}", found, service)
        return dataclasses.replace(made, said=said)
    children = nodes_of(resolution.expression, namespace, found, service)
    return AlarmShown(f"spec.alarms.{name.part}", said, (wanted.expression,), children=children)


def _told(part: str, resolution: Resolution, scene: _Scene) -> Said | None:
    """What can be told of an expression over templates, whose state no Alarm's status holds; None for any other one.

    Where all of a part together is OK, so is each.
    """
    keys = dict.fromkeys(map(origin, resolution.leaves))
    names = [key.seen_from(scene.rollout.namespace) for key in keys if _is_template(key, scene)]
    if not names:
        return None
    told = said_by_status(mapping(mapping(scene.status.get("alarms")).get(part)))
    is_all = not (scene.rollout.spec.signals or (part == REVERT and scene.found.guards.guarding(scene.rollout)))
    if told.state and (is_all or not (told.is_alarm or told.is_unknown)):
        return told
    many = "are templates, which have" if len(names) > 1 else "is a template, which has"
    return Said(why=f"{', '.join(names)} {many} a state only for a Rollout; add --prometheus URL to ask now")


def _is_template(key: AlarmKey, scene: _Scene) -> bool:
    return is_template(scene.service.definition(key))
