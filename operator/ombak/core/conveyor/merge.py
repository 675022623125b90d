"""`extends`: what holds for a Pipeline with all that it inherits, over any depth (R94)."""

import copy
import dataclasses
import difflib
import functools
import json
from collections.abc import Mapping
from typing import Any

from ombak.api.parse import parse_pipeline_spec, parse_rollout_spec
from ombak.api.pipeline import PipelineSpec
from ombak.core import deliverable
from ombak.core.conveyor import bringable, content
from ombak.core.identity import canonical_json

Raw = dict[str, Any]
_WATCHING = ("signals", "alarms")
_OWN = ("extends", "paused", "deletionPolicy")
"""What a child has for itself and never inherits."""
_NOT_DELIVERED = ("paused", "deletionPolicy", "handEdits")
"""What takes effect at once, and is no reason to deliver anything."""


@dataclasses.dataclass(frozen=True)
class Merged:
    """A Pipeline with everything that it inherits; `problem` says with field and fix why there is none.

    Where there is one all the same, it is nothing to begin with: what was let in before goes on by it, there and back.
    """

    raw: Mapping[str, Any]
    spec: PipelineSpec | None
    problem: str = ""

    @property
    def rollout(self) -> Raw:
        """The spec of the Rollout, as it was written."""
        return dict((self.raw.get("rollout") or {}).get("spec") or {})

    @property
    def template(self) -> Raw:
        """The pod template."""
        return dict(self.rollout.get("template") or {})

    @property
    def objects(self) -> tuple[Raw, ...]:
        """What travels with it."""
        return tuple(self.raw.get("objects") or ())

    @property
    def values(self) -> tuple[Raw, ...]:
        """What differs by region."""
        return tuple(self.raw.get("values") or ())

    @functools.cached_property
    def route(self) -> str:
        """Its stages as one text: where it goes, to tell it from others."""
        return canonical_json(self.raw.get("stages"))

    @functools.cached_property
    def artifact(self) -> str:
        """The id of the artifact that it asks for."""
        return content.content_id(self.template, self.objects)

    @functools.cached_property
    def version(self) -> str:
        """What is delivered and judged as one."""
        return content.version_of(self.artifact, self.values)

    @functools.cached_property
    def wish(self) -> str:
        """The hash of all that is delivered, and how."""
        return content.short_hash({k: v for k, v in self.raw.items() if k not in _NOT_DELIVERED}) if self.spec else ""


class _RefusedError(ValueError):
    """What is wrong, with field and fix."""


def merge(name: str, spec: Mapping[str, Any], bases: Mapping[str, Mapping[str, Any]]) -> Merged:
    """Return what holds for the Pipeline `name`; raises nothing. What it returns is shared, and not to be changed."""
    return _merge(name, canonical_json(spec), tuple(sorted((n, canonical_json(b)) for n, b in bases.items())))


@functools.lru_cache(maxsize=4096)
def _merge(name: str, text: str, texts: tuple[tuple[str, str], ...]) -> Merged:
    """Parsing is dear, and the same few Pipelines are asked for again and again."""
    spec, bases = json.loads(text), {base: json.loads(written) for base, written in texts}
    try:
        raw = _inherited(name, spec, bases)
    except _RefusedError as refused:
        return Merged({}, None, str(refused))
    for stage in raw.get("stages") or ():
        if not stage.get("phase") or not stage.get("regions"):
            problem = f"spec.stages[{stage.get('name')}] needs phase (PreProd or Prod) and regions; write both"
            return Merged(raw, None, problem)
    parsed = parse_pipeline_spec(raw)
    if parsed.spec is None:
        return Merged(raw, None, parsed.problem)
    problem = _incomplete(raw, parsed.spec)
    if problem or parsed.spec.rollout is None:
        return Merged(raw, None if problem else parsed.spec, problem)
    return Merged(raw, parsed.spec, _twice(spec, bases) or _undeliverable(raw, parsed.spec))


def _inherited(name: str, spec: Mapping[str, Any], bases: Mapping[str, Mapping[str, Any]]) -> Raw:
    chain, trail = [spec], [name]
    while True:
        extends = chain[-1].get("extends")
        base = str(extends.get("name") or "") if isinstance(extends, Mapping) else ""
        if not base:
            break
        if base in trail:
            way = " -> ".join((*trail[trail.index(base) :], base))
            raise _RefusedError(f"spec.extends goes in a circle: {way}; take one of them out")
        if base not in bases:
            close = difflib.get_close_matches(base, sorted(bases), n=1)
            hint = f"; did you mean {close[0]}?" if close else "; create it in this namespace, or correct the name"
            raise _RefusedError(f"spec.extends of {trail[-1]} names the Pipeline {base}, which is not there{hint}")
        chain.append(bases[base])
        trail.append(base)
    for link, who in zip(chain[1:], trail[1:], strict=True):
        if problem := parse_pipeline_spec(link).problem:
            raise _RefusedError(f"the base {who} is not valid: {problem}")
    if problem := parse_pipeline_spec(spec).problem:
        raise _RefusedError(problem)
    merged: Raw = {}
    for depth, link in reversed(list(enumerate(chain))):
        merged = _over(merged, copy.deepcopy(dict(link)), trail[depth + 1] if depth + 1 < len(trail) else "")
    return merged


