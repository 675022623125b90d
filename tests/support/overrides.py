"""Overrides for tests of the core; what is not said is one that was approved, for v2, for an hour."""

from datetime import datetime, timedelta
from typing import Any

from ombak.api import override_policy
from ombak.api.override import OverrideSpec
from ombak.core.gates.facts import GateFacts
from ombak.core.overrides.facts import OverrideFacts
from ombak.core.overrides.guard import Guard, GuardObject
from ombak.core.overrides.view import OverrideView
from support.snapshots import NAME, NOW, id_of

HOUR = timedelta(hours=1)
MADE = NOW - timedelta(minutes=5)
"""When Overrides were created."""


def override_spec(version: str = "v2", **more: Any) -> dict[str, Any]:
    """The spec of an Override that alice asks for and bob approved."""
    fields: dict[str, Any] = {
        "target": {"kind": "Rollout", "name": NAME},
        "artifact": id_of(version),
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": (NOW + HOUR).isoformat(),
        "bake": {"oneBox": "10s", "batch": "5s", "bake": "20s"},
        "approvals": [{"by": "bob", "uid": "uid-fix"}],
    }
    return {name: value for name, value in (fields | more).items() if value is not None}


def override(
    version: str = "v2", *, name: str = "fix", created: datetime = MADE, flaw: str | None = "", **more: Any
) -> OverrideView:
    """An Override; `flaw` None says that nobody has looked yet how it came about."""
    spec = OverrideSpec.model_validate(override_spec(version, **more))
    return OverrideView("shop", name, f"uid-{name}", created, spec, flaw=flaw)


def approved(by: str = "bob", name: str = "fix") -> list[dict[str, str]]:
    """Somebody's approval."""
    return [{"by": by, "uid": f"uid-{name}"}]


def gates(*views: OverrideView, **more: Any) -> GateFacts:
    """Gates with these Overrides."""
    return GateFacts(**{"overrides": OverrideFacts(views)} | more)


def guard(**more: Any) -> Guard:
    """The policy and its binding as they are shipped, of a day before; fields by name are of the policy."""
    long_ago = NOW - timedelta(days=1)
    fields: dict[str, Any] = {"created": long_ago, "generation": 1, "spec": override_policy.policy_spec()}
    return Guard(GuardObject(**fields | more), GuardObject(long_ago, 1, override_policy.binding_spec()))
