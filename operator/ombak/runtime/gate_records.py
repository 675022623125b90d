"""What is kept of a Window, a Blocker and a ClusterBlocker. What cannot be read stops: a gate in doubt is closed."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.api.blocker import BlockerSpec, ClusterBlockerSpec, Stops
from ombak.api.parse import parse_blocker_spec, parse_cluster_blocker_spec, parse_window_spec
from ombak.api.window import WindowSpec
from ombak.core.gates.blockers import BlockerView
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import listed, mapping, metadata
from ombak.runtime.records import Meta, meta_of


@dataclasses.dataclass(frozen=True, slots=True)
class WindowRecord:
    """A Window; `spec` is a sentence where it cannot be understood."""

    meta: Meta
    spec: WindowSpec | str
    status: Mapping[str, Any]


def decode_window(obj: Mapping[str, Any]) -> WindowRecord:
    """Read a Window; total: what is wrong with it takes the place of its spec."""
    parsed = parse_window_spec(obj.get("spec") or {})
    return WindowRecord(meta_of(obj), parsed.spec or parsed.problem, mapping(obj.get("status")))


@dataclasses.dataclass(frozen=True, slots=True)
class BlockerRecord:
    """A Blocker or ClusterBlocker, and what is wrong with its spec."""

    meta: Meta
    view: BlockerView
    status: Mapping[str, Any]
    problem: str = ""


def decode_blocker(obj: Mapping[str, Any]) -> BlockerRecord:
    """Read a Blocker; total."""
    parsed = parse_blocker_spec(obj.get("spec") or {})
    return _record(obj, parsed.spec, parsed.problem)


def decode_cluster_blocker(obj: Mapping[str, Any]) -> BlockerRecord:
    """Read a ClusterBlocker; total."""
    parsed = parse_cluster_blocker_spec(obj.get("spec") or {})
    return _record(obj, parsed.spec, parsed.problem)


def _record(obj: Mapping[str, Any], spec: BlockerSpec | None, problem: str) -> BlockerRecord:
    meta, made = meta_of(obj), moment_of(metadata(obj).get("creationTimestamp"))
    view = _salvaged(meta, made, obj, problem) if spec is None else _view(meta, made, spec)
    return BlockerRecord(meta, view, mapping(obj.get("status")), problem)


def _view(meta: Meta, made: datetime | None, spec: BlockerSpec) -> BlockerView:
    names = spec.namespaces if isinstance(spec, ClusterBlockerSpec) else None
    return BlockerView(
        namespace=meta.namespace,
        name=meta.name,
        owner=spec.owner,
        reason=spec.reason,
        stops=spec.stops,
        match_labels=spec.selector.match_labels,
        namespaces=None if names is None else frozenset(names),
        begins=spec.begins,
        expires=spec.expires,
        created=made,
    )


def _salvaged(meta: Meta, made: datetime | None, obj: Mapping[str, Any], problem: str) -> BlockerView:
    """Keep what somebody meant to stop stopped; the selector narrows it as far as it can be read."""
    spec = mapping(obj.get("spec"))
    names = spec.get("namespaces")
    labels = mapping(mapping(spec.get("selector")).get("matchLabels"))
    return BlockerView(
        namespace=meta.namespace,
        name=meta.name,
        owner=str(spec.get("owner") or "whoever wrote it"),
        reason=f"{spec.get('reason') or 'it says no reason'} (its spec cannot be read: {problem})",
        stops=Stops.STEPS if spec.get("stops") == Stops.STEPS.value else Stops.STARTS,
        match_labels={str(key): str(value) for key, value in labels.items()},
        namespaces=None if names is None or meta.namespace else frozenset(map(str, listed(names))),
        created=made,
    )