def _over(base: Raw, child: Raw, base_name: str) -> Raw:
    """Return the base with what the child says; what neither inherits is the child's own."""
    merged = {k: v for k, v in base.items() if k not in _OWN} | {k: v for k, v in child.items() if k != "extends"}
    rollout = _rollout(base.get("rollout"), child.get("rollout"))
    parts = {
        "rollout": {"spec": rollout} if rollout is not None else None,
        "objects": _objects(base.get("objects") or [], child.get("objects") or []),
        "values": [*(base.get("values") or []), *(child.get("values") or [])],
        "stages": _stages(base.get("stages") or [], child.get("stages") or [], base_name),
    }
    return {k: v for k, v in (merged | parts).items() if v not in (None, [])}


def _rollout(base: Raw | None, child: Raw | None) -> Raw | None:
    """Fields of the child win whole, but those of `strategy` one by one; watching is taken or replaced as one."""
    if base is None or child is None:
        return (child or base or {}).get("spec") if (child or base) is not None else None
    old, new = dict(base.get("spec") or {}), dict(child.get("spec") or {})
    if "unwatched" in new:
        old = {k: v for k, v in old.items() if k not in _WATCHING}
    if any(k in new for k in _WATCHING):
        old.pop("unwatched", None)
    strategy = {**(old.get("strategy") or {}), **(new.get("strategy") or {})}
    return {**old, **new, **({"strategy": strategy} if strategy else {})}


def _objects(base: list[Raw], child: list[Raw]) -> list[Raw]:
    """An object of the child takes the place of the base's of the same kind and name."""
    merged = {_object_key(found): found for found in base}
    return list((merged | {_object_key(found): found for found in child}).values())


def _object_key(found: Raw) -> tuple[str, str, str]:
    return str(found.get("apiVersion")), str(found.get("kind")), str((found.get("metadata") or {}).get("name"))


def _stages(base: list[Raw], child: list[Raw], base_name: str) -> list[Raw]:
    merged = [dict(stage) for stage in base]
    behind: dict[str, str] = {}
    for stage in child:
        name = str(stage.get("name"))
        place = _place(merged, name)
        after = stage.get("after")
        if place is not None:
            if after:
                raise _RefusedError(f"spec.stages[{name}].after: {name} is in the base already; leave after out")
            merged[place] = {**merged[place], **stage}
            continue
        added = {k: v for k, v in stage.items() if k != "after"}
        if not after:
            if base_name:
                raise _RefusedError(_unknown(name, merged, base_name))
            merged.append(added)
            continue
        # Of several stages after the same one, the order is that in which they are written.
        last = behind.get(after, after)
        where = _place(merged, str(last))
        if where is None:
            raise _RefusedError(f"spec.stages[{name}].after names {after}, which is no stage{_meant(after, merged)}")
        merged.insert(where + 1, added)
        behind[after] = name
    return merged


def _place(stages: list[Raw], name: str) -> int | None:
    return next((index for index, stage in enumerate(stages) if stage.get("name") == name), None)


def _meant(name: str, stages: list[Raw]) -> str:
    close = difflib.get_close_matches(name, [str(s.get("name")) for s in stages], n=1)
    return f"; did you mean {close[0]}?" if close else "; name one that is there"


def _unknown(name: str, stages: list[Raw], base: str) -> str:
    close = difflib.get_close_matches(name, [str(s.get("name")) for s in stages], n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"spec.stages: {base} has no stage {name}; {meant}a new stage says after: which one it comes"


def _incomplete(raw: Raw, spec: PipelineSpec) -> str:
    """Return what is missing although each part is right; a Pipeline without a rollout is a base for others."""
    unplaced = [stage.name for stage in spec.stages if stage.regions is not None and stage.regions.unplaced]
    if len(unplaced) > 1:
        return f"spec.stages: {' and '.join(unplaced)} are both Unplaced; one stage takes what is left over"
    if spec.rollout is None:
        return ""
    if not spec.stages:
        return "spec.stages is empty; write at least one stage, or extend a Pipeline that has stages"
    return _of_rollout(parse_rollout_spec(raw["rollout"]["spec"]).problem)


def _undeliverable(raw: Raw, spec: PipelineSpec) -> str:
    """Return what a region would refuse or could not use of a Pipeline that can be read."""
    rollout = parse_rollout_spec(raw["rollout"]["spec"]).spec
    problem = deliverable.problem_of(rollout) if rollout is not None else ""
    return _of_rollout(problem) or bringable.problem_of(spec.objects)


def _twice(spec: Raw, bases: Mapping[str, Raw]) -> str:
    """Return which object is there twice in one Pipeline of the chain: nobody could say which of the two would win."""
    link: Raw | None = spec
    while link is not None:
        keys = [_object_key(found) for found in link.get("objects") or ()]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            return f"spec.objects: {twice[1]} {twice[2]} is there twice; take one of them out"
        link = bases.get(str((link.get("extends") or {}).get("name") or ""))
    return ""


def _of_rollout(problem: str) -> str:
    return problem.replace("spec", "spec.rollout.spec", 1)
