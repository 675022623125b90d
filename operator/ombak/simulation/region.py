"""Everything outside of the operator, put together: API server, controllers, kubelets, Prometheus, people."""

import dataclasses
import json
import random
from typing import Any

from ombak.api.common import API_VERSION
from ombak.runtime import kinds
from ombak.runtime.kube_port import Object
from ombak.simulation.agenda import Timeline
from ombak.simulation.controllers import Controllers
from ombak.simulation.health import Health, Rule
from ombak.simulation.pods import BEHAVIOUR, Behaviour, Kubelets
from ombak.simulation.podset import Pace
from ombak.simulation.server import REFUSED, Server

NAMESPACE, NAME = "shop", "front-end"
KEY = (NAMESPACE, NAME)
USER = "kubectl"


def template(version: str, behaviour: Behaviour, refused: str = "") -> Object:
    """Return the pod template of a version."""
    annotations = {BEHAVIOUR: json.dumps(dataclasses.asdict(behaviour), sort_keys=True)}
    if refused:
        annotations[REFUSED] = refused
    return {
        "metadata": {"labels": {"app": NAME}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/front-end:{version}"}]},
    }


class Region:
    """One region with one Rollout, driven by a timeline."""

    def __init__(self, timeline: Timeline, seed: int | str, pace: Pace | None = None, rule: Rule | None = None) -> None:
        self.timeline = timeline
        self.rng = random.Random(f"region-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
        self.server = Server(timeline)
        self.kubelets = Kubelets(timeline, self.rng)
        self.controllers = Controllers(self.server, self.kubelets, timeline, self.rng, pace or Pace())
        self.rule = rule or Rule()
        self.health = Health(timeline, self.kubelets)

    def apply(self, spec: dict[str, Any]) -> None:
        """Create the Rollout."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "Rollout",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": spec,
        }
        self.server.create(USER, kinds.ROLLOUTS, NAMESPACE, body)

    def change(self, spec: dict[str, Any]) -> None:
        """Merge a change into the spec of the Rollout."""
        if self.rollout is not None:
            self.server.patch(USER, kinds.ROLLOUTS, NAMESPACE, NAME, {"spec": spec})

    def wish(self, made: Object) -> None:
        """Write another template into the Rollout, whole."""
        found = self.rollout
        if found is not None:
            body = {**found, "spec": {**found["spec"], "template": made}}
            self.server.replace(USER, kinds.ROLLOUTS, NAMESPACE, NAME, body)

    def annotate(self, name: str, value: str) -> None:
        """Annotate the Rollout."""
        if self.rollout is not None:
            self.server.patch(USER, kinds.ROLLOUTS, NAMESPACE, NAME, {"metadata": {"annotations": {name: value}}})

    def erase_status(self) -> None:
        """Somebody erases the whole status of the Rollout."""
        if self.rollout is not None:
            self.server.replace(
                USER, kinds.ROLLOUTS, NAMESPACE, NAME, {"metadata": {}, "status": {}}, subresource="status"
            )

    @property
    def rollout(self) -> Object | None:
        """The Rollout as it is stored now."""
        return self.server.find("Rollout", NAMESPACE, NAME)

    @property
    def status(self) -> Object:
        """The status of the Rollout, empty if there is none."""
        found = self.rollout
        return (found or {}).get("status") or {}

    @property
    def phase(self) -> str:
        """The phase that the status tells."""
        return str(self.status.get("phase") or "")

    @property
    def is_held(self) -> bool:
        """A first install is held by what was in ALARM before, which somebody has to end."""
        waiting = str((self.status.get("waitingFor") or {}).get("what") or "")
        return self.phase == "Bake" and waiting.startswith("an alarm to end that was there before")

    def available(self) -> int:
        """Return how many boxes truly serve now."""
        return sum(p.is_available for p in self.kubelets.pods.values())

    def is_settled(self) -> bool:
        """No controller has anything left to do, and every box that can serve does."""
        sets = [*self.controllers.sets.values()]
        for model in self.controllers.deployments.values():
            sets += model.sets
        return all(s.size == len([p for p in s.pods if not p.is_gone]) for s in sets) and all(
            p.is_available
            or p.behaviour.never_ready
            or p.behaviour.up_for
            or (p.artifact in self.kubelets.spoilt and p.born < self.timeline.time() - 60)
            for p in self.kubelets.pods.values()
        )

    def versions(self) -> dict[str, int]:
        """Return how many pods there are of each artifact."""
        found: dict[str, int] = {}
        for pod in self.kubelets.pods.values():
            found[pod.artifact] = found.get(pod.artifact, 0) + 1
        return found
