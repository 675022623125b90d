"""Pods, and the kubelets that make them ready, or not, as the annotations of their template say."""

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

from ombak.core import naming
from ombak.runtime.kube_port import Object
from ombak.simulation import agenda
from ombak.simulation.agenda import Timeline

BEHAVIOUR = "sim.ombak.dev/behaviour"
"""An annotation of a pod template: a `Behaviour` as JSON."""


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """How the boxes of a version behave; times in seconds."""

    ready_after: float = 2.0
    never_ready: bool = False
    up_for: float = 0.0
    """A crash loop: ready for so long, then not ready for `down_for`, again and again; 0: it stays up."""
    down_for: float = 5.0
    bad_from: int = 0
    """The alarm of the whole service fires when so many of its boxes serve; 0: never."""
    bad_one_box: bool = False
    """The one box's alarm fires while it serves there."""
    burns_after: float = 0.0
    """The badness shows only so long after its first box served."""


def behaviour_of(template: Object) -> Behaviour:
    """Return how boxes of a template behave."""
    raw = ((template.get("metadata") or {}).get("annotations") or {}).get(BEHAVIOUR)
    return Behaviour(**json.loads(raw)) if raw else Behaviour()


@dataclasses.dataclass(slots=True, eq=False)
class Pod:
    """One box."""

    name: str
    artifact: str
    zone: str
    is_one_box: bool
    behaviour: Behaviour
    template: Object
    min_ready: float
    born: float
    poke: Callable[[], None]
    ready_since: float | None = None
    is_available: bool = False
    available_since: float = 0.0
    waits_since: float = 0.0
    """When it last began not to be available."""
    is_gone: bool = False

    @property
    def is_ready(self) -> bool:
        """It would pass its readiness probe."""
        return self.ready_since is not None and not self.is_gone

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The order in which a shrink takes pods: those that are not ready first, then the youngest."""
        return (self.is_ready, self.is_available, -(self.ready_since or self.born))


class Kubelets:
    """All nodes of the region, by zone."""

    def __init__(self, timeline: Timeline, rng: random.Random) -> None:
        self._timeline = timeline
        self._rng = rng
        self._down: set[str] = set()
        self.pods: dict[str, Pod] = {}
        self.watchers: list[Callable[[Pod, str], None]] = []
        """Told of every change of a pod: born, ready, available, lost (the world's doing), gone."""
        self.first_served: dict[str, float] = {}
        self.spoilt: set[str] = set()
        """Versions whose new boxes do not come up any more: their image is gone."""

    def start(self, pod: Pod) -> None:
        """Run a pod that a controller made."""
        self.pods[pod.name] = pod
        pod.waits_since = pod.born
        self._tell(pod, "born")
        if not pod.behaviour.never_ready:
            self._timeline.call_later(pod.behaviour.ready_after * self._rng.uniform(0.8, 1.2), self._up, pod)

    def stop(self, pod: Pod) -> None:
        """A controller deletes a pod: it serves no more from now on."""
        pod.is_gone = True
        del self.pods[pod.name]
        self._tell(pod, "gone")
        pod.is_available = False

    def lose(self, pod: Pod) -> None:
        """A pod stops serving by itself."""
        if pod.is_gone:
            return
        was_available = pod.is_available
        if was_available:
            pod.waits_since = self._timeline.time()
        pod.ready_since, pod.is_available = None, False
        self._tell(pod, "lost" if was_available else "waits")
        pod.poke()

    def blink(self, pod: Pod, seconds: float) -> None:
        """A pod does not serve for a while."""
        self.lose(pod)
        self._timeline.call_later(seconds, self._up, pod)

    def evict(self, pod: Pod) -> None:
        """Somebody deletes a pod; its controller will make a new one."""
        if pod.is_available:
            self.lose(pod)
        self.stop(pod)
        pod.poke()

    def set_down(self, zone: str, is_down: bool) -> None:
        """All nodes of a zone go away or come back."""
        if is_down:
            self._down.add(zone)
            for pod in [p for p in self.pods.values() if p.zone == zone]:
                self.lose(pod)
            return
        self._down.discard(zone)
        for pod in [p for p in self.pods.values() if p.zone == zone and not p.behaviour.never_ready]:
            self._timeline.call_later(pod.behaviour.ready_after * self._rng.uniform(0.8, 1.2), self._up, pod)

    def _up(self, pod: Pod) -> None:
        if pod.is_gone or pod.is_ready or pod.zone in self._down or pod.artifact in self.spoilt:
            return
        now = pod.ready_since = self._timeline.time()
        self.first_served.setdefault(pod.artifact, now)
        self._tell(pod, "ready")
        if pod.min_ready:
            self._timeline.call_later(pod.min_ready, self._available, pod, now)
        else:
            self._available(pod, now)
        pod.poke()
        if pod.behaviour.up_for:
            self._timeline.call_later(pod.behaviour.up_for * self._rng.uniform(0.7, 1.3), self._crash, pod, now)

    def _available(self, pod: Pod, since: float) -> None:
        if pod.is_gone or pod.ready_since != since or pod.is_available:
            return
        pod.is_available, pod.available_since = True, self._timeline.time()
        self._tell(pod, "available")
        pod.poke()

    def _crash(self, pod: Pod, since: float) -> None:
        if pod.is_gone or pod.ready_since != since:
            return
        self.lose(pod)
        self._timeline.call_later(pod.behaviour.down_for * self._rng.uniform(0.7, 1.3), self._up, pod)

    def _tell(self, pod: Pod, what: str) -> None:
        for watcher in self.watchers:
            watcher(pod, what)

    def as_objects(self, label_selector: str) -> list[Object]:
        """Return the pods that a selector of artifact matches, as the API server shows them."""
        wanted = dict(part.split("=") for part in label_selector.split(",") if part)
        artifact = wanted.get(naming.ARTIFACT)
        return [_as_object(p) for p in self.pods.values() if artifact in (None, p.artifact)]


def _as_object(pod: Pod) -> Object:
    ready = "True" if pod.is_ready else "False"
    since = agenda.at(pod.waits_since if pod.ready_since is None else pod.ready_since)
    state: dict[str, Any] = {"running": {}} if pod.is_ready else {"waiting": {"reason": "ContainerCreating"}}
    return {
        "metadata": {"name": pod.name, "labels": {naming.ARTIFACT: pod.artifact}},
        "status": {
            "phase": "Running" if pod.is_ready else "Pending",
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": f"{since:%Y-%m-%dT%H:%M:%SZ}"}],
            "containerStatuses": [{"name": "app", "state": state}],
        },
    }
