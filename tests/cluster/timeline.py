"""What happened in a cluster, seen from outside: every state of every box and Rollout, by watches of its own.

Resource versions of one cluster are ordered across kinds, so the watches are put together afterwards into the
order in which things really happened; nothing here depends on how fast events arrive.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ombak.sandbox.client import ApiClient, ApiStatusError, Json

ROLLOUT = "ombak.dev/rollout"
PODS = "/api/v1/pods"
SETS = "/apis/apps/v1/replicasets"
ROLLOUTS = "/apis/ombak.dev/v1alpha1/rollouts"
PAUSE_S = 0.2

Key = tuple[str, str]
"""Namespace and name of a Rollout."""


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One state of one box."""

    version: int
    at: float
    """Monotonic seconds when it was heard of."""
    name: str
    artifact: str
    zone: str
    is_ready: bool
    is_deleting: bool
    is_gone: bool
    owner: str = ""
    """The ReplicaSet that made it."""

    @property
    def serves(self) -> bool:
        """A load balancer would send it requests."""
        return self.is_ready and not self.is_deleting and not self.is_gone


@dataclass(frozen=True, slots=True)
class SetSeen:
    """One state of one ReplicaSet: how many boxes it was told to have."""

    version: int
    at: float
    name: str
    replicas: int
    is_gone: bool


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """One state of one Rollout."""

    version: int
    at: float
    uid: str
    generation: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    annotations: Mapping[str, str]
    is_gone: bool
    listed: int = 0
    """The version as it is stored, where a list brought it and `version` is the earliest that it can have had."""

    @property
    def phase(self) -> str:
        """Empty before the first status."""
        return str(self.status.get("phase", ""))

    @property
    def observed(self) -> int:
        """The generation that the status speaks of."""
        return int(self.status.get("observedGeneration", 0))

    @property
    def waits_for(self) -> str:
        """What it waits for, empty if nothing."""
        return str((self.status.get("waitingFor") or {}).get("what", ""))

    def condition(self, kind: str) -> Mapping[str, Any]:
        """One condition, empty if there is none of that type."""
        found = self.status.get("conditions") or ()
        return next((c for c in found if c.get("type") == kind), {})

    def artifact(self, role: str) -> str:
        """The id of the artifact that is `stable`, `current`, `queued` or `rejected`; empty if none is."""
        return str((self.status.get("artifacts") or {}).get(role, ""))

    @property
    def release(self) -> Mapping[str, Any]:
        """The release in the operator's memory, empty if there is none."""
        return (self.status.get("memory") or {}).get("release") or {}


Seen = PodSeen | RolloutSeen | SetSeen


def _pod(item: Json, at: float, *, is_gone: bool) -> tuple[Key, PodSeen]:
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    conditions = (item.get("status") or {}).get("conditions") or ()
    seen = PodSeen(
        version=int(metadata["resourceVersion"]),
        at=at,
        name=metadata["name"],
        artifact=labels.get("ombak.dev/artifact", ""),
        zone=labels.get("ombak.dev/zone", ""),
        is_ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        is_deleting="deletionTimestamp" in metadata,
        is_gone=is_gone,
        owner=next((owner["name"] for owner in metadata.get("ownerReferences") or ()), ""),
    )
    return (metadata["namespace"], labels.get(ROLLOUT, "")), seen


def _set(item: Json, at: float, *, is_gone: bool) -> tuple[Key, SetSeen]:
    metadata = item["metadata"]
    replicas = int((item.get("spec") or {}).get("replicas", 1))
    seen = SetSeen(int(metadata["resourceVersion"]), at, metadata["name"], replicas, is_gone=is_gone)
    return (metadata["namespace"], (metadata.get("labels") or {}).get(ROLLOUT, "")), seen


def _rollout(item: Json, at: float, *, is_gone: bool) -> tuple[Key, RolloutSeen]:
    metadata = item["metadata"]
    seen = RolloutSeen(
        version=int(metadata["resourceVersion"]),
        at=at,
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        spec=item.get("spec") or {},
        status=item.get("status") or {},
        annotations=metadata.get("annotations") or {},
        is_gone=is_gone,
    )
    return (metadata["namespace"], metadata["name"]), seen


@dataclass(slots=True)
class _Stream:
    """One watch, and the objects that it knows of."""

    path: str
    read: Callable[..., tuple[Key, Any]]
    query: dict[str, str] = field(default_factory=dict)
    present: dict[tuple[str, str], Json] = field(default_factory=dict)
    version: str = ""


