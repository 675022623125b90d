"""Which stage has which regions, and how carefully a region takes a change (R42-R46, R75-R77, R93, R96)."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from ombak.api.common import GROUP
from ombak.api.duration import format_duration, parse_duration
from ombak.api.pipeline import PipelineSpec
from ombak.api.region import GUARDED
from ombak.api.stage import ALL_ZONES, JobMoment, Operator, Phase, RegionSelector, Stage
from ombak.core.conveyor.snapshot import RegionFacts
from ombak.core.overrides.view import AS_IT_IS, Shortened

FIRST_WAVE_BAKE = timedelta(hours=12)
WAVE_BAKE = timedelta(hours=4)
ONE_BOX_BAKE = timedelta(hours=1)
BATCH_BAKE = timedelta(minutes=5)
_NOWHERE = (
    "spec.stages have no Region in all, so a change would go nowhere: none is there that lets this namespace in; "
    "register one, or ask who owns the Regions (spec.allow)"
)
_FIELDS = ("cloud", "region", "tier", "name")
"""Fields of a Region that are labels of it too, in short as well as with our prefix."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One place to deliver to: a stage's namespace in a region."""

    stage: Stage
    region: RegionFacts
    namespace: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all other places."""
        return self.region.name, self.namespace


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing may start in some stages, or there in one region."""

    what: str
    """With field and fix."""
    stages: tuple[str, ...]
    region: str = ""
    """Empty for all regions of the stages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """The targets of each stage, by its name, in the order of delivery."""

    targets: Mapping[str, tuple[Target, ...]]
    problems: tuple[Problem, ...] = ()
    missing: tuple[str, ...] = ()
    """`stage/region` of named regions that are not there: a slip in a new wish, a removed region in an old one."""
    empty: tuple[str, ...] = ()
    """Stages that have no region at all, though they should."""
    unzoned: tuple[str, ...] = ()
    """`stage/zone` of zones that no region of the stage has."""
    twins: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """By place: another Region that leads to the same cluster, where the Rollout would be one and the same object."""

    @property
    def keys(self) -> frozenset[tuple[str, str]]:
        """All places."""
        return frozenset(t.key for targets in self.targets.values() for t in targets)

    @property
    def slips(self) -> tuple[str, ...]:
        """What must be right when a wish is put into the queue."""
        missing = tuple(
            f"spec.stages[{place.partition('/')[0]}].regions names {place.partition('/')[2]}, which is no Region; "
            "register it, or take the name out"
            for place in self.missing
        )
        empty = tuple(
            f"spec.stages[{name}].regions selects no Region that lets this namespace in; "
            "correct the selector, or label a Region"
            for name in self.empty
        )
        unzoned = tuple(
            f"spec.stages[{place.partition('/')[0]}].zones names {place.partition('/')[2]}, which is a zone of none of "
            "its Regions (their spec.zones); correct it, or take it out"
            for place in self.unzoned
        )
        found = (*(p.what for p in self.problems), *missing, *empty, *unzoned)
        return found if found or self.keys else (_NOWHERE,)

    def against(self, stage: str, region: str = "") -> str:
        """Why nothing may start in a stage, or in one of its regions; empty if it may, in some region at least."""
        found = [p for p in self.problems if stage in p.stages]
        held = {p.region for p in found}
        is_whole = "" in held or all(t.region.name in held for t in self.targets.get(stage, ()))
        return next((p.what for p in found if p.region in ("", region) or (is_whole and not region)), "")


def place(spec: PipelineSpec, namespace: str, regions: Iterable[RegionFacts]) -> Placement:
    """Return which stage has which regions; `namespace` is the Pipeline's own."""
    known = sorted(regions, key=lambda r: r.name)
    by_name = {r.name: r for r in known}
    chosen: dict[str, list[RegionFacts]] = {}
    problems: list[Problem] = []
    missing: list[str] = []
    for stage in spec.stages:
        assert stage.regions is not None
        if stage.regions.unplaced:
            continue
        missing += [f"{stage.name}/{name}" for name in stage.regions.names if name not in by_name]
        barred = [n for n in stage.regions.names if n in by_name and not by_name[n].admits(namespace)]
        problems += [Problem(_barred(stage, name, namespace), (stage.name,)) for name in barred]
        chosen[stage.name] = [r for r in _selected(stage.regions, known, by_name) if r.admits(namespace)]
    taken = {r.name for found in chosen.values() for r in found}
    for stage in spec.stages:
        if stage.regions is not None and stage.regions.unplaced:
            chosen[stage.name] = [r for r in known if r.name not in taken and r.admits(namespace)]
    targets = {
        stage.name: tuple(Target(stage, r, stage.namespace or namespace) for r in chosen[stage.name])
        for stage in spec.stages
    }
    empty = tuple(s.name for s in spec.stages if not targets[s.name] and not (s.regions and s.regions.unplaced))
    problems += (*_strange(targets, namespace), *_twice(targets), *_without_zones(targets))
    return Placement(targets, tuple(problems), tuple(missing), empty, tuple(_unzoned(targets)), _twins(targets))


