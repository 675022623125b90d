"""The boxes as an outsider sees them: pods through a watch of their own, never through what the operator says."""

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ombak.core import naming
from ombak.sandbox.client import ApiClient, ApiStatusError

_PAUSE_S = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """One pod that is not being deleted."""

    name: str
    artifact: str
    is_one_box: bool
    is_ready: bool


class BoxCount:
    """All boxes now, and the worst moments so far."""

    def __init__(self) -> None:
        self._boxes: dict[str, Box] = {}
        self._fewest: int | None = None
        self._most: Counter[str] = Counter()
        self._is_counting = False

    def put(self, box: Box) -> None:
        """A box appeared or changed."""
        self._boxes[box.name] = box
        self._count()

    def remove(self, name: str) -> None:
        """A box is gone, or on its way out."""
        self._boxes.pop(name, None)
        self._count()

    def replace(self, boxes: Mapping[str, Box]) -> None:
        """These and only these boxes are there."""
        self._boxes = dict(boxes)
        self._count()

    def begin(self) -> None:
        """From now on `fewest` counts: the first installation is over."""
        self._is_counting = True
        self._count()

    def _count(self) -> None:
        ready = Counter(box.artifact for box in self._boxes.values() if box.is_ready)
        for artifact, count in ready.items():
            self._most[artifact] = max(self._most[artifact], count)
        if self._is_counting:
            self._fewest = min(ready.total(), ready.total() if self._fewest is None else self._fewest)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Every box there is."""
        return tuple(self._boxes.values())

    @property
    def fewest(self) -> int | None:
        """The smallest number of boxes that were ready at once since `begin`, None before."""
        return self._fewest

    def most(self, artifact: str) -> int:
        """Return the largest number of boxes of one artifact that were ready at once."""
        return self._most[artifact]


def box_of(pod: Mapping[str, Any]) -> Box | None:
    """Return the box in a pod, None for one that is being deleted."""
    meta = pod["metadata"]
    if "deletionTimestamp" in meta:
        return None
    labels = meta.get("labels") or {}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return Box(
        name=str(meta["name"]),
        artifact=str(labels.get(naming.ARTIFACT) or ""),
        is_one_box=labels.get(naming.BOX) == "onebox",
        is_ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
    )


class BoxWatch:
    """Follows the pods of one Rollout in a thread of its own, so that no moment between two polls is missed."""

    def __init__(self, client: ApiClient, namespace: str, rollout: str) -> None:
        """Nothing runs yet."""
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._selector = f"{naming.ROLLOUT}={rollout}"
        self._count = BoxCount()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="boxes", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no further; the thread ends with the API server's answer, or with the process."""
        self._is_over.set()

    def begin(self) -> None:
        """From now on `fewest` counts."""
        with self._lock:
            self._count.begin()

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Every box there is now."""
        with self._lock:
            return self._count.boxes

    @property
    def fewest(self) -> int | None:
        """See `BoxCount.fewest`."""
        with self._lock:
            return self._count.fewest

    def most(self, artifact: str) -> int:
        """See `BoxCount.most`."""
        with self._lock:
            return self._count.most(artifact)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            try:
                self._list_and_watch()
            except (OSError, ValueError, ApiStatusError):
                # The next list makes up for what this watch missed.
                time.sleep(_PAUSE_S)

    def _list_and_watch(self) -> None:
        listed = self._client.call("GET", self._path, labelSelector=self._selector)
        found = {box.name: box for box in map(box_of, listed["items"]) if box}
        with self._lock:
            self._count.replace(found)
        version = listed["metadata"]["resourceVersion"]
        for event in self._client.watch(self._path, labelSelector=self._selector, resourceVersion=version):
            if event["type"] == "ERROR" or self._is_over.is_set():
                return
            self._take(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        box = None if event["type"] == "DELETED" else box_of(event["object"])
        with self._lock:
            if box is None:
                self._count.remove(event["object"]["metadata"]["name"])
            else:
                self._count.put(box)


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One Event, as `kubectl describe` shows it."""

    at: datetime
    reason: str
    message: str
    is_warning: bool


def told_of(event: Mapping[str, Any]) -> Told:
    """Return what an Event says."""
    stamp = datetime.fromisoformat(str(event["lastTimestamp"]))
    return Told(stamp, str(event["reason"]), str(event["message"]), event.get("type") == "Warning")