class Timeline:
    """Follows one cluster from `start` to `stop`. Its threads survive outages of the API server."""

    def __init__(self, client: ApiClient) -> None:
        """`client` may list and watch pods, ReplicaSets and Rollouts everywhere."""
        self._client = client
        self._seen: dict[Key, list[Seen]] = defaultdict(list)
        self._latest: dict[Key, RolloutSeen] = {}
        self._streams = [
            _Stream(PODS, _pod, {"labelSelector": ROLLOUT}),
            _Stream(SETS, _set, {"labelSelector": ROLLOUT}),
            _Stream(ROLLOUTS, _rollout),
        ]
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Returns once every kind was listed, so that nothing later is missed. The CRDs must be installed."""
        for stream in self._streams:
            self._list(stream)
            name = f"timeline {stream.path}"
            threading.Thread(target=self._follow, args=(stream,), name=name, daemon=True).start()

    def stop(self) -> None:
        """The threads end with their present connection."""
        self._stopped.set()

    def events(self, key: Key) -> list[Seen]:
        """Everything that happened to one Rollout and its boxes, in the order in which it happened."""
        with self._lock:
            return sorted(self._seen[key], key=lambda seen: seen.version)

    def latest(self, key: Key) -> RolloutSeen | None:
        """The Rollout as last heard of; None before that."""
        return self._latest.get(key)

    def history(self, key: Key) -> list[RolloutSeen]:
        """Every state of one Rollout."""
        return [seen for seen in self.events(key) if isinstance(seen, RolloutSeen)]

    def is_caught_up(self, key: Key) -> bool:
        """Whether all that the API server has of a Rollout's boxes was heard of."""
        namespace, name = key
        listed = self._client.call("GET", f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{ROLLOUT}={name}")
        there = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in listed["items"]}
        heard: dict[str, int] = {}
        for seen in self.events(key):
            if isinstance(seen, PodSeen):
                heard[seen.name] = seen.version
                if seen.is_gone:
                    del heard[seen.name]
        return all(heard.get(pod, 0) >= version for pod, version in there.items()) and heard.keys() <= there.keys()

    def _follow(self, stream: _Stream) -> None:
        while not self._stopped.is_set():
            try:
                self._watch(stream)
            except (OSError, ValueError):
                self._stopped.wait(PAUSE_S)
            except ApiStatusError as error:
                self._stopped.wait(PAUSE_S)
                if error.status == 410:
                    self._list_again(stream)

    def _watch(self, stream: _Stream) -> None:
        query = stream.query | {"resourceVersion": stream.version, "allowWatchBookmarks": "true"}
        for event in self._client.watch(stream.path, **query):
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiStatusError(int(status.get("code", 500)), str(status.get("message")))
            item = event["object"]
            stream.version = item["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._note(stream, item, is_gone=event["type"] == "DELETED")

    def _list_again(self, stream: _Stream) -> None:
        try:
            self._list(stream)
        except (OSError, ApiStatusError):
            self._stopped.wait(PAUSE_S)

    def _list(self, stream: _Stream) -> None:
        found = self._client.call("GET", stream.path, **stream.query)
        stream.version = found["metadata"]["resourceVersion"]
        there = {(i["metadata"]["namespace"], i["metadata"]["name"]): i for i in found["items"]}
        for name, item in list(stream.present.items()):
            if name not in there:
                item["metadata"]["resourceVersion"] = stream.version
                self._note(stream, item, is_gone=True)
        for name, item in there.items():
            known = stream.present.get(name)
            if known is not None and known["metadata"]["uid"] != item["metadata"]["uid"]:
                self._note(stream, known, is_gone=True)
                known = None
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._note(stream, item, is_gone=False, after=known)

    def _note(self, stream: _Stream, item: Json, *, is_gone: bool, after: Json | None = None) -> None:
        """Keep what was seen; what a list brought `after` a break of the watch came about at some time since then.

        What was approved and ordered counts from the beginning of that time: nobody saw it, but its boxes came.
        """
        key, seen = stream.read(item, time.monotonic(), is_gone=is_gone)
        if after is not None and not isinstance(seen, PodSeen):
            since = int(after["metadata"]["resourceVersion"]) + 1
            listed = {"listed": seen.version} if isinstance(seen, RolloutSeen) else {}
            seen = replace(seen, version=since, **listed)
        name = (item["metadata"]["namespace"], item["metadata"]["name"])
        with self._lock:
            self._seen[key].append(seen)
            if isinstance(seen, RolloutSeen):
                self._latest[key] = seen
        if is_gone:
            stream.present.pop(name, None)
        else:
            stream.present[name] = item
