"""Monitors of P3, P5, P9 and of the exposure: which version the operator writes where, and how long reverts take."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ombak.api.duration import parse_duration
from ombak.api.parse import parse_rollout_spec
from ombak.core import naming
from ombak.core.identity import artifact_id, canonical_json
from ombak.runtime.kube_port import Object
from ombak.simulation.client import OPERATOR
from ombak.simulation.fields import clone
from ombak.simulation.region import Region

Fail = Callable[[str, str], None]
_PLACE = ("affinity",)


class DeliveryWatch:
    """Looks at every write of the operator for the version it spreads."""

    def __init__(self, region: Region, lag: float, fail: Fail, recent: Callable[[], list[int]]) -> None:
        self._region, self._lag, self._fail, self._recent = region, lag, fail, recent
        self._contents: dict[str, str] = {}
        self._invalid_since: float | None = None
        self._rejected: dict[str, float] = {}
        self.disturbed_at = 0.0
        """When something outside last went wrong or came right: reverts are timed from here."""
        region.server.monitors.append(self._written)

    @property
    def _now(self) -> float:
        return self._region.timeline.time()

    def _written(self, by: str, kind: str, old: Object | None, new: Object | None) -> None:
        if kind == "Rollout" and new is not None and (old is None or old["spec"] != new["spec"]):
            is_valid = not parse_rollout_spec(new["spec"]).problem
            self._invalid_since = None if is_valid else (self._invalid_since or self._now)
        if by != OPERATOR or new is None:
            return
        if kind in ("ReplicaSet", "Deployment"):
            self._check_content(new)
            self._check_exposure(old, new)
        elif kind == "Artifact":
            self._check_artifact(old, new)
        elif kind == "Rollout" and old is not None:
            self._check_validity(old, new)

    def _check_content(self, obj: Object) -> None:
        """All boxes of a version are alike, but for our labels and their place (P5)."""
        template = clone(obj["spec"]["template"])
        labels = template["metadata"]["labels"]
        artifact = labels.get(naming.ARTIFACT, "")
        template["metadata"]["labels"] = {k: v for k, v in labels.items() if not k.startswith("ombak.dev/")}
        if labels.get(naming.ZONE):
            for name in _PLACE:
                template["spec"].pop(name, None)
        content = canonical_json(template)
        if self._contents.setdefault(artifact, content) != content or artifact_id(template) != artifact:
            self._fail("P5", f"{obj['metadata']['name']} carries {artifact} with another content")

    def _check_exposure(self, old: Object | None, new: Object) -> None:
        artifact = _artifact(new)
        before = old["spec"]["replicas"] if old is not None and _artifact(old) == artifact else 0
        if new["spec"]["replicas"] <= before or self._is_good(artifact):
            return
        release = ((self._region.status.get("memory") or {}).get("release")) or {}
        if release.get("artifact") != artifact:
            if self._has_good():
                self._fail("exposure", f"{new['metadata']['name']} grows, and no release of {artifact} is on record")
            return
        asked = self._asked(artifact)
        most = max((self._allowed(release, n) for n in self._recent()), default=0)
        if asked > most:
            self._fail("exposure", f"{asked} boxes of {artifact} are asked for, and {most} are approved")

    def _allowed(self, release: Object, replicas: int) -> int:
        """Return how many boxes a position approves, reckoned apart from the code under test."""
        spec: dict[str, Any] = (self._region.rollout or {})["spec"]
        position, total = release["position"], 0
        now, then = sizes(spec, replicas), sizes(spec, position.get("replicas") or replicas)
        share = Fraction(position["boxes"], position["of"])
        if share >= 1 and position["segment"] == len(now) - 1:
            return max(1, replicas)
        for index, (size, before) in enumerate(zip(now, then, strict=True)):
            if index < position["segment"] or (index == position["segment"] and share >= 1):
                total += min(size, before)
            elif index == position["segment"]:
                total += min(position["boxes"], int(share * size))
        return max(1, total)

    def _asked(self, artifact: str) -> int:
        return sum(
            o["spec"]["replicas"]
            for kind in ("ReplicaSet", "Deployment")
            for o in self._region.server.all(kind)
            if naming.ROLLOUT in (o["metadata"].get("labels") or {}) and _artifact(o) == artifact
        )

    def _artifacts(self) -> list[Object]:
        return self._region.server.all("Artifact")

    def _is_good(self, artifact: str) -> bool:
        return any(o["spec"]["id"] == artifact and is_good(o) for o in self._artifacts())

    def _has_good(self) -> bool:
        return any(is_good(o) for o in self._artifacts())

    def _check_artifact(self, old: Object | None, new: Object) -> None:
        if old is None and self._is_invalid():
            self._fail("P9", f"{new['metadata']['name']} is made while the spec is invalid")
        name = new["spec"]["id"]
        rejected = (new.get("status") or {}).get("rejected")
        if rejected:
            if name not in self._rejected and rejected["reason"] == "ProgressDeadlineExceeded":
                self._check_lateness(name)
            self._rejected.setdefault(name, self._now)
        else:
            self._rejected.pop(name, None)

    def _check_lateness(self, artifact: str) -> None:
        """A deadline is missed by boxes that did not come up for so long, or that come and go."""
        limit = parse_duration((self._region.rollout or {})["spec"].get("progressDeadline", "10m")).total_seconds()
        pods = [p for p in self._region.kubelets.pods.values() if p.artifact == artifact]
        late = [p for p in pods if not p.is_available and self._now - p.waits_since > 0.9 * limit - self._lag]
        restless = any(p.behaviour.up_for or p.behaviour.never_ready for p in pods)
        if pods and not late and not restless and self._lag < 5:
            self._fail("fairness", f"{artifact} is taken back for boxes that are late, and none is")

    def _is_invalid(self) -> bool:
        return self._invalid_since is not None and self._now - self._invalid_since > self._lag

    def _check_validity(self, old: Object, new: Object) -> None:
        before, after = (((o.get("status") or {}).get("memory") or {}).get("release") for o in (old, new))
        if not before or not after or before["artifact"] != after["artifact"]:
            return
        if after["step"]["number"] > before["step"]["number"] and self._is_invalid():
            self._fail("P9", "a step is approved while the spec is invalid")

    def check_reverts(self, bound: float) -> None:
        """Every version that was taken back is gone in time, if there is a good one to go back to (P3)."""
        for artifact, since in list(self._rejected.items()):
            if not self._asked(artifact) and not self._region.versions().get(artifact):
                del self._rejected[artifact]
            elif self._has_good() and self._now - max(since, self.disturbed_at) > bound:
                self._fail("P3", f"{artifact} was taken back {self._now - since:.0f} s ago and still runs")


def sizes(spec: Object, replicas: int) -> list[int]:
    """Return the sizes of all parts of a Rollout in order of delivery."""
    zones = spec.get("zones") or [""]
    every_zone = ((spec.get("strategy") or {}).get("oneBox") or {}).get("scope") == "Zone"
    found = []
    for index in range(len(zones)):
        size = replicas // len(zones) + (index < replicas % len(zones))
        if index == 0 or every_zone:
            found.append(min(1, size))
            size -= found[-1]
        found.append(size)
    return found


def is_good(artifact: Object) -> bool:
    """It finished a bake here, and was not taken back."""
    status = artifact.get("status") or {}
    return bool((status.get("stable") or {}).get("order")) and not status.get("rejected")


def _artifact(obj: Object) -> str:
    return str(obj["spec"]["template"]["metadata"]["labels"].get(naming.ARTIFACT, ""))
