"""Reading of specs that are in the cluster: what is wrong, said as the user wrote it, and what still counts.

The CRD refuses most mistakes at `apply`; what slips through (an older CRD, a rule that CEL cannot say) changes
nothing that runs (P9): the problem names the field and the fix, and scaling goes on with what can be read.
"""

import copy
import dataclasses
import difflib
import functools
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from ombak.api.alarm import AlarmSpec
from ombak.api.blocker import BlockerSpec, ClusterBlockerSpec
from ombak.api.override import OverrideSpec
from ombak.api.pipeline import PipelineSpec
from ombak.api.region import RegionSpec
from ombak.api.rollout import RolloutSpec, Selector
from ombak.api.window import WindowSpec

SpecT = TypeVar("SpecT", bound=pydantic.BaseModel)

INVALID_REASON = "the spec is invalid, so nothing new is delivered"
"""What stands in `unwatched` of a salvaged spec that says neither signals, alarms nor unwatched."""
_MOST_FAULTS = 256
_MISSING = "missing"
_SUBJECT = re.compile(r"^[A-Z]\w* should ")
_MAPPING = re.compile(r"a valid dictionary( or instance of \w+)?")
_PLACING = (("selector",), ("zones",), ("strategy", "oneBox", "scope"))
"""Fields that say which boxes there are and where; no guess is made at these, it would move what runs."""