def _selected(
    choice: RegionSelector, known: list[RegionFacts], by_name: Mapping[str, RegionFacts]
) -> list[RegionFacts]:
    """Named ones come in the order in which they are named, selected ones by name."""
    if choice.names:
        return [by_name[name] for name in dict.fromkeys(choice.names) if name in by_name]
    return [r for r in known if matches(choice, r)]


def _barred(stage: Stage, region: str, namespace: str) -> str:
    return (
        f"Region {region} does not let the namespace {namespace} in (spec.allow), but stage {stage.name} names it; "
        "ask who owns the Region, or take the name out"
    )


def _strange(targets: Mapping[str, tuple[Target, ...]], namespace: str) -> Iterator[Problem]:
    """Only a Region's owner lets a Pipeline write into a namespace that is not its team's (R99)."""
    for t in (t for found in targets.values() for t in found if not t.region.takes(namespace, t.namespace)):
        where = f"spec.stages[{t.stage.name}].namespace"
        told = (
            f"{where} is {t.namespace}, but Region {t.region.name} does not let Pipelines of {namespace} write there; "
            f"leave it out for {namespace}"
            if t.namespace != namespace
            else f"{namespace} begins with {' or '.join(GUARDED)}, so Region {t.region.name} lets not even its own "
            f"Pipelines write there unasked; write another one into {where}"
        )
        ask = f"ask who owns the Region to add {namespace}/{t.namespace} to its spec.allow.into"
        yield Problem(f"{told}, or {ask}", (t.stage.name,), t.region.name)


def _twice(targets: Mapping[str, tuple[Target, ...]]) -> list[Problem]:
    seen: dict[tuple[str, str], str] = {}
    found: list[Problem] = []
    for stage, places in targets.items():
        for target in places:
            other = seen.setdefault(target.key, stage)
            if other != stage:
                what = (
                    f"Region {target.region.name} is in the stages {other} and {stage}, both in the namespace "
                    f"{target.namespace}; take it out of one, or give one of them another namespace"
                )
                found.append(Problem(what, (other, stage), target.region.name))
    return found


def _twins(targets: Mapping[str, tuple[Target, ...]]) -> dict[tuple[str, str], str]:
    """Two Regions of one cluster may be there for different namespaces, but not both for the same one."""
    places = {t.key: (t.region.cluster, t.namespace) for found in targets.values() for t in found if t.region.cluster}
    if len(set(places.values())) == len(places):
        return {}
    names: dict[tuple[str, str], list[str]] = {}
    for (region, _), object_there in places.items():
        names.setdefault(object_there, []).append(region)
    others = {key: [name for name in names[there] if name != key[0]] for key, there in places.items()}
    return {key: found[0] for key, found in others.items() if found}


def _without_zones(targets: Mapping[str, tuple[Target, ...]]) -> Iterator[Problem]:
    """Without any of the zones that are asked for all zones of a region would take a change at once (R43, P6)."""
    for target in (t for places in targets.values() for t in places):
        asked, known = target.stage.zones, target.region.zones
        if asked is not None and known and ALL_ZONES not in asked and not set(asked) & set(known):
            what = (
                f"spec.stages[{target.stage.name}].zones has none of the zones of Region {target.region.name} "
                f"({', '.join(known)}); name those that it has, or write ['*'] for all of them"
            )
            yield Problem(what, (target.stage.name,), target.region.name)


def _unzoned(targets: Mapping[str, tuple[Target, ...]]) -> Iterator[str]:
    """A region that lists no zones may have any."""
    for stage, places in targets.items():
        known = {zone for t in places for zone in t.region.zones}
        if places and all(t.region.zones for t in places):
            yield from (f"{stage}/{z}" for z in places[0].stage.zones or () if z != ALL_ZONES and z not in known)


def matches(choice: RegionSelector, region: RegionFacts) -> bool:
    """Whether a selector takes a region; all that it says must hold."""
    if choice.names and region.name not in choice.names:
        return False
    if any(label(region, k) != v for k, v in choice.match_labels.items()):
        return False
    return all(_holds(r.operator, label(region, r.key), r.values) for r in choice.match_expressions)


