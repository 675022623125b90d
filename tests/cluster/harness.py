"""The operator as a process of its own, and a Rollout in a namespace of its own with what a test does to it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

import manifests
from manifests import Manifest
from ombak.core.identity import artifact_id
from ombak.sandbox import Process, Region, wait_for
from ombak.sandbox.client import Json
from timeline import RolloutSeen, Timeline
from watcher import Watcher

ROOT = Path(__file__).parents[2]
START = timedelta(seconds=180)
PATIENCE = timedelta(seconds=240)
"""How long a state may take to come on a slow machine; no test says how fast it must."""
USER = "ombak"
PATHS = {
    "Rollout": "/apis/ombak.dev/v1alpha1/namespaces/{}/rollouts",
    "Alarm": "/apis/ombak.dev/v1alpha1/namespaces/{}/alarms",
    "Artifact": "/apis/ombak.dev/v1alpha1/namespaces/{}/artifacts",
    "Window": "/apis/ombak.dev/v1alpha1/windows",
    "Blocker": "/apis/ombak.dev/v1alpha1/namespaces/{}/blockers",
    "ClusterBlocker": "/apis/ombak.dev/v1alpha1/clusterblockers",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/api/v1/namespaces/{}/events",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
}


def install(region: Region) -> None:
    """The CRDs, and the rights of `charts/rbac.yaml` for the operator's user and no more."""
    region.kubectl("apply", "-f", str(ROOT / "crds"))
    region.kubectl("wait", "--for=condition=Established", "--timeout=180s", "crd", "-l", "!none")
    region.grant(USER, ROOT / "charts" / "rbac.yaml")


