"""What is kept of an Override, of the policy that guards it, and of the policy's binding."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ombak.api.override import OverrideSpec, TargetKind
from ombak.api.parse import parse_override_spec
from ombak.core.overrides.guard import GuardObject
from ombak.core.overrides.view import OverrideView
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import mapping, metadata
from ombak.runtime.records import Meta, meta_of

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""What says no time of creation is taken to be older than everything, and so is void."""

TargetKey = tuple[TargetKind, str, str]
"""Kind, namespace and name."""


@dataclasses.dataclass(frozen=True, slots=True)
class OverrideRecord:
    """An Override; its view says nothing yet about how it came about."""

    meta: Meta
    view: OverrideView
    status: Mapping[str, Any]

    @property
    def target(self) -> TargetKey | None:
        """What it is for; None where its spec cannot be read."""
        spec = self.view.spec
        return None if spec is None else (spec.target.kind, self.meta.namespace, spec.target.name)


def decode_override(obj: Mapping[str, Any]) -> OverrideRecord:
    """Read an Override; total: one that cannot be read allows nothing, and holds nobody."""
    meta = meta_of(obj)
    parsed = parse_override_spec(obj.get("spec") or {})
    spec: OverrideSpec | None = parsed.spec
    view = OverrideView(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        created=moment_of(metadata(obj).get("creationTimestamp")) or _LONG_AGO,
        spec=spec,
        problem=parsed.problem,
    )
    return OverrideRecord(meta, view, mapping(obj.get("status")))


def guard_object(obj: Mapping[str, Any]) -> GuardObject:
    """Read the policy or its binding; without a time of creation it is of the far future, and guards nothing."""
    meta = meta_of(obj)
    return GuardObject(
        created=moment_of(metadata(obj).get("creationTimestamp")) or datetime.max.replace(year=9000, tzinfo=UTC),
        generation=meta.generation,
        spec=mapping(obj.get("spec")),
        is_deleting=meta.is_deleting,
    )
