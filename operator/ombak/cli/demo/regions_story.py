"""The demonstration of regions: three versions of a Pipeline, one after the other, and what became of each."""

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from ombak.cli.demo.regions_scene import Picture, Place, RegionsCamera
from ombak.cli.demo.regions_view import Names, RegionsAct, RegionsOutcome, happened
from ombak.cli.demo.summary import Requests
from ombak.cli.demo.view import clock
from ombak.core.identity import artifact_id
from ombak.sandbox import Process, Region
from ombak.sandbox.client import ApiStatusError

NAME = "front-end"
NAMESPACE = "shop"
PLACES = (Place("alpha", "dev-1", "shop-alpha"), Place("wave-1", "id-1", "shop"), Place("rest", "sg-1", "shop"))
_POLL_S = 0.4
_ACT_LIMIT = timedelta(minutes=6)
_ERROR_RATE = "sandbox.ombak.dev/error-rate"
_REJECTED = "Rejected"

Manifest = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class RegionsVersion:
    """A version to deliver; `stops_at` is the stage in which it is found to be bad, empty for a good one."""

    name: str
    title: str
    manifest: Manifest
    stops_at: str = ""

    @property
    def artifact(self) -> str:
        """The id under which every operator knows it."""
        return artifact_id(self.manifest["spec"]["rollout"]["spec"]["template"])


def regions_versions(example: Manifest) -> tuple[RegionsVersion, ...]:
    """Return the three versions, made from the example's Pipeline."""
    bad = "1.2.0, a bad change: one request in five fails, which alpha's tests do not notice"
    return (
        _version(example, "1.0.0", "0", "1.0.0, the first version"),
        _version(example, "1.1.0", "0", "1.1.0, a good change"),
        _version(example, "1.2.0", "0.2", bad, "wave-1"),
    )


def _version(example: Manifest, name: str, error_rate: str, title: str, stops_at: str = "") -> RegionsVersion:
    manifest = copy.deepcopy(example)
    template = manifest["spec"]["rollout"]["spec"]["template"]
    container = template["spec"]["containers"][0]
    container["image"] = f"{container['image'].rpartition(':')[0]}:{name}"
    template["metadata"]["annotations"][_ERROR_RATE] = error_rate
    return RegionsVersion(name, title, manifest, stops_at)


def is_over(version: RegionsVersion, before: str, picture: Picture) -> bool:
    """Whether an act has ended as it should: everywhere, or rejected and gone everywhere (`before` is back)."""
    if version.stops_at:
        return picture.reason == _REJECTED and picture.all_run(before)
    return picture.reason == "Delivered" and picture.all_run(version.artifact)


def is_wrong(version: RegionsVersion, picture: Picture) -> bool:
    """Whether an act has ended otherwise: a good version was taken back, or a bad one was delivered."""
    return picture.reason == ("Delivered" if version.stops_at else _REJECTED)


def ending(version: RegionsVersion, picture: Picture, reached: Sequence[Place], *, over: bool) -> tuple[str, str]:
    """Return what became of a version, and what is wrong with that."""
    if not over:
        told = f"{picture.reason or 'nothing'}: {picture.message}"
        return "did not end", f"not as it should be within {clock(_ACT_LIMIT)} minutes; the hub says {told}"
    if not version.stops_at:
        return "stable in all regions", ""
    stages = [place.stage for place in PLACES]
    after = stages[stages.index(version.stops_at) + 1 :]
    too_far = [place.region for place in reached if place.stage in after]
    told = f"stopped in {version.stops_at}, gone everywhere"
    return told, f"it came as far as {', '.join(too_far)}" if too_far else ""


class RegionsStory:
    """Delivers the versions and watches; touches nothing but the Pipeline's spec."""

    def __init__(
        self, hub: Region, regions: Mapping[str, Region], operators: Sequence[Process], played: Sequence[RegionsVersion]
    ) -> None:
        """Nothing is applied yet; the operators must run."""
        self._hub, self._regions, self._operators, self._versions = hub, regions, operators, tuple(played)
        self._camera = RegionsCamera(hub, regions, PLACES, NAME)
        self._names = Names({v.artifact: v.name for v in played})
        self._before: Picture | None = None

    def play(self, say: Callable[[str], None]) -> RegionsOutcome:
        """Deliver every version, and say what happens. Ends early after an act that did not end as it should."""
        began = datetime.now(UTC)
        acts: list[RegionsAct] = []
        for number, version in enumerate(self._versions):
            say(f"{number + 1} of {len(self._versions)}: {version.title}")
            acts.append(self._act(version, acts[-1].artifact if acts else "", say))
            if acts[-1].problem:
                break
        acts = [dataclasses.replace(act, requests=self._requests(act)) for act in acts]
        ended = datetime.now(UTC)
        return RegionsOutcome(tuple(acts), ended - began, ended, len(self._versions))

    def _act(self, version: RegionsVersion, before: str, say: Callable[[str], None]) -> RegionsAct:
        began = now = datetime.now(UTC)
        self._hub.kubectl("apply", "-f", "-", input=yaml.safe_dump(version.manifest))
        picture = Picture(began)
        while not (over := is_over(version, before, picture)) and now - began < _ACT_LIMIT:
            if is_wrong(version, picture):
                break
            time.sleep(_POLL_S)
            for process in self._operators:
                process.check()
            now = datetime.now(UTC)
            picture = self._look(picture, began, say)
        reached = tuple(place for place in PLACES if version.artifact in self._camera.artifacts(place))
        outcome, problem = ending(version, picture, reached, over=over)
        return RegionsAct(version.name, version.artifact, outcome, now - began, reached, problem=problem)

    def _look(self, last: Picture, began: datetime, say: Callable[[str], None]) -> Picture:
        """Take a picture and say what is new in it; a server that does not answer is asked again."""
        try:
            picture = self._camera.take(datetime.now(UTC))
        except (OSError, ApiStatusError):
            return last
        for line in happened(self._before, picture, began, self._names):
            say(line)
        self._before = picture
        return picture

    def _requests(self, act: RegionsAct) -> dict[str, Requests]:
        """Return what Prometheus counted; a box's counter starts at zero, so its highest value is its count."""
        count = "sum(max_over_time(http_requests_total{%s}[1h])) or vector(0)"
        found = {}
        for place in act.reached:
            prometheus = self._regions[place.region].prometheus
            total = prometheus.value(count % f'artifact="{act.artifact}"')
            failed = prometheus.value(count % f'artifact="{act.artifact}",code=~"5.."')
            found[place.region] = Requests(total or 0.0, failed or 0.0)
        return found
