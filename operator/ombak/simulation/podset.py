"""What a ReplicaSet controller does: as many pods as asked for, and a status that tells of them a moment late."""

import dataclasses
import itertools
import random
from collections.abc import Callable

from ombak.core import naming
from ombak.runtime.kube_port import Object
from ombak.simulation.agenda import Timeline
from ombak.simulation.pods import Kubelets, Pod, behaviour_of

_SERIAL = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """The status of a set of pods, as its controller last wrote it."""

    observed: int = 0
    replicas: int = 0
    ready: int = 0
    available: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How slow controllers are: every look happens so many seconds after what caused it."""

    least: float = 0.02
    most: float = 0.5


class PodSet:
    """The pods of one ReplicaSet."""

    def __init__(
        self,
        name: str,
        template: Object,
        min_ready: float,
        world: tuple[Timeline, Kubelets, random.Random, Pace],
        on_status: Callable[["PodSet"], None],
    ) -> None:
        self.name = name
        self.template = template
        labels = template["metadata"]["labels"]
        self.artifact = labels.get(naming.ARTIFACT, "")
        self.zone = labels.get(naming.ZONE, "")
        self._is_one_box = labels.get(naming.BOX) == "onebox"
        self._min_ready = min_ready
        self._timeline, self._kubelets, self._rng, self._pace = world
        self._on_status = on_status
        self._is_poked = False
        self.size = 0
        self.generation = 1
        self.pods: list[Pod] = []
        self.counts = Counts()
        self._serial = 0

    def ask(self, size: int, generation: int) -> None:
        """Set how many pods are wanted; the controller sees it a moment later."""
        self.size, self.generation = size, generation
        self.poke()

    def poke(self) -> None:
        """Something happened: the controller looks a moment later, once for all that happened until then."""
        if not self._is_poked:
            self._is_poked = True
            self._timeline.call_later(self._rng.uniform(self._pace.least, self._pace.most), self._sync)

    def _sync(self) -> None:
        """One look. As in Kubernetes the status counts the pods as they were before what this look changes."""
        self._is_poked = False
        self.pods = [p for p in self.pods if not p.is_gone]
        counts = Counts(
            observed=self.generation,
            replicas=len(self.pods),
            ready=sum(p.is_ready for p in self.pods),
            available=sum(p.is_available for p in self.pods),
        )
        lack = self.size - len(self.pods)
        for _ in range(lack):
            self._create()
        if lack < 0:
            for pod in sorted(self.pods, key=lambda p: p.rank)[:-lack]:
                self._kubelets.stop(pod)
        if lack:
            self.poke()
        if counts != self.counts:
            self.counts = counts
            self._on_status(self)

    def _create(self) -> None:
        self._serial += 1
        pod = Pod(
            name=f"{self.name}-{self._serial:05d}",
            artifact=self.artifact,
            zone=self.zone,
            is_one_box=self._is_one_box,
            behaviour=behaviour_of(self.template),
            template=self.template,
            min_ready=self._min_ready,
            born=self._timeline.time(),
            poke=self.poke,
        )
        self.pods.append(pod)
        self._kubelets.start(pod)

    def end(self) -> None:
        """The set was deleted: so are its pods."""
        for pod in [p for p in self.pods if not p.is_gone]:
            self._kubelets.stop(pod)
        self.size, self.pods = 0, []
