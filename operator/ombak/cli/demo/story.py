"""The demonstration itself: three versions, one after the other, and what became of each."""

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from ombak.api.common import API_VERSION
from ombak.api.rollout_status import Phase
from ombak.cli.demo.boxes import BoxWatch
from ombak.cli.demo.scene import Camera, Scene
from ombak.cli.demo.summary import Act, Outcome, Requests
from ombak.cli.demo.view import Programme, clock
from ombak.core import naming
from ombak.core.capacity import floor_of
from ombak.core.identity import artifact_id
from ombak.sandbox import Process, Region
from ombak.sandbox.client import ApiStatusError

NAMESPACE = "shop"
_POLL_S = 0.25
_LOOK_AROUND_S = 3.0
"""Between two acts, for a person to see how one ended, and for Prometheus to scrape the last of it."""
_ACT_LIMIT = timedelta(minutes=5)
_SILENCE_LIMIT = timedelta(minutes=1)
"""An operator that has not taken up a change after so long does not work."""
_ENDS = (Phase.STABLE, Phase.REVERTED, Phase.FAILED, Phase.INVALID)
_ERROR_RATE = "sandbox.ombak.dev/error-rate"

Manifest = dict[str, Any]
Show = Callable[[Scene, Programme], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A version to deliver, and how that should end."""

    name: str
    title: str
    manifest: Manifest
    ends: Phase

    @property
    def artifact(self) -> str:
        """The id under which the operator knows it."""
        return artifact_id(self.manifest["spec"]["template"])


def versions(example: Manifest) -> tuple[Version, ...]:
    """Return the three versions, made from the example's Rollout."""
    return (
        _version(example, "1.0.0", "0", "1.0.0, the first version", Phase.STABLE),
        _version(example, "1.1.0", "0", "1.1.0, a good change", Phase.STABLE),
        _version(example, "1.2.0", "0.2", "1.2.0, a bad change: one request in five fails", Phase.REVERTED),
    )


def _version(example: Manifest, name: str, error_rate: str, title: str, ends: Phase) -> Version:
    manifest = copy.deepcopy(example)
    template = manifest["spec"]["template"]
    container = template["spec"]["containers"][0]
    container["image"] = f"{container['image'].rpartition(':')[0]}:{name}"
    template["metadata"]["annotations"][_ERROR_RATE] = error_rate
    return Version(name, title, manifest, ends)


class Story:
    """Delivers the versions and watches; touches nothing but the Rollout's spec."""

    def __init__(
        self, region: Region, operator: Process, camera: Camera, watch: BoxWatch, played: tuple[Version, ...]
    ) -> None:
        """Nothing is applied yet; the operator must run."""
        self._region = region
        self._operator = operator
        self._camera = camera
        self._watch = watch
        self._versions = played
        spec = played[0].manifest["spec"]
        self._replicas = int(spec["replicas"])
        self._floor = floor_of(spec["strategy"]["rolling"]["minAvailable"], self._replicas)

    def play(self, show: Show, acted: Callable[[Act], None]) -> Outcome:
        """Deliver every version; `show` gets each scene, `acted` each act when it is over.

        Ends early after an act that did not end as it should. Raises SandboxError when the operator ends.
        """
        began, acts = datetime.now(UTC), []
        for index, version in enumerate(self._versions):
            acts.append(self._act(version, index, show))
            acted(acts[-1])
            if acts[-1].problem:
                break
            if index == 0:
                self._watch.begin()
        self._watch.stop()
        acts = [dataclasses.replace(act, requests=self._requests(act.artifact)) for act in acts]
        took = datetime.now(UTC) - began
        return Outcome(tuple(acts), self._watch.fewest, self._floor, self._replicas, took, len(self._versions))

    def _act(self, version: Version, index: int, show: Show) -> Act:
        began = datetime.now(UTC)
        programme = Programme(
            title=f"{index + 1} of {len(self._versions)}: {version.title}",
            began=began,
            replicas=self._replicas,
            floor=self._floor,
            versions={v.artifact: v.name for v in self._versions},
            is_first=index == 0,
        )
        self._region.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=yaml.safe_dump(version.manifest))
        caught_in, scene = "", self._camera.take(began)
        while scene.phase not in _ENDS and scene.now - began < (_ACT_LIMIT if scene.phase else _SILENCE_LIMIT):
            time.sleep(_POLL_S)
            self._operator.check()
            scene = self._take(scene)
            show(scene, programme)
            if scene.phase not in (*_ENDS, Phase.REVERTING, None):
                caught_in = str(scene.phase)
        took = scene.now - began
        self._linger(scene, programme, show)
        outcome, problem = self._ending(version, scene, caught_in)
        most = self._watch.most(version.artifact)
        return Act(version.name, version.artifact, outcome, took, most, self._requests(version.artifact), problem)

    def _take(self, before: Scene) -> Scene:
        try:
            return self._camera.take(datetime.now(UTC))
        except (OSError, ApiStatusError):
            return dataclasses.replace(before, now=datetime.now(UTC))

    def _linger(self, scene: Scene, programme: Programme, show: Show) -> None:
        until = scene.now + timedelta(seconds=_LOOK_AROUND_S)
        while scene.now < until:
            time.sleep(_POLL_S)
            scene = self._take(scene)
            show(scene, programme)

    def _ending(self, version: Version, scene: Scene, caught_in: str) -> tuple[str, str]:
        """Return what became of a version, and what is wrong with that."""
        if scene.phase is None:
            return "did not begin", f"not taken up by the operator within {clock(_SILENCE_LIMIT)} minutes"
        if scene.phase not in _ENDS:
            return "did not end", f"not over within {clock(_ACT_LIMIT)} minutes: {scene.status.message}"
        if scene.phase is not version.ends:
            return str(scene.phase), f"ended {scene.phase}, not {version.ends}: {scene.status.message}"
        if scene.phase is Phase.STABLE:
            return "stable", ""
        return f"reverted in {caught_in}: {self._rejection(version)}", ""

    def _rejection(self, version: Version) -> str:
        """Return the reason on the Artifact, which is where verdicts live."""
        name = naming.artifact(version.manifest["metadata"]["name"], version.artifact)
        path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/artifacts/{name}"
        status: Mapping[str, Any] = self._region.plane.client.call("GET", path).get("status") or {}
        return str((status.get("rejected") or {}).get("reason") or "no verdict")

    def _requests(self, artifact: str) -> Requests:
        """Return what Prometheus counted; a box's counter starts at zero, so its highest value is its count."""
        chosen = f'namespace="{NAMESPACE}",artifact="{artifact}"'
        count = "sum(max_over_time(http_requests_total{%s}[1h])) or vector(0)"
        total = self._region.prometheus.value(count % chosen)
        failed = self._region.prometheus.value(count % f'{chosen},code=~"5.."')
        return Requests(total or 0.0, failed or 0.0)
