"""What traffic needs to know of one pod, and the behaviour that its annotations ask for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ombak.sandbox.client import Json

ROLLOUT_LABEL = "ombak.dev/rollout"
LABELS = ("namespace", "pod", "box", "artifact", "zone", "rollout")
"""Names of the labels of every series, in the order of `Box.labels`."""

_SANDBOX = "sandbox.ombak.dev/"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a pod answers."""

    requests_per_second: float = 100.0
    """Of the whole rollout; each of its n serving pods gets 1/n."""
    error_rate: float = 0.0
    """Share of requests answered with 500, 0 to 1."""
    latency: timedelta = timedelta(milliseconds=50)
    """Latencies are spread evenly from half to one and a half of it."""
    slow_burn_after: timedelta | None = None
    """Counted from when the pod became ready."""
    slow_burn_error_rate: float = 0.0
    """Replaces `error_rate` from then on."""


@dataclass(frozen=True, slots=True)
class Box:
    """One pod whose container runs."""

    labels: tuple[str, ...]
    """Values for `LABELS`."""
    serving: bool
    """Ready and not being deleted: the load balancer sends requests."""
    ready_since: float
    """Seconds since the epoch (whole ones, as the API has them); meaningless unless serving."""
    behaviour: Behaviour

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.labels[0], self.labels[1]

    @property
    def rollout(self) -> tuple[str, str]:
        """Namespace and rollout: the pods that share one load balancer."""
        return self.labels[0], self.labels[5]


def box_of(pod: Json) -> Box | None:
    """The box in a pod as the API shows it; None while its containers do not run: nothing to scrape.

    Raises ValueError for an annotation that cannot be read.
    """
    metadata, status = pod["metadata"], pod.get("status", {})
    containers = status.get("containerStatuses", [])
    if status.get("phase") != "Running" or not all("running" in c.get("state", {}) for c in containers):
        return None
    labels = metadata.get("labels", {})
    names = (labels.get(f"ombak.dev/{name}", "") for name in ("box", "artifact", "zone", "rollout"))
    ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {"status": "False"})
    is_ready = ready["status"] == "True"
    return Box(
        labels=(metadata["namespace"], metadata["name"], *names),
        serving=is_ready and "deletionTimestamp" not in metadata,
        ready_since=datetime.fromisoformat(ready["lastTransitionTime"]).timestamp() if is_ready else 0.0,
        behaviour=behaviour_of(metadata.get("annotations", {})),
    )


def behaviour_of(annotations: Mapping[str, str]) -> Behaviour:
    """The behaviour that annotations under `sandbox.ombak.dev/` ask for. Raises ValueError for a bad value."""
    default = Behaviour()
    after = annotations.get(f"{_SANDBOX}slow-burn-after")
    latency = annotations.get(f"{_SANDBOX}latency")
    return Behaviour(
        requests_per_second=_number(annotations, "requests-per-second", default.requests_per_second),
        error_rate=_number(annotations, "error-rate", default.error_rate),
        latency=parse_duration(latency) if latency else default.latency,
        slow_burn_after=parse_duration(after) if after else None,
        slow_burn_error_rate=_number(annotations, "slow-burn-error-rate", default.slow_burn_error_rate),
    )


def parse_duration(text: str) -> timedelta:
    """A duration in Go's style, such as `80ms` or `1m30s`. Raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration: {text!r}; write for example 80ms or 1m30s")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def _number(annotations: Mapping[str, str], name: str, default: float) -> float:
    return float(annotations.get(_SANDBOX + name, default))