class OperatorProcess:
    """`ombak run` against a region where `install` was done. Its log stays with the region's when a test fails."""

    def __init__(
        self,
        region: Region,
        name: str = "operator",
        *,
        prometheus: str | None = None,
        kubeconfig: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Nothing runs yet; `kubeconfig` may be of a proxy in between, `options` go to `ombak run`."""
        self._region = region
        self.log = region.workdir.logs / f"{name}.log"
        command = [
            sys.executable,
            *("-m", "ombak", "run", "--log-level", "debug"),
            *("--prometheus", prometheus or region.prometheus_url),
            *("--kubeconfig", str(kubeconfig or region.kubeconfig_for(USER))),
            *options,
        ]
        self.process = Process(name, command, self.log)

    def start(self, *, wait: bool = True) -> None:
        """Starts it and, with `wait`, returns once it has listed everything. Raises SandboxError."""
        before = self._synced()
        self.process.start()
        if wait:
            wait_for("operator synced", lambda: self._synced() > before, START, processes=[self.process])

    def _synced(self) -> int:
        return sum(line.get("event") == "synced" for line in self.lines())

    def kill(self) -> None:
        """SIGKILL; nothing is finished, nothing is said."""
        self.process.kill()

    def stop(self) -> None:
        """SIGTERM, as a user or kubelet would end it."""
        self.process.stop(timedelta(seconds=10))

    def restart(self) -> None:
        """SIGKILL, and a new run."""
        self.kill()
        self.start()

    def lines(self, namespace: str | None = None) -> list[Json]:
        """What it logged, of one namespace or in all; lines that are no JSON are `{"event": the line}`."""
        if not self.log.exists():
            return []
        found = [_line(text) for text in self.log.read_text(errors="replace").splitlines()]
        return [line for line in found if namespace is None or line.get("namespace") == namespace]


def _line(text: str) -> Json:
    try:
        line = json.loads(text)
    except ValueError:
        return {"event": text}
    return line if isinstance(line, dict) else {"event": text}


class Shop:
    """A Rollout in a namespace of its own, watched from before it exists until the end of the test."""

    def __init__(self, region: Region, timeline: Timeline, namespace: str, name: str = manifests.NAME) -> None:
        """`open` makes the namespace."""
        self.region = region
        self.timeline = timeline
        self.namespace = namespace
        self.name = name
        self.watcher = Watcher(timeline, (namespace, name))
        self.generation = 0
        """The newest spec that this test wrote; a status of an older one says nothing."""
        self._since = 0
        """The version from which on states of the Rollout count: what was before it, the test has dealt with."""
        self.notes: list[str] = []
        """What the test wants to be read in its log."""
        self.others: list[Shop] = []
        """Those beside it that go when it goes."""

    async def open(self) -> Shop:
        """Make the namespace."""
        metadata = {"name": self.namespace}
        await self.call("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": metadata})
        return self

    async def beside(self, letter: str) -> Shop:
        """Another one in a namespace of its own."""
        self.others.append(Shop(self.region, self.timeline, f"{self.namespace}-{letter}"))
        return await self.others[-1].open()

    async def call(self, method: str, path: str, body: Json | None = None, **query: str) -> Json:
        """One request as admin. Raises ApiStatusError, OSError."""
        return await asyncio.to_thread(self.region.plane.client.call, method, path, body, **query)

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        """The URL path of a kind or an object in the namespace."""
        return "/".join(filter(None, (PATHS[kind].format(self.namespace), name, subresource)))

    async def create(self, *made: Manifest) -> None:
        """Create objects; the Rollout's generation is remembered."""
        for manifest in made:
            answer = await self.call("POST", self.path(manifest["kind"]), manifest)
            self.wrote(answer)

    async def patch(self, kind: str, name: str, body: Json) -> Json:
        """Merge-patch one object."""
        answer = await self.call("PATCH", self.path(kind, name), body)
        self.wrote(answer)
        return answer

    def wrote(self, answer: Json) -> None:
        """Remember a write of this test: what the Rollout was before it does not count any more."""
        written = int(answer["metadata"]["resourceVersion"])
        if answer.get("kind") == "Rollout" and answer["metadata"]["name"] == self.name:
            self.generation = int(answer["metadata"]["generation"])
            self._since = written
            return
        # Of another object: the state that the Rollout was in then still counts, and none before it.
        before = (seen.version for seen in self.timeline.history(self.watcher.key) if seen.version <= written)
        self._since = max(self._since, *before, 0)

    async def change(self, **spec: Any) -> Json:
        """Merge-patch the Rollout's spec."""
        return await self.patch("Rollout", self.name, {"spec": spec})

    async def release(self, version: str, behaviour: Mapping[str, str] | None = None, **spec: Any) -> str:
        """Ask for another version, whole, as `kubectl apply` would; returns the artifact's id."""
        wanted = manifests.template(version, behaviour, self.name)
        live = (await self.get("Rollout", self.name))["spec"]["template"]
        # A merge patch would keep the old version's annotations; a whole update would race with the operator's status.
        gone: dict[str, str | None] = dict.fromkeys(live["metadata"].get("annotations") or {})
        merged = {**wanted, "metadata": wanted["metadata"] | {"annotations": gone | wanted["metadata"]["annotations"]}}
        await self.change(template=merged, **spec)
        return artifact_id(wanted)

    async def scale(self, replicas: int) -> None:
        """Through `/scale`, as an autoscaler does."""
        path = self.path("Rollout", self.name, "scale")
        answer = await self.call("PATCH", path, {"spec": {"replicas": replicas}})
        self._since = int(answer["metadata"]["resourceVersion"])
        self.generation = int((await self.get("Rollout", self.name))["metadata"]["generation"])

    async def switch(self, query: str, name: str = "service") -> None:
        """Make an Alarm of `manifests.switch` say something else."""
        await self.patch("Alarm", name, {"spec": {"metric": {"query": query}}})

    async def told(self, state: str, name: str = "service") -> None:
        """Wait until the operator says this of an Alarm as it is written now; nothing starts on what it said before.

        Without this a change of a Rollout may be heard of before that of the Alarm: they come by different watches.
        """

        async def is_so() -> bool:
            alarm = await self.get("Alarm", name)
            status = alarm.get("status") or {}
            is_new = status.get("observedGeneration") == alarm["metadata"]["generation"]
            return is_new and status.get("state") == state

        await self.settled(is_so, f"{state} of Alarm {name}")

    async def annotate(self, **annotations: str | None) -> None:
        """Set or remove annotations `ombak.dev/...` on the Rollout."""
        named = {f"ombak.dev/{key}": value for key, value in annotations.items()}
        await self.patch("Rollout", self.name, {"metadata": {"annotations": named}})

    async def limit(self, *, pods: int) -> None:
        """Put a quota on the namespace, and wait until it counts."""
        quota = {"metadata": {"name": "boxes"}, "spec": {"hard": {"pods": str(pods)}}}
        await self.call("POST", self.path("ResourceQuota"), quota)

        async def is_counted() -> bool:
            status = (await self.get("ResourceQuota", "boxes")).get("status") or {}
            return "pods" in (status.get("used") or {})

        await self.settled(is_counted, "the quota")

    async def get(self, kind: str, name: str) -> Json:
        """One object as it is stored."""
        return await self.call("GET", self.path(kind, name))

    async def items(self, kind: str, **query: str) -> list[Json]:
        """Objects of the namespace."""
        found: list[Json] = (await self.call("GET", self.path(kind), **query))["items"]
        return found

    async def kubectl(self, *args: str, text: str | None = None) -> str:
        """What kubectl prints in the namespace, as admin. Raises KubectlError."""
        return await asyncio.to_thread(self.region.kubectl, "-n", self.namespace, *args, input=text)

    async def note_table(self) -> str:
        """Keep what `kubectl get omr` prints now, for the test's log and for looking at."""
        table = await self.kubectl("get", "omr", "-o", "wide")
        self.notes.append(table)
        return table

    @property
    def now(self) -> RolloutSeen | None:
        """The Rollout as last heard of."""
        return self.timeline.latest(self.watcher.key)

    async def until(
        self, holds: Callable[[RolloutSeen], bool], what: str, patience: timedelta = PATIENCE
    ) -> RolloutSeen:
        """Wait for a state of the Rollout whose status speaks of the newest spec; returns the first one.

        It may be over already: all states count since the last one that was waited for, or the last write of this
        test. So none is missed that was there between two looks, however long they are apart.
        """
        deadline = time.monotonic() + patience.total_seconds()
        while True:
            found = next(filter(holds, self._states()), None)
            if found is not None:
                self._since = max(self._since, found.version)
                return found
            assert time.monotonic() < deadline, f"{what} did not come\n{await self.diagnosis()}"
            await asyncio.sleep(0.05)

    def _states(self) -> list[RolloutSeen]:
        """The states that count, oldest first."""
        heard = self.timeline.history(self.watcher.key)
        alive = [seen for seen in heard if not seen.is_gone and seen.observed >= self.generation]
        return [seen for seen in alive if max(seen.version, seen.listed) >= self._since]

    async def phase(self, *wanted: str, patience: timedelta = PATIENCE) -> RolloutSeen:
        """Wait for one of some phases."""
        return await self.until(lambda now: now.phase in wanted, f"phase {' or '.join(wanted)}", patience)

    async def settled(self, holds: Callable[[], Awaitable[bool]], what: str, patience: timedelta = PATIENCE) -> None:
        """Wait for anything else."""
        deadline = time.monotonic() + patience.total_seconds()
        while not await holds():
            assert time.monotonic() < deadline, f"{what} did not come\n{await self.diagnosis()}"
            await asyncio.sleep(0.2)

    async def boxes(self) -> dict[str, int]:
        """How many pods of each artifact exist and are not being deleted."""
        found: dict[str, int] = {}
        for pod in await self.items("Pod", labelSelector=f"ombak.dev/rollout={self.name}"):
            if "deletionTimestamp" not in pod["metadata"]:
                artifact = pod["metadata"]["labels"]["ombak.dev/artifact"]
                found[artifact] = found.get(artifact, 0) + 1
        return found

    async def sized(self, replicas: int) -> None:
        """Wait until there are exactly so many boxes and all of them are ready."""

        async def is_so() -> bool:
            listed = await self.items("Pod", labelSelector=f"ombak.dev/rollout={self.name}")
            return len(listed) == replicas and all(_is_ready(pod) for pod in listed)

        await self.settled(is_so, f"{replicas} boxes that are ready")

    async def runs(self, boxes: Mapping[str, int]) -> None:
        """Wait until there are exactly these boxes of each artifact, all of them are ready, and none is on its way."""
        wanted = {artifact: count for artifact, count in boxes.items() if count}

        async def is_so() -> bool:
            listed = await self.items("Pod", labelSelector=f"ombak.dev/rollout={self.name}")
            found = Counter(pod["metadata"]["labels"]["ombak.dev/artifact"] for pod in listed)
            return found == wanted and all(_is_ready(pod) for pod in listed)

        await self.settled(is_so, f"boxes {wanted}, all of them ready")

    async def event(self, reason: str, *words: str) -> Json:
        """Wait for an Event, which is sent some time after what it tells of; returns it."""
        found: list[Json] = []

        async def is_there() -> bool:
            told = [event for event in await self.items("Event") if event["reason"] == reason]
            found[:] = [event for event in told if all(word in event["message"] for word in words)]
            return bool(found)

        await self.settled(is_there, f"an Event {reason} {words}")
        return found[0]

    async def installed(self, *made: Manifest) -> str:
        """Create objects, wait until the Rollout's first version is stable, and return its id."""
        await self.create(*made)
        return (await self.phase("Stable")).artifact("stable")

    async def diagnosis(self) -> str:
        """What a person needs who reads why a test failed."""
        now = self.now
        parts = [f"--- {self.namespace}/{self.name}; phases: {' > '.join(self.watcher.phases())}"]
        if now is not None:
            status = {k: v for k, v in now.status.items() if k != "conditions"}
            parts.append(f"generation {now.generation}, wanted {self.generation}\n{yaml.safe_dump(status)}")
        for kind in ("Deployment", "ReplicaSet", "Artifact", "Event"):
            parts += [_told(item) for item in await self.items(kind)]
        return "\n".join(parts)


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]


def _told(item: Json) -> str:
    if "involvedObject" in item:
        return f"event {item.get('reason')}: {item.get('message')}"
    status = item.get("status", {})
    sizes = {key: value for key, value in status.items() if key != "conditions"}
    return f"{item['metadata']['name']} wants {item.get('spec', {}).get('replicas')}: {json.dumps(sizes)}"
