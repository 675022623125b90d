"""Monitor of what was in ALARM before a first install went ahead: it holds it, and only what is new takes it back."""

from collections.abc import Callable

from ombak.runtime.kube_port import Object
from ombak.simulation.client import OPERATOR
from ombak.simulation.evidence_watch import alarms_of, release_of
from ombak.simulation.health import Evaluation
from ombak.simulation.region import Region

Fail = Callable[[str, str], None]
Series = tuple[str, str]


class BaselineWatch:
    """Reckons, from what the operator read at each of its writes, which series were there before."""

    def __init__(self, region: Region, lag: float, fail: Fail) -> None:
        self._region, self._lag, self._fail = region, lag, fail
        self._release: tuple[str, str] | None = None
        self._old: set[Series] = set()
        region.server.monitors.append(self._written)

    def _written(self, by: str, kind: str, old: Object | None, new: Object | None) -> None:
        if by != OPERATOR or old is None or new is None:
            return
        if kind == "Rollout":
            self._rollout_written(new)
        elif kind == "Artifact":
            before, after = ((o.get("status") or {}).get("rejected") for o in (old, new))
            if after and not before and after["reason"] == "AlarmFired":
                self._check_rejection(new["spec"]["id"])

    def _rollout_written(self, new: Object) -> None:
        """Follow a first install from status to status; one that is held must be held by what is old."""
        release = release_of(new)
        if release is None or release["mode"] != "Install":
            self._release, self._old = None, set()
            return
        read, identity = self._read(), (release["artifact"], release["beganAt"])
        bad = {(name, series) for name, found in read.items() for series in found.series}
        known = {name for name, found in read.items() if found.state is not None}
        if identity != self._release:
            self._release, self._old = identity, bad
        self._old = {each for each in self._old if each in bad or each[0] not in known}
        if not self._has_served(release["artifact"]):
            self._old |= bad
        if bad - self._old:
            self._fail("baseline", f"{release['artifact']} goes on while {_told(bad - self._old)} is new in ALARM")

    def _check_rejection(self, artifact: str) -> None:
        bad = {(name, series) for name, found in self._read().items() for series in found.series}
        if self._release is not None and self._release[0] == artifact and bad <= self._old:
            self._fail("baseline", f"{artifact} is taken back for {_told(bad)}, which was there before it")

    def _read(self) -> dict[str, Evaluation]:
        """What the operator that writes just now decided upon."""
        spec = (self._region.rollout or {}).get("spec") or {}
        read_at = self._region.health.read_at
        return {name: read_at[name] for name in alarms_of(spec) if name in read_at}

    def _has_served(self, artifact: str) -> bool:
        """It has, for so long that the operator must know."""
        first = self._region.kubelets.first_served.get(artifact)
        return first is not None and self._region.timeline.time() > first + self._lag


def _told(series: set[Series]) -> str:
    return ", ".join(f"{name} {one}" for name, one in sorted(series)) or "nothing"
