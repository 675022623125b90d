"""What there is to see of a hub and its regions at one moment: by the hub's own words, and by the regions' own."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ombak.api.common import API_VERSION
from ombak.api.rollout_status import Phase, RolloutStatus
from ombak.cli.demo.boxes import Told, told_of
from ombak.core.identity import artifact_id
from ombak.sandbox import Region
from ombak.sandbox.client import ApiStatusError

APIS = f"/apis/{API_VERSION}"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the Pipeline delivers to: a namespace of a region."""

    stage: str
    region: str
    namespace: str


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How the Rollout of one place stands; `phase` None: there is none, or its operator has not seen the spec yet."""

    place: Place
    wanted: str = ""
    """The artifact that the hub asks for."""
    phase: Phase | None = None
    stable: str = ""
    message: str = ""

    @property
    def is_settled(self) -> bool:
        """It runs what it is asked for as its good version."""
        return self.phase is Phase.STABLE and self.wanted == self.stable != ""


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One moment of everything."""

    now: datetime
    reason: str = ""
    """What the hub says that the newest change does, in one word."""
    message: str = ""
    standings: tuple[Standing, ...] = ()
    events: Mapping[str, Told] = dataclasses.field(default_factory=dict)
    """The hub's own, by name; the names are in order."""

    def all_run(self, artifact: str) -> bool:
        """Every place runs this version, and is asked for nothing else."""
        return all(each.is_settled and each.stable == artifact for each in self.standings) and bool(self.standings)


def standing_of(place: Place, rollout: Mapping[str, Any]) -> Standing:
    """Read a region's Rollout."""
    status = RolloutStatus.model_validate(rollout.get("status") or {})
    is_told = status.observed_generation == rollout["metadata"]["generation"]
    return Standing(
        place=place,
        wanted=artifact_id(rollout["spec"]["template"]),
        phase=status.phase if is_told else None,
        stable=status.artifacts.stable,
        message=status.message,
    )


class RegionsCamera:
    """Takes pictures; `regions` by the name of their Region objects."""

    def __init__(self, hub: Region, regions: Mapping[str, Region], places: Sequence[Place], name: str) -> None:
        """`name` is that of the Pipeline, in the namespace of the last place."""
        self._hub, self._regions, self._places, self._name = hub, regions, tuple(places), name
        self._namespace = places[-1].namespace

    def take(self, now: datetime) -> Picture:
        """Return what there is to see now. Raises ApiStatusError, OSError."""
        client = self._hub.plane.client
        pipeline = client.call("GET", f"{APIS}/namespaces/{self._namespace}/pipelines/{self._name}")
        status: Mapping[str, Any] = pipeline.get("status") or {}
        is_told = status.get("observedGeneration") == pipeline["metadata"]["generation"]
        listed = client.call(
            "GET", f"/api/v1/namespaces/{self._namespace}/events", fieldSelector="involvedObject.kind=Pipeline"
        )
        events = sorted(listed["items"], key=lambda e: str(e["metadata"]["name"]))
        return Picture(
            now=now,
            reason=str(status.get("reason") or "") if is_told else "",
            message=str(status.get("message") or ""),
            standings=tuple(map(self._standing, self._places)),
            events={str(e["metadata"]["name"]): told_of(e) for e in events},
        )

    def _standing(self, place: Place) -> Standing:
        client = self._regions[place.region].plane.client
        try:
            found = client.call("GET", f"{APIS}/namespaces/{place.namespace}/rollouts/{self._name}")
        except ApiStatusError as error:
            if error.status != 404:
                raise
            return Standing(place)
        return standing_of(place, found)

    def artifacts(self, place: Place) -> set[str]:
        """Return the ids of all versions that a place has ever begun and still keeps."""
        client = self._regions[place.region].plane.client
        listed = client.call("GET", f"{APIS}/namespaces/{place.namespace}/artifacts")
        return {str(item["spec"]["id"]) for item in listed["items"]}