def label(region: RegionFacts, key: str) -> str | None:
    """Return a region's label; `cloud` is short for `ombak.dev/cloud`, unless it has a label of that name."""
    found = region.labels.get(key)
    return region.labels.get(f"{GROUP}/{key}") if found is None and key in _FIELDS else found


def _holds(operator: Operator, value: str | None, values: list[str]) -> bool:
    match operator:
        case Operator.IN:
            return value is not None and value in values
        case Operator.NOT_IN:
            return value is None or value not in values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None


def windows_of(spec: PipelineSpec, stage: Stage) -> tuple[str, ...]:
    """Return the Windows that hold for a stage: its own, or where it names none those of the Pipeline."""
    return tuple(stage.windows if stage.windows is not None else spec.windows or ())


def default_bake(spec: PipelineSpec, stage: Stage) -> timedelta:
    """Return the bake of a stage that says none: 12 h in the first wave of production, 4 h in all others."""
    first = next((s.name for s in spec.stages if s.phase is Phase.PROD), "")
    return FIRST_WAVE_BAKE if stage.name == first else WAVE_BAKE


def bake_of(spec: PipelineSpec, stage: Stage) -> timedelta:
    """Return for how long a stage bakes."""
    return stage.bake.for_ if stage.bake is not None else default_bake(spec, stage)


def strategy(
    spec: PipelineSpec,
    written: Mapping[str, Any],
    stages: Iterable[Mapping[str, Any]],
    target: Target,
    shorter: Shortened = AS_IT_IS,
) -> dict[str, Any]:
    """Return the strategy of a region's Rollout: as written, with the stage's bake, never under the Region's floors.

    With tests of coexistence the region waits for a permit in the one box, whatever becomes of the hub. `written`
    and `stages` are as the user wrote them; an Override's `shorter` bakes are the last word.
    """
    floors, made = target.region.floors, dict(written)
    own = next((dict(s.get("bake") or {}) for s in stages if s.get("name") == target.stage.name), {})
    last = _at_least(own or {"for": format_duration(default_bake(spec, target.stage))}, floors.bake)
    made["bake"] = _at_most(last, shorter.bake)
    parts = {
        "oneBox": (ONE_BOX_BAKE, floors.one_box, shorter.one_box),
        "rolling": (BATCH_BAKE, floors.batch, shorter.batch),
    }
    for name, (default, floor, limit) in parts.items():
        part = dict(made.get(name) or {})
        bake = dict(part.get("bake") or {"for": format_duration(default)})
        effective = _at_most(_at_least(bake, floor), limit)
        if "bake" in part or effective != bake:
            made[name] = {**part, "bake": effective}
    if is_tested_mixed(target.stage):
        made["oneBox"] = {**dict(made.get("oneBox") or {}), "needsPermit": True}
    return made


def is_tested_mixed(stage: Stage) -> bool:
    """Whether a stage has tests of coexistence: its regions then keep a change in the one box until they passed."""
    return any(test.when is JobMoment.DURING_ONE_BOX for test in stage.tests or ())


def _at_most(bake: dict[str, Any], limit: timedelta | None) -> dict[str, Any]:
    if limit is None or parse_duration(str(bake["for"])) <= limit:
        return bake
    return {**bake, "for": format_duration(limit)}


def _at_least(bake: dict[str, Any], floor: timedelta) -> dict[str, Any]:
    """Raise a bake to a floor; what has to come within `atMost` gets as much longer."""
    if not floor:
        return bake
    length = parse_duration(str(bake["for"]))
    if length >= floor:
        return bake
    raised = {**bake, "for": format_duration(floor)}
    if "atMost" in bake:
        raised["atMost"] = format_duration(parse_duration(str(bake["atMost"])) + floor - length)
    return raised


def zones_of(written: object, target: Target) -> list[str] | None:
    """Return the zones of a region's Rollout, or None for no zones: the stage's, `*` being all that the Region has."""
    asked = target.stage.zones
    if asked is None:
        return list(written) if isinstance(written, list) else None
    if ALL_ZONES in asked:
        return list(target.region.zones) or None
    known = target.region.zones
    return [zone for zone in asked if zone in known] or None if known else list(asked)


def zones_told(target: Target) -> str:
    """Return the zones of a Region that its stage takes, in one word; empty where the stage asks for none."""
    return ",".join(zones_of(None, target) or ())


def env_of(values: Iterable[Mapping[str, Any]], region: RegionFacts) -> dict[str, str]:
    """Return the variables of a region, sorted by name; of several values the last one wins."""
    found: dict[str, str] = {}
    for each in values:
        if matches(RegionSelector.model_validate(each.get("regions") or {}), region):
            found |= {str(k): str(v) for k, v in (each.get("env") or {}).items()}
    return dict(sorted(found.items()))