Path = tuple[int | str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ParsedSpec(Generic[SpecT]):
    """A spec, or why there is none: exactly one of the two; `problem` is one sentence with field and fix."""

    spec: SpecT | None
    problem: str


def parse_rollout_spec(raw: object) -> ParsedSpec[RolloutSpec]:
    """Read `spec` of a Rollout as it is in the cluster."""
    return _parsed(RolloutSpec, raw)


def parse_alarm_spec(raw: object) -> ParsedSpec[AlarmSpec]:
    """Read `spec` of an Alarm as it is in the cluster."""
    return _parsed(AlarmSpec, raw)


def parse_region_spec(raw: object) -> ParsedSpec[RegionSpec]:
    """Read `spec` of a Region as it is in the cluster."""
    return _parsed(RegionSpec, raw)


def parse_window_spec(raw: object) -> ParsedSpec[WindowSpec]:
    """Read `spec` of a Window as it is in the cluster."""
    return _parsed(WindowSpec, raw)


def parse_blocker_spec(raw: object) -> ParsedSpec[BlockerSpec]:
    """Read `spec` of a Blocker as it is in the cluster."""
    return _parsed(BlockerSpec, raw)


def parse_cluster_blocker_spec(raw: object) -> ParsedSpec[ClusterBlockerSpec]:
    """Read `spec` of a ClusterBlocker as it is in the cluster."""
    return _parsed(ClusterBlockerSpec, raw)


def parse_override_spec(raw: object) -> ParsedSpec[OverrideSpec]:
    """Read `spec` of an Override as it is in the cluster."""
    return _parsed(OverrideSpec, raw)


def parse_pipeline_spec(raw: object) -> ParsedSpec[PipelineSpec]:
    """Read `spec` of a Pipeline as it is in the cluster."""
    return _parsed(PipelineSpec, raw)


def salvage_rollout_spec(raw: object) -> RolloutSpec | None:
    """Return what is valid of an invalid spec, the rest at its defaults, and always `paused`.

    It serves to keep scaling and reverting what already runs; its template must never become an Artifact. A
    `replicas` that cannot be read is None: keep the observed count. None in place of a spec when the selector, the
    zones or the scope of the one box cannot be read: then nothing can be moved safely.
    """
    kept: dict[str, Any] = copy.deepcopy(dict(raw)) if isinstance(raw, Mapping) else {}
    for _ in range(_MOST_FAULTS):
        try:
            return RolloutSpec.model_validate(kept | {"paused": True})
        except pydantic.ValidationError as fault:
            if not _mend(kept, fault.errors()[0]):
                return None
    return None


def _mend(kept: dict[str, Any], error: ErrorDetails) -> bool:
    """Take the faulty part out, so that its default holds; False when it has none."""
    path = _known(kept, error)
    faulty = path[:-1] if error["type"] == _MISSING else path
    if any(faulty[: len(placing)] == placing for placing in _PLACING):
        return False
    if not faulty:
        return error["type"] == "value_error" and (_fit_together(kept) or _give_time(kept))
    if faulty == ("strategy",) and error["type"] == "value_error":
        return _drop_quotas(kept["strategy"])
    *above, last = faulty
    place: Any = kept
    for step in above:
        place = place[step]
    del place[last]
    return True


def _drop_quotas(strategy: dict[str, Any]) -> bool:
    """Mend quotas that do not fit together; the rest of the strategy says where boxes are, so it stays."""
    bakes = [(strategy.get(part) or {}).get("bake") for part in ("oneBox", "rolling")] + [strategy.get("bake")]
    dropped = [bake.pop("atLeast", None) for bake in bakes if bake]
    return any(quotas is not None for quotas in dropped)


def _fit_together(kept: dict[str, Any]) -> bool:
    """Mend what single fields do not show: what is watched or unwatched, and the selector's labels in the template."""
    before = copy.deepcopy(kept)
    if kept.get("alarms") is None and kept.get("signals") is None:
        kept["unwatched"] = kept.get("unwatched") or INVALID_REASON
    elif kept.get("unwatched") is not None:
        del kept["unwatched"]
    if kept != before:
        return True
    metadata = kept["template"].get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    selected = Selector.model_validate(kept["selector"]).match_labels
    mended = (labels if isinstance(labels, dict) else {}) | selected
    kept["template"]["metadata"] = (metadata if isinstance(metadata, dict) else {}) | {"labels": mended}
    return kept != before


def _give_time(kept: dict[str, Any]) -> bool:
    """Mend a deadline in which no box could be available: one is that is longer than any `minReadySeconds`."""
    before = kept.get("progressDeadline")
    kept["progressDeadline"] = "2h"
    return before != "2h"


def _parsed(model: type[SpecT], raw: object) -> ParsedSpec[SpecT]:
    try:
        return ParsedSpec(model.model_validate(raw), "")
    except pydantic.ValidationError as fault:
        first, *others = fault.errors()
    place = _dotted(_known(raw, first))
    sentence = f"{place}{_advice(model, first)}"
    more = sorted({_dotted(_known(raw, other)) for other in others} - {place})
    return ParsedSpec(None, f"{sentence} (see also {', '.join(more)})" if more else sentence)


def _advice(model: type[pydantic.BaseModel], error: ErrorDetails) -> str:
    """What is wrong and what to write, to stand behind the path."""
    if error["type"] == _MISSING:
        return " is missing; write it"
    if error["type"] == "extra_forbidden":
        return _unknown_field(model, str(error["loc"][-1]))
    if error["type"] == "value_error":
        return f": {error['ctx']['error']}"
    return _MAPPING.sub("a mapping", _SUBJECT.sub(" must ", error["msg"]))


def _unknown_field(model: type[pydantic.BaseModel], name: str) -> str:
    names = _field_names(model)
    if name in names:
        return " is no field here, but elsewhere there is one of this name; move it there, or remove it"
    close = difflib.get_close_matches(name, names, n=1)
    return f" is no field; remove it, or did you mean {close[0]}?" if close else " is no field; remove it"


@functools.cache
def _field_names(model: type[pydantic.BaseModel]) -> tuple[str, ...]:
    """Every field at any depth, as the user writes it; kept, for the schema costs more than a hundred decodes."""
    document = model.model_json_schema(by_alias=True)
    parts = (document, *document.get("$defs", {}).values())
    return tuple(sorted({name for part in parts for name in part.get("properties", ())}))


def _known(raw: object, error: ErrorDetails) -> Path:
    """The place of an error as far as it exists in the manifest: pydantic adds names of its own for unions."""
    found: list[int | str] = []
    place: Any = raw
    for step in error["loc"]:
        if not _has(place, step):
            is_absent = error["type"] == _MISSING and isinstance(place, Mapping)
            return (*found, step) if is_absent else tuple(found)
        place = place[step]
        found.append(step)
    return tuple(found)


def _has(place: object, step: int | str) -> bool:
    if isinstance(place, list):
        return isinstance(step, int) and step < len(place)
    return isinstance(place, Mapping) and step in place


def _dotted(path: Path) -> str:
    """Write a path as `kubectl` does: `spec.strategy.rolling.bake.atLeast[0].name`."""
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
